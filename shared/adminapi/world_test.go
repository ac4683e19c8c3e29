package adminapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/adminapi"
	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// world is the API over the real life of runs and a store in memory.
type world struct {
	t       testing.TB
	handler *adminapi.Handler
	ledger  *storetest.Ledger
	store   *storetest.Runs
	tickets *storetest.Tickets
	objects *storetest.Objects
	large   *storetest.Transfers
	runs    *run.Runs
	log     bytes.Buffer
	// sleep is what happens while the API waits.
	sleep func()

	mu  sync.Mutex
	now time.Time
}

// The buckets of a world.
var (
	from = object.Bucket{Backend: object.AWS, Name: "from"}
	to   = object.Bucket{Backend: object.AWS, Name: "to"}
)

// rules of a world: a to e are alike, but for d, which is disabled.
var rules = []string{"a", "b", "c", "d", "e"}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, ledger: &storetest.Ledger{}, store: &storetest.Runs{}, tickets: &storetest.Tickets{}, large: &storetest.Transfers{},
		now: time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC),
	}
	w.store.Ledger = w.ledger
	w.runs = run.New(w.store, w.tickets, w.clock)
	w.objects = storetest.NewObjects(w.clock)
	w.objects.AddBucket(from, storetest.Traits{})
	w.objects.AddBucket(to, storetest.Traits{})
	w.handler = &adminapi.Handler{
		Catalogs: w.ledger, Runs: w.runs, Store: w.store, Failures: w.ledger, Hours: w.ledger, Transfers: w.large, Capabilities: w.ledger,
		Inspect: &inspect.Inspector{
			Replicator: replicate.New(w.objects, w.ledger, w.ledger, w.clock, 12*time.Minute),
			Failures:   w.ledger, Transfers: w.large, Lister: w.objects, Now: w.clock, Slots: make(chan struct{}, 2),
		},
		Assets: fstest.MapFS{"htmx.min.js": {Data: []byte("htmx")}, "idiomorph-ext.min.js": {Data: []byte("idiomorph")}},
		Log:    slog.New(slog.NewJSONHandler(&w.log, nil)), Now: w.clock,
		Sleep: func(ctx context.Context, d time.Duration) error {
			if w.sleep != nil {
				w.sleep()
			}
			w.wait(d)
			return ctx.Err()
		},
	}
	c := rule.Catalog{Storage: rule.Default().Storage}
	c.Storage.Buckets = map[string]rule.Bucket{"from": {}, "to": {}}
	for _, name := range rules {
		r := rule.DefaultRule()
		r.Name = name
		r.Source = rule.Side{Bucket: "from", Prefix: name + "/"}
		r.Destination = rule.Side{Bucket: "to", Prefix: name + "/"}
		r.Enabled = name != "d"
		c.Rules = append(c.Rules, rule.Stored{Rule: r, Revision: 1, Deployed: true, CreatedAt: w.now.AddDate(0, -1, 0)})
	}
	w.ledger.SetCatalog(c)
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// catalog changes the rules.
func (w *world) catalog(change func(*rule.Catalog)) {
	c, err := w.ledger.Catalog(context.Background())
	w.must(err)
	change(&c)
	w.ledger.SetCatalog(c)
}

// rule is the rule as the workers have it.
func (w *world) rule(name string) *rule.Active {
	c, err := w.ledger.Catalog(context.Background())
	w.must(err)
	set, err := rule.Compile(c)
	w.must(err)
	return set.Rule(name)
}

// start begins a run as the schedule does.
func (w *world) start(name string) run.Run {
	w.t.Helper()
	begun, err := w.runs.Start(context.Background(), w.rule(name), run.BySchedule, run.Asked{})
	w.must(err)
	return begun
}

// tick is the schedule's: it starts the rule's run if that is due.
func (w *world) tick(name string) {
	w.t.Helper()
	jobs, err := w.store.Jobs(context.Background(), []string{name})
	w.must(err)
	if job := jobs[name]; job.ActiveRun == 0 && !job.NextDue.After(w.clock()) && !w.rule(name).Paused {
		w.start(name)
	}
}

// claim takes the only ticket that was sent.
func (w *world) claim() run.Shard {
	w.t.Helper()
	tickets := w.tickets.Take()
	if len(tickets) != 1 {
		w.t.Fatalf("%d tickets were sent, want 1", len(tickets))
	}
	_, shard, err := w.runs.Claim(context.Background(), tickets[0], "worker")
	w.must(err)
	return shard
}

// finish is the worker that takes the only ticket and ends its shard with these
// totals.
func (w *world) finish(name string, totals run.Totals) run.Run {
	w.t.Helper()
	shard := w.claim()
	shard.Totals = totals
	ended, err := w.runs.End(context.Background(), w.rule(name), shard)
	w.must(err)
	return ended
}

