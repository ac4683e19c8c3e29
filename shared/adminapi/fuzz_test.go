package adminapi_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"bucket-replicator/shared/adminapi"
)

// Whatever is asked for, the answer is one of ours, and nothing goes wrong.
func FuzzRequests(f *testing.F) {
	for _, path := range []string{"/healthz", "/jobs", "/jobs/a", "/jobs/replication%3Aa/run-now", "/jobs/a/runs", "/jobs/b/failures", "/jobs/b/hours",
		"/jobs/b/pause", "/jobs/c/resume", "/jobs/a/kill", "/jobs/e/approve-deletes", "/jobs/%zz", "/jobs/a%2Fb", "//"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
			f.Add(method, adminapi.Root+path, "limit=10", "")
		}
	}
	f.Add("POST", adminapi.Root+"/jobs/b/run-now", "existing=true", "{}")
	f.Add("POST", adminapi.Root+"/jobs/e/approve-deletes", "deletes=5", "")
	f.Add("GET", adminapi.Root+"/jobs/a/runs", "limit=100&cursor=MQ", "")
	f.Add("GET", adminapi.Root+"/objects", "bucket=from&key=a/%FF&wait=1s", "")
	f.Add("POST", adminapi.Root+"/jobs/a/plan", "cursor=eyJuIjoiYSJ9", "")
	f.Add("GET", "", "", "\x00")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		w := newWorld(t)
		w.hold("e", 5)
		w.start("a")
		w.must(w.ledger.SetPaused(context.Background(), "c", true))
		e := requestOf(method + " ")
		e.HTTPMethod, e.Path, e.Body = method, path, body
		e.MultiValueQueryStringParameters, _ = url.ParseQuery(query)
		if got := w.send(e); got.StatusCode < 200 || got.StatusCode > 499 {
			t.Errorf("%s %q?%q: %d %s", method, path, query, got.StatusCode, got.Body)
		}
	})
}
