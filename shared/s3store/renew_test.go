package s3store_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// rotation is a secret that changes, and a server that takes only its newest
// key.
type rotation struct {
	key   atomic.Int64 // what the secret holds
	good  atomic.Int64 // what the server takes
	code  string       // of a refusal
	reads atomic.Int64
	asked atomic.Int64
}

func (r *rotation) Retrieve(context.Context) (aws.Credentials, error) {
	r.reads.Add(1)
	return aws.Credentials{AccessKeyID: fmt.Sprintf("key-%d", r.key.Load()), SecretAccessKey: "s"}, nil
}

func (r *rotation) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.asked.Add(1)
	if !strings.Contains(q.Header.Get("Authorization"), fmt.Sprintf("Credential=key-%d/", r.good.Load())) {
		w.WriteHeader(http.StatusForbidden)
		if q.Method != http.MethodHead {
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", r.code)
		}
		return
	}
	for k, v := range found("e").header {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	if q.Method == http.MethodPut {
		fmt.Fprint(w, copyResult)
	}
}

func (r *rotation) store(t *testing.T) *s3store.Store {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: "remote", Endpoint: server.URL, PathStyle: true, CredentialsSecret: "s"}}
		},
		Credentials: func(rule.Backend) aws.CredentialsProvider { return r },
		Emulated:    map[string]s3store.Conditions{"remote": native},
	})
}

func TestARotatedSecretHeals(t *testing.T) {
	for _, code := range []string{"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"} {
		t.Run(code, func(t *testing.T) {
			r := &rotation{code: code}
			store := r.store(t)
			for name, act := range map[string]func() error{
				"a look": func() error { _, err := store.Head(t.Context(), toB, false); return err },
				"a copy": func() error {
					_, err := store.Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "e"})
					return err
				},
			} {
				if err := act(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if n := r.reads.Load(); n != 1 {
				t.Errorf("the secret was read %d times, want once", n)
			}
			r.key.Store(1)
			r.good.Store(1)
			if _, err := store.Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "e"}); err != nil {
				t.Errorf("after the rotation: %v", err)
			}
			if reads, asked := r.reads.Load(), r.asked.Load(); reads != 2 || asked != 4 {
				t.Errorf("the secret was read %d times for %d requests, want 2 for 4", reads, asked)
			}
		})
	}
}

func TestManyRefusalsAtATimeReadTheSecretOnce(t *testing.T) {
	r := &rotation{code: "InvalidAccessKeyId"}
	store := r.store(t)
	if _, err := store.Head(t.Context(), toB, false); err != nil {
		t.Fatal(err)
	}
	r.key.Store(1)
	r.good.Store(1)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if _, err := store.Head(t.Context(), toB, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.reads.Load(); n != 2 {
		t.Errorf("the secret was read %d times, want 2", n)
	}
}

// A right that is missing looks like a key that was rotated.
func TestARightThatIsMissingIsAskedForOnce(t *testing.T) {
	r := &rotation{code: "AccessDenied"}
	r.good.Store(1)
	store := r.store(t)
	for range 5 {
		_, err := store.Head(t.Context(), toB, false)
		if object.ClassOf(err) != object.Permanent || object.CodeOf(err) != "AccessDenied" {
			t.Errorf("got %v, want a permanent AccessDenied", err)
		}
	}
	if reads, asked := r.reads.Load(), r.asked.Load(); reads != 2 || asked != 5 {
		t.Errorf("the secret was read %d times for %d requests, want 2 for 5", reads, asked)
	}
}