// hold leaves the rule with a run that holds deletes.
func (w *world) hold(name string, deletes int64) {
	w.t.Helper()
	w.start(name)
	w.finish(name, run.Totals{Scanned: deletes, Candidates: deletes, Sample: []string{name + "/gone.txt", name + "/\xff"}})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// answer is what a request came back with.
type answer struct {
	events.APIGatewayProxyResponse
	t testing.TB
}

// ask sends a request: "GET /jobs?x=y", the path as it is sent, under the root.
func (w *world) ask(line string) answer {
	w.t.Helper()
	return w.send(requestOf(line))
}

func requestOf(line string) events.APIGatewayProxyRequest {
	method, target, _ := strings.Cut(line, " ")
	path, text, _ := strings.Cut(target, "?")
	query, _ := url.ParseQuery(text)
	e := events.APIGatewayProxyRequest{
		HTTPMethod: method, Path: adminapi.Root + path, MultiValueQueryStringParameters: query,
	}
	e.RequestContext.RequestID = "request-1"
	e.RequestContext.Identity.UserArn = "arn:aws:iam::111122223333:user/operator"
	e.RequestContext.Identity.SourceIP = "192.0.2.1"
	return e
}

// send has the handler answer, and checks what is true of every answer.
func (w *world) send(e events.APIGatewayProxyRequest) answer {
	w.t.Helper()
	response, err := w.handler.Handle(context.Background(), e)
	w.must(err)
	a := answer{response, w.t}
	if problem := malformed(e, response); problem != "" {
		w.t.Errorf("%s %s: %s: %+v", e.HTTPMethod, e.Path, problem, response)
	}
	return a
}

// malformed says what is wrong with the form of an answer.
func malformed(e events.APIGatewayProxyRequest, r events.APIGatewayProxyResponse) string {
	if r.Headers["Cache-Control"] != "no-store" {
		return "it may be cached"
	}
	if (r.StatusCode == http.StatusMethodNotAllowed) != (r.Headers["Allow"] != "") {
		return "Allow belongs to 405"
	}
	if r.StatusCode == http.StatusNoContent || e.HTTPMethod == http.MethodHead {
		if r.Body != "" {
			return "there is a body"
		}
		return ""
	}
	if r.Headers["Content-Security-Policy"] != "" {
		if r.StatusCode != http.StatusOK || r.Body == "" || r.Headers["X-Content-Type-Options"] != "nosniff" {
			return "it is not the form of what the page has"
		}
		return ""
	}
	if r.Headers["Content-Type"] != "application/json" {
		return "it is not JSON by its type"
	}
	if !json.Valid([]byte(r.Body)) {
		return "it is not JSON"
	}
	if r.StatusCode >= http.StatusBadRequest {
		var body map[string]map[string]any
		if json.Unmarshal([]byte(r.Body), &body) != nil || len(body) != 1 || len(body["error"]) != 3 ||
			body["error"]["code"] == "" || body["error"]["message"] == "" || body["error"]["details"] == nil {
			return "it is not the form of errors"
		}
	}
	return ""
}

// json is the body as an object.
func (a answer) json() map[string]any {
	a.t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
		a.t.Fatalf("%v in %q", err, a.Body)
	}
	return body
}

// code is that of an error, else empty.
func (a answer) code() string {
	if a.StatusCode < http.StatusBadRequest || a.Body == "" {
		return ""
	}
	return fmt.Sprint(a.json()["error"].(map[string]any)["code"])
}

// wants checks the status and, of an error, the code.
func (a answer) wants(status int, code string) answer {
	a.t.Helper()
	if a.StatusCode != status || a.code() != code {
		a.t.Fatalf("got %d %s, want %d %s: %s", a.StatusCode, a.code(), status, code, a.Body)
	}
	return a
}

// lines are the log's lines with this message.
func (w *world) lines(message string) []map[string]any {
	w.t.Helper()
	var found []map[string]any
	for text := range strings.Lines(w.log.String()) {
		var line map[string]any
		w.must(json.Unmarshal([]byte(text), &line))
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// failHook fails the named operations as if the store were throttled, in the way
// of fault.
func failHook(fault storetest.Fault, ops ...string) storetest.Hook {
	return func(c storetest.Call) (storetest.Fault, error) {
		for _, op := range ops {
			if c.Op == op {
				return fault, &object.Error{Class: object.Retryable, Op: op, Code: "ThrottlingException", Err: fmt.Errorf("secret internals")}
			}
		}
		return storetest.None, nil
	}
}
