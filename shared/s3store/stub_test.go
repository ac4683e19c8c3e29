package s3store_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// stub answers requests from a script, and keeps them.
type stub struct {
	t       *testing.T
	answers []answer

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

type answer struct {
	status int
	header http.Header
	body   string
	hangUp bool // close the connection instead
}

// failed is an error as S3 sends it.
func failed(status int, code string) answer {
	return answer{status: status, body: fmt.Sprintf("<Error><Code>%s</Code><Message>m</Message></Error>", code)}
}

const copyResult = `<CopyObjectResult><ETag>"new"</ETag><LastModified>2026-01-02T03:04:05.678Z</LastModified></CopyObjectResult>`

func found(etag string, header ...string) answer {
	h := http.Header{
		"Etag":           {`"` + etag + `"`},
		"Last-Modified":  {"Fri, 02 Jan 2026 03:04:05 GMT"},
		"Content-Length": {"5"},
	}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return answer{status: 200, header: h}
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.requests)
	s.requests = append(s.requests, r.Clone(s.t.Context()))
	body, _ := io.ReadAll(r.Body) // what did not come whole is found wanting by who looks at it
	s.bodies = append(s.bodies, string(body))
	if n >= len(s.answers) {
		s.t.Errorf("unexpected request %d: %s %s", n, r.Method, r.URL)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	a := s.answers[n]
	if a.hangUp {
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, a.body)
	}
}

// sent are the requests that came: method, path and what is after it, if
// anything.
func (s *stub) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.requests {
		line := r.Method + " " + r.URL.Path
		if q := r.URL.Query(); len(q) > 0 {
			q.Del("x-id") // the SDK's name for the operation
			if len(q) > 0 {
				line += "?" + q.Encode()
			}
		}
		all = append(all, line)
	}
	return all
}

func (s *stub) wantSent(want ...string) {
	s.t.Helper()
	if got := s.sent(); !slices.Equal(got, want) {
		s.t.Errorf("sent\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

var remote = object.Bucket{Backend: "remote", Name: "b"}

func (s *stub) listen() string {
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	return server.URL
}

// store is a Store whose backend "remote" is the stub.
func (s *stub) store(emulated s3store.Conditions) *s3store.Store {
	address := s.listen()
	return s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: "remote", Endpoint: address, PathStyle: true}}
		},
		Emulated: map[string]s3store.Conditions{"remote": emulated},
	})
}

func plainConfig() aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}
}

func script(t *testing.T, answers ...answer) *stub { return &stub{t: t, answers: answers} }
