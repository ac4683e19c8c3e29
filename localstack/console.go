package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"bucket-replicator/localstack/signed"
)

// largestBody is more than the API looks at.
const largestBody = 1 << 20

// console is the admin API for a browser, which cannot sign: a proxy on this
// machine signs what the browser asks with the person's own credentials, and
// the browser never sees them.
//
// Whoever reaches the proxy acts as that person, so it lets in only the page
// that it served itself, opened by somebody who read the terminal: see refuse.
type console struct {
	admin
	host  string // 127.0.0.1 and the port, as the browser sends it
	token string // of this start
}

// runConsole serves the console until ctx ends.
func runConsole(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("console", flag.ExitOnError)
	stack := flags.String("stack", stackName(), "name of the stack")
	port := flags.Int("port", 0, "port on 127.0.0.1 (default: a free one)")
	_ = flags.Parse(args) // exits on error
	api, err := findAdmin(ctx, *stack)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		return err
	}
	return console{api, listener.Addr().String(), rand.Text()}.serve(ctx, listener, out)
}

// serve tells where, and answers until ctx ends.
func (c console) serve(ctx context.Context, listener net.Listener, out io.Writer) error {
	server := &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	fmt.Fprintf(out, "console of %s; Ctrl-C ends it. Open:\n\nhttp://%s/?token=%s\n\n", c.place, c.host, c.token)
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		err := server.Close()
		<-stopped
		return err
	}
}

// ServeHTTP answers what the API answers, with / as the API's root.
func (c console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// No other page may embed or read what is answered; the API's own policy
	// says what this one may load.
	w.Header().Set("X-Frame-Options", "DENY")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("Referrer-Policy", "same-origin") // with no-referrer the Origin can be null
	w.Header().Set("Cache-Control", "no-store")
	if status, why := c.refuse(r); status != 0 {
		problem(w, status, why)
		return
	}
	if r.URL.Path == "/" && r.URL.Query().Has("token") {
		http.SetCookie(w, &http.Cookie{Name: c.cookie(), Value: c.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(w, r, "/", http.StatusSeeOther) // so that the token stays in no address bar
		return
	}
	c.forward(w, r)
}

// refuse answers why a request is not let through, or 0.
//
// Other sites can have a browser send requests here, so a request has to name
// this host as nothing but 127.0.0.1 (a name that somebody else's DNS points
// here is none of ours), must not say that another origin made it, has to say
// that this one did if it can change anything, and needs the token, of which
// the browser keeps a cookie that it sends for this site's own pages alone.
// https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
func (c console) refuse(r *http.Request) (status int, why string) {
	const otherSite = "this request comes from another site"
	asks := r.Method == http.MethodGet || r.Method == http.MethodHead
	origin := r.Header.Values("Origin")
	if r.Host != c.host {
		return http.StatusMisdirectedRequest, "this is http://" + c.host + ", and nothing else"
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && !(asks && site == "none") {
		return http.StatusForbidden, otherSite
	}
	if len(origin) > 1 || len(origin) == 1 && origin[0] != "http://"+c.host || len(origin) == 0 && !asks {
		return http.StatusForbidden, otherSite
	}
	if !c.knows(r) {
		return http.StatusUnauthorized, "open the address that make console printed; each start has its own"
	}
	if path.Clean(r.URL.Path) != r.URL.Path {
		return http.StatusBadRequest, "this path is not as short as it could be"
	}
	return 0, ""
}

// knows tells whether the request has the token: in its cookie, or as the
// printed address has it.
func (c console) knows(r *http.Request) bool {
	said := ""
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		said = r.URL.Query().Get("token")
	}
	if kept, err := r.Cookie(c.cookie()); err == nil && said == "" {
		said = kept.Value
	}
	return subtle.ConstantTimeCompare([]byte(said), []byte(c.token)) == 1
}

// cookie is the name of the cookie. Cookies know hosts but not ports, so that
// two consoles at a time need two names.
func (c console) cookie() string {
	_, port, _ := strings.Cut(c.host, ":")
	return "console-" + port
}

// What of the headers goes on: not the browser's cookies, nothing that concerns
// a single connection, and nothing that would let another site in.
var (
	toAPI     = []string{"Accept", "Content-Type", "If-Match", "If-None-Match"}
	toBrowser = []string{"Allow", "Content-Security-Policy", "Content-Type", "Etag", "Retry-After"}
)

// forward sends the request on, signed, and hands back what is answered.
func (c console) forward(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestBody))
	if err != nil {
		problem(w, http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	target, err := url.Parse(c.url + strings.TrimSuffix(r.URL.EscapedPath(), "/")) // only / itself ends with one
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	target.RawQuery = r.URL.RawQuery
	request, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), nil)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	copyHeaders(request.Header, r.Header, toAPI)
	answer, err := signed.Send(c.account, "execute-api", request, string(body))
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return // nobody waits for it any more
		}
		problem(w, http.StatusBadGateway, err.Error())
		return
	}
	defer answer.Body.Close()
	copyHeaders(w.Header(), answer.Header, toBrowser)
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the browser sees that something is missing
}

func copyHeaders(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			to[name] = values
		}
	}
}

// problem answers in the API's form of errors.
func problem(w http.ResponseWriter, status int, message string) {
	type fields struct {
		Code    string   `json:"code"`
		Message string   `json:"message"`
		Details []string `json:"details"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]fields{"error": {"Console", message, []string{}}})
}
