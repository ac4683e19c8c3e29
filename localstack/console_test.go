package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// consoleOf is a console of the API at url, and the person's credentials.
func consoleOf(url string) console {
	return console{
		admin: admin{
			account: aws.Config{Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "token")},
			url:     url, place: "a test",
		},
		host: "127.0.0.1:8001", token: "OPENSESAME",
	}
}

// browser is a request as this console's own page makes it, and what is
// different about it; an empty value takes a header away.
func browser(method, target, body string, different map[string]string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8001"
	headers := map[string]string{"Cookie": "console-8001=OPENSESAME", "Sec-Fetch-Site": "same-origin"}
	if method != http.MethodGet && method != http.MethodHead {
		headers["Origin"] = "http://127.0.0.1:8001"
	}
	maps.Copy(headers, different)
	for name, value := range headers {
		switch {
		case name == "Host":
			r.Host = value
		case value != "":
			r.Header.Set(name, value)
		}
	}
	return r
}

func TestConsoleLetsInItsOwnPageAlone(t *testing.T) {
	reached := 0
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer api.Close()
	type headers = map[string]string
	for name, test := range map[string]struct {
		method, target string // GET / unless given
		different      headers
		want           int
	}{
		"its page":                            {want: 200},
		"its page's look":                     {method: "HEAD", target: "/jobs", want: 200},
		"its page's action":                   {method: "POST", target: "/jobs/a/pause", want: 200},
		"its page's change":                   {method: "PUT", target: "/rules/a", want: 200},
		"its page, reloaded by hand":          {different: headers{"Sec-Fetch-Site": "none"}, want: 200},
		"an old browser's page":               {different: headers{"Sec-Fetch-Site": ""}, want: 200},
		"an old browser's action":             {method: "POST", different: headers{"Sec-Fetch-Site": ""}, want: 200},
		"a look that names its origin":        {different: headers{"Origin": "http://127.0.0.1:8001"}, want: 200},
		"an encoded slash in a name":          {target: "/jobs/a%2Fb", want: 200},
		"the host by another name":            {different: headers{"Host": "localhost:8001"}, want: 421},
		"a name that was pointed here":        {different: headers{"Host": "rebind.example:8001"}, want: 421},
		"a rebound page's action":             {method: "POST", different: headers{"Host": "rebind.example:8001", "Origin": "http://rebind.example:8001"}, want: 421},
		"the host at another port":            {different: headers{"Host": "127.0.0.1:8002"}, want: 421},
		"the host without its port":           {different: headers{"Host": "127.0.0.1"}, want: 421},
		"no host":                             {different: headers{"Host": ""}, want: 421},
		"another site's look":                 {different: headers{"Sec-Fetch-Site": "cross-site"}, want: 403},
		"a look of another port's page":       {different: headers{"Sec-Fetch-Site": "same-site"}, want: 403},
		"another site's action":               {method: "POST", different: headers{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, want: 403},
		"an old browser's, from another site": {method: "POST", different: headers{"Origin": "https://evil.example", "Sec-Fetch-Site": ""}, want: 403},
		"another port's action":               {method: "POST", different: headers{"Origin": "http://127.0.0.1:8002", "Sec-Fetch-Site": ""}, want: 403},
		"a sandboxed frame's action":          {method: "POST", different: headers{"Origin": "null"}, want: 403},
		"an action without an origin":         {method: "POST", different: headers{"Origin": ""}, want: 403},
		"a delete without an origin":          {method: "DELETE", target: "/rules/a", different: headers{"Origin": ""}, want: 403},
		"an action that was typed":            {method: "POST", different: headers{"Sec-Fetch-Site": "none"}, want: 403},
		"another site asks for permission":    {method: "OPTIONS", target: "/jobs/a/pause", different: headers{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, want: 403},
		"no token":                            {different: headers{"Cookie": ""}, want: 401},
		"an empty token":                      {different: headers{"Cookie": "console-8001="}, want: 401},
		"the token of another start":          {different: headers{"Cookie": "console-8001=OPENBARLEY"}, want: 401},
		"the token of another port":           {different: headers{"Cookie": "console-8002=OPENSESAME"}, want: 401},
		"the printed address":                 {target: "/?token=OPENSESAME", different: headers{"Cookie": "", "Sec-Fetch-Site": "none"}, want: 303},
		"the printed address of a past start": {target: "/?token=OPENBARLEY", want: 401},
		"the token in another address":        {target: "/jobs?token=OPENSESAME", different: headers{"Cookie": ""}, want: 401},
		"an action by the token alone":        {method: "POST", target: "/?token=OPENSESAME", different: headers{"Cookie": ""}, want: 401},
		"out of the API":                      {target: "/../../other/stage", want: 400},
		"out of the API, encoded":             {target: "/%2e%2e/%2e%2e/other", want: 400},
		"out of the API, in a name":           {target: "/jobs/a%2f..%2f..%2f..", want: 400},
		"another host":                        {target: "//evil.example/", want: 400},
	} {
		t.Run(name, func(t *testing.T) {
			if test.method == "" {
				test.method = "GET"
			}
			if test.target == "" {
				test.target = "/"
			}
			r := browser(test.method, "/", "", test.different)
			parsed, err := url.ParseRequestURI(test.target)
			if err != nil {
				t.Fatal(err)
			}
			r.URL = parsed
			reached = 0
			w := httptest.NewRecorder()
			consoleOf(api.URL).ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("answered %d %s, want %d", w.Code, w.Body, test.want)
			}
			if through := reached == 1; through != (test.want == 200) {
				t.Errorf("the API was asked %d times", reached)
			}
			for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods"} {
				if _, ok := w.Header()[name]; ok {
					t.Errorf("it has the header %s", name)
				}
			}
			if w.Header().Get("X-Frame-Options") != "DENY" || w.Header().Get("Cross-Origin-Resource-Policy") != "same-origin" || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("another page may use it: %v", w.Header())
			}
			if cookie := w.Header().Get("Set-Cookie"); test.want == 303 {
				if cookie != "console-8001=OPENSESAME; Path=/; HttpOnly; SameSite=Strict" || w.Header().Get("Location") != "/" {
					t.Errorf("opened with cookie %q, at %q", cookie, w.Header().Get("Location"))
				}
			} else if cookie != "" {
				t.Errorf("it sets the cookie %q", cookie)
			}
		})
	}
}

