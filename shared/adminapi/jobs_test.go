package adminapi_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

func TestAJobHasAllItsFields(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.wait(time.Minute)
	w.finish("a", run.Totals{Scanned: 4, Copied: 3, Bytes: 15, Skipped: map[string]int64{"in_sync": 1}, Sources: 4})
	const want = `{"id":"replication:a","kind":"replication","name":"a","scope":"aws/from/a/ -> aws/to/a/","enabled":true,"paused":false,` +
		`"status":"ok","status_raw":"succeeded","progress":{"processed":4,"total":4,"bytes":15,"failed":0,"skipped":1},` +
		`"lifetime":{"runs":1,"since":"2026-04-01T12:00:00Z","processed":4,"copied":3,"skipped":1,"deleted":0,"failed":0,"bytes":15},` +
		`"large_objects":null,"last_run_at":"2026-04-01T12:00:00Z","next_due_at":"2026-04-01T12:10:00Z","last_error":null,` +
		`"detail":"Run 1 saw every key: 4 keys, 3 objects copied, 0 deleted."}` + "\n"
	if got := w.ask("GET /jobs/a").Body; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	if got := w.ask("GET /jobs/replication:a").Body; got != want {
		t.Errorf("by its id it is another: %s", got)
	}
	const never = `{"id":"replication:b","kind":"replication","name":"b","scope":"aws/from/b/ -> aws/to/b/","enabled":true,"paused":false,` +
		`"status":"never_run","status_raw":null,"progress":{"processed":0,"total":null,"bytes":0,"failed":0,"skipped":0},` +
		`"lifetime":{"runs":0,"since":null,"processed":0,"copied":0,"skipped":0,"deleted":0,"failed":0,"bytes":0},` +
		`"large_objects":null,"last_run_at":null,"next_due_at":"2026-04-01T12:01:00Z","last_error":null,` +
		`"detail":"No run is on record; the first begins by itself."}` + "\n"
	if got := w.ask("GET /jobs/b").Body; got != never {
		t.Errorf("got  %swant %s", got, never)
	}
}

func TestTheStatusOfAJob(t *testing.T) {
	type fields = map[string]any
	finish := func(totals run.Totals) func(*world) {
		return func(w *world) { w.start("a"); w.finish("a", totals) }
	}
	tests := map[string]struct {
		before func(*world)
		want   fields
	}{
		"disabled":        {func(w *world) { w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.Enabled = false }) }, fields{"status": "disabled", "enabled": false, "next_due_at": nil}},
		"all is disabled": {func(w *world) { w.catalog(func(c *rule.Catalog) { c.Storage.Replication.Enabled = false }) }, fields{"status": "disabled", "enabled": false, "next_due_at": nil}},
		"disabled and paused": {func(w *world) {
			w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.Enabled, c.Rules[0].Paused = false, true })
		}, fields{"status": "disabled", "paused": true}},
		"paused":  {func(w *world) { w.hold("a", 5); w.catalog(func(c *rule.Catalog) { c.Rules[0].Paused = true }) }, fields{"status": "paused", "status_raw": "deletes_held", "next_due_at": nil}},
		"queued":  {func(w *world) { w.start("a") }, fields{"status": "running", "status_raw": "queued", "detail": "Run 1 waits for its first worker."}},
		"copying": {func(w *world) { w.start("a"); w.claim() }, fields{"status": "running", "status_raw": "running", "detail": "Run 1 compares and copies; 0 keys scanned so far."}},
		"deleting": {func(w *world) {
			w.hold("a", 1)
			w.ask("POST /jobs/a/approve-deletes")
		}, fields{"status": "running", "status_raw": "running", "detail": "Run 1 deletes; 1 key scanned so far."}},
		"ok": {finish(run.Totals{Scanned: 1, Deleted: 1}), fields{"status": "ok", "detail": "Run 1 saw every key: 1 key, 0 objects copied, 1 deleted."}},
		"ok, and large objects are on their way": {finish(run.Totals{Scanned: 2, Skipped: map[string]int64{"transferring": 2}}), fields{"status": "ok",
			"detail": "Run 1 saw every key: 2 keys, 0 objects copied, 0 deleted. It left 2 large objects to be copied by parts."}},
		"some objects failed": {finish(run.Totals{Scanned: 2, Errors: 1, Copied: 1}), fields{"status": "errors", "status_raw": "completed_with_errors",
			"detail": "Run 1 saw every key, but 1 object failed: see /jobs/a/failures for why, and what to do."}},
		"failed": {func(w *world) {
			w.start("a")
			shard := w.claim()
			shard.Error = "list aws/from: AccessDenied"
			_, err := w.runs.End(context.Background(), w.rule("a"), shard)
			w.must(err)
		}, fields{"status": "failing", "status_raw": "failed", "last_error": "list aws/from: AccessDenied",
			"detail": "Run 1 did not see all keys: list aws/from: AccessDenied. It is tried again by itself."}},
		"cancelled": {func(w *world) { w.start("a"); w.ask("POST /jobs/a/kill") }, fields{"status": "cancelled", "status_raw": "cancelled"}},
		"too many deletes at once": {finish(run.Totals{Scanned: 2000, Sources: 500, Candidates: 1500}), fields{"status": "held",
			"detail": "Run 1 holds 1500 deletes: max_deletes allows 1000, and 10 percent of the keys. " +
				"If that is right, POST to /jobs/a/approve-deletes?deletes=1500; if not, put the source right, and the next run looks again."}},
		"more deletes than were allowed": {func(w *world) {
			w.hold("a", 1)
			w.ask("POST /jobs/a/approve-deletes")
			w.finish("a", run.Totals{Scanned: 3, Deleted: 1, Candidates: 1, Held: 2})
		}, fields{"status": "held",
			"detail": "Run 1 holds 2 deletes: they came on top of those that were allowed. " +
				"If that is right, POST to /jobs/a/approve-deletes?deletes=2; if not, put the source right, and the next run looks again."}},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			test.before(w)
			got := w.ask("GET /jobs/a").wants(200, "").json()
			for name, want := range test.want {
				if got[name] != want {
					t.Errorf("%s is %v, want %v", name, got[name], want)
				}
			}
		})
	}
}

// total is a number only where somebody knows it.
func TestWhatIsExpectedOfARun(t *testing.T) {
	first := func(w *world) { w.start("a"); w.finish("a", run.Totals{Scanned: 50, Copied: 50}) }
	scanned := func(n int64) func(*world) {
		return func(w *world) {
			w.start("a")
			shard := w.claim()
			shard.Scanned = n
			_, err := w.runs.Save(context.Background(), &shard)
			w.must(err)
		}
	}
	tests := map[string]struct {
		before    []func(*world)
		processed float64
		total     any
	}{
		"the first run, at its beginning":   {[]func(*world){scanned(0)}, 0, nil},
		"the first run, on its way":         {[]func(*world){scanned(20)}, 20, nil},
		"the next one, by the one before":   {[]func(*world){first, scanned(20)}, 20, 50.0},
		"one that found more than expected": {[]func(*world){first, scanned(60)}, 60, nil},
		"one that has seen all":             {[]func(*world){first, first}, 50, 50.0},
		"one that was killed":               {[]func(*world){first, scanned(20), func(w *world) { w.ask("POST /jobs/a/kill") }}, 20, 50.0},
		"one that deletes":                  {[]func(*world){func(w *world) { w.hold("a", 5); w.ask("POST /jobs/a/approve-deletes") }}, 5, 5.0},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			for _, before := range test.before {
				before(w)
			}
			got := w.ask("GET /jobs/a").json()["progress"].(map[string]any)
			if got["processed"] != test.processed || got["total"] != test.total {
				t.Errorf("got %v of %v, want %v of %v", got["processed"], got["total"], test.processed, test.total)
			}
		})
	}
}

// The lifetime is that of all runs, the one under way included.
func TestTheLifetimeOfAJob(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.start("a")
		w.finish("a", run.Totals{Scanned: 10, Copied: int64(i), Bytes: 100, Errors: 1, Skipped: map[string]int64{"in_sync": 4, "echo": 1}})
		w.wait(time.Hour)
	}
	w.start("a")
	shard := w.claim()
	shard.Totals = run.Totals{Scanned: 5, Copied: 5, Bytes: 50}
	_, err := w.runs.Save(context.Background(), &shard)
	w.must(err)
	want := map[string]any{
		"runs": 4.0, "since": "2026-04-01T12:00:00Z", "processed": 35.0, "copied": 8.0, "skipped": 15.0, "deleted": 0.0, "failed": 3.0, "bytes": 350.0,
	}
	if got := w.ask("GET /jobs/a").json()["lifetime"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Requests are the bill: a batch, another for the last runs that were not known,
// and a query for each run that is under way.
func TestWhatAListOfJobsCosts(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	before := w.store.Counts()
	body := w.ask("GET /jobs").wants(200, "").json()
	var names []string
	for _, job := range body["jobs"].([]any) {
		names = append(names, job.(map[string]any)["name"].(string))
	}
	if fmt.Sprint(names) != fmt.Sprint(rules) {
		t.Errorf("listed %v", names)
	}
	got := map[string]int{}
	for op, n := range w.store.Counts() {
		if n -= before[op]; n > 0 {
			got[op] = n
		}
	}
	if want := map[string]int{"runs.overview": 2, "runs.shards": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if reads := w.ledger.Counts()["catalog.read"]; reads != 2 { // one by start
		t.Errorf("the catalog was read %d times", reads)
	}
}