// What the API gets is signed and has nothing of the browser's that is not
// meant for it; what the browser gets has nothing that would let others in.
func TestConsoleSignsAndPassesOn(t *testing.T) {
	signature := regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-central-1/execute-api/aws4_request, SignedHeaders=.*host;.*x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}$`)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := r.Header.Get("Authorization"); !signature.MatchString(a) || r.Header.Get("X-Amz-Security-Token") != "token" {
			t.Errorf("signed as %q", a)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if got, want := fmt.Sprint(r.Method, r.RequestURI, string(body), r.Header["If-Match"]), `PUT/live/_/api/admin/rules/a%2Fb?dry=1{"x":1}["7"]`; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
		for _, name := range []string{"Cookie", "Origin", "Sec-Fetch-Site", "X-Forwarded-For", "Te", "Referer"} {
			if v, ok := r.Header[name]; ok {
				t.Errorf("the API gets %s: %s", name, v)
			}
		}
		for name, value := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'", "Etag": `"8"`,
			"Set-Cookie": "a=b", "Access-Control-Allow-Origin": "*", "Keep-Alive": "timeout=5", "X-Amzn-Trace-Id": "Root=1",
		} {
			w.Header().Set(name, value)
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "<p>done")
	}))
	defer api.Close()
	w := httptest.NewRecorder()
	consoleOf(api.URL+"/live/_/api/admin").ServeHTTP(w, browser("PUT", "/rules/a%2Fb?dry=1", `{"x":1}`, map[string]string{
		"Authorization": "Bearer mine", "If-Match": `"7"`, "Content-Type": "application/json", "X-Forwarded-For": "192.0.2.1", "Te": "trailers", "Referer": "http://127.0.0.1:8001/",
	}))
	if w.Code != http.StatusAccepted || w.Body.String() != "<p>done" {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	want := []string{"Cache-Control", "Content-Security-Policy", "Content-Type", "Cross-Origin-Resource-Policy", "Etag", "Referrer-Policy", "X-Content-Type-Options", "X-Frame-Options"}
	if got := slices.Sorted(maps.Keys(w.Header())); !slices.Equal(got, want) {
		t.Errorf("the browser gets %q, want %q", got, want)
	}
	if got := fmt.Sprint(w.Header(), w.Body); strings.Contains(got, "secret") || strings.Contains(got, "AKID") {
		t.Errorf("the browser gets credentials: %s", got)
	}
}

func TestConsoleSaysWhatWentWrong(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, test := range map[string]struct {
		of     console
		body   string
		status int
		want   string
	}{
		"no API":         {of: consoleOf(gone.URL), status: http.StatusBadGateway, want: "connection refused"},
		"no credentials": {of: console{admin: admin{account: aws.Config{Credentials: aws.CredentialsProviderFunc(expired)}}, host: "127.0.0.1:8001", token: "OPENSESAME"}, status: http.StatusBadGateway, want: "the session has expired"},
		"a huge body":    {of: consoleOf(gone.URL), body: strings.Repeat("x", largestBody+1), status: http.StatusRequestEntityTooLarge, want: "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			test.of.ServeHTTP(w, browser("POST", "/rules/validate", test.body, nil))
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) || !strings.HasPrefix(w.Body.String(), `{"error":{"code":"Console","message":`) {
				t.Errorf("answered %d %s, want %d and %q", w.Code, w.Body, test.status, test.want)
			}
		})
	}
}

func expired(context.Context) (aws.Credentials, error) {
	return aws.Credentials{}, fmt.Errorf("the session has expired")
}

// From the printed address to an answer, through a browser's own jar of
// cookies, until Ctrl-C.
func TestConsoleServesUntilItIsStopped(t *testing.T) {
	api := answers{"GET /live": {"[]"}, "GET /live/jobs?limit=1": {"{}"}}.serve(t)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := consoleOf(api.URL + "/live")
	c.host = listener.Addr().String()
	ctx, interrupt := context.WithCancel(t.Context())
	printed, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- c.serve(ctx, listener, out) }()
	told := make([]byte, 1000)
	n, err := printed.Read(told)
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+/\?token=\w+`).FindString(string(told[:n]))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Jar: jar}
	for _, step := range []struct{ at, want string }{{address, "[]\n"}, {"http://" + c.host + "/jobs?limit=1", "{}\n"}} {
		answer, err := client.Get(step.at)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || string(body) != step.want {
			t.Errorf("%s answered %d %s (%v), want %q", step.at, answer.StatusCode, body, err, step.want)
		}
	}
	interrupt()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := client.Get(address); err == nil {
		t.Error("it still answers")
	}
}
