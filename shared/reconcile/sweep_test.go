package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
)

// calm is a world in which nothing fails.
func calm(t *testing.T, traits storetest.Traits, change ...func(*rule.Rule)) *world {
	r := storetest.Mirror("a", "b")
	for _, c := range change {
		c(&r)
	}
	return newWorld(t, rand.New(rand.NewPCG(1, 2)), traits, r)
}

func followDeletes(r *rule.Rule) { r.ReplicateDeletes = true }

// start begins a run, and answers its first ticket.
func (w *world) start(existing bool) (run.Run, run.Ticket) {
	w.t.Helper()
	r, err := w.runs.Start(context.Background(), w.rule(), run.ByRunNow, run.Asked{Existing: existing})
	if err != nil {
		w.t.Fatal(err)
	}
	tickets := w.tickets.Take()
	if len(tickets) != 1 {
		w.t.Fatalf("tickets of a new run: %v", tickets)
	}
	return r, tickets[0]
}

// ended is the run as it is now, which must be over.
func (w *world) ended(id int64) run.Run {
	w.t.Helper()
	r, err := w.store.Run(context.Background(), "a-b", id)
	if err != nil {
		w.t.Fatal(err)
	}
	if r.State.Active() {
		w.t.Fatalf("not over: %+v", r)
	}
	return r
}

// Requests are the bill: what a sweep asks for, by kind.
func TestWhatASweepCosts(t *testing.T) {
	const n = 2500
	bill := func(w *world) map[string]int {
		all := map[string]int{}
		for _, counts := range []map[string]int{w.objects.Counts(), w.ledger.Counts()} {
			for op, c := range counts {
				all[op] += c
			}
		}
		return all
	}
	sweep := func(w *world) (run.Run, map[string]int) {
		before := bill(w)
		r, ticket := w.start(false)
		if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		asked := map[string]int{}
		for op, c := range bill(w) {
			if c -= before[op]; c > 0 {
				asked[op] = c
			}
		}
		return w.ended(r.ID), asked
	}
	for name, test := range map[string]struct {
		traits storetest.Traits
		reads  int // of the ledger by a sweep of what is in step, beside the rules'
	}{
		"tags that tell contents apart": {storetest.Traits{}, 0},
		"tags as of KMS":                {storetest.Traits{FreshETags: true}, (n + 98) / 99},
	} {
		t.Run(name, func(t *testing.T) {
			w := calm(t, test.traits, func(r *rule.Rule) { r.BatchSize = 10_000 })
			w.t = t
			for i := range n {
				w.put(source, fmt.Sprintf("%05d", i), fmt.Sprint("text ", i))
			}
			first, asked := sweep(w)
			if first.Copied != n || asked["objects.copy"] != n || asked["ledger.put"] != n || asked["objects.head"] != 0 ||
				asked["objects.list"] != 3+1 || asked["ledger.read"] > n/99+3 || asked["ledger.count"] != 1 {
				t.Errorf("to copy %d objects: %v, %+v", n, asked, first)
			}
			second, asked := sweep(w)
			want := map[string]int{"objects.list": 2 * 3, "ledger.read": 1 + test.reads, "catalog.read": 1 + 1} // one of each is to read the rules, and one is this test's own
			if second.Skipped[string(decide.InSync)] != n || fmt.Sprint(asked) != fmt.Sprint(want) {
				t.Errorf("nothing changed: %v, want %v; %+v", asked, want, second)
			}
		})
	}
}

// A listing that fails, or lists nothing all at once, deletes nothing.
func TestWhatDeletesNothing(t *testing.T) {
	set := func(t *testing.T) *world {
		w := calm(t, storetest.Traits{}, followDeletes)
		w.t = t
		for i := range 15 { // few enough for the percentage not to matter
			w.put(source, fmt.Sprintf("%02d", i), "x")
		}
		w.sweep()
		return w
	}
	t.Run("a source that suddenly lists empty", func(t *testing.T) {
		w := set(t)
		for i := range 15 {
			w.remove(source, fmt.Sprintf("%02d", i))
		}
		r, ticket := w.start(false)
		if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		if r := w.ended(r.ID); r.State != run.DeletesHeld || r.Held != 15 || r.Deleted != 0 || len(w.texts(dest)) != 15 || len(r.Sample) == 0 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a listing that fails on its last page", func(t *testing.T) {
		for _, class := range []object.Class{object.Permanent, object.Retryable} {
			w := set(t)
			w.remove(source, "03")
			lists := 0
			w.fate = func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == "objects.list" && c.Ref.Bucket == source {
					if lists++; lists%7 == 0 {
						return storetest.FailBefore, &object.Error{Class: class, Op: "list", Ref: c.Ref, Code: "Injected", Err: errors.New("refused")}
					}
				}
				return storetest.None, nil
			}
			r, ticket := w.start(false)
			if err := w.worker(2).Work(t.Context(), ticket, "w"); (err != nil) != (class == object.Retryable) {
				t.Errorf("answered %v", err)
			}
			w.fate = nil
			if class == object.Retryable {
				if got, _ := w.store.Run(t.Context(), "a-b", r.ID); !got.State.Active() || len(w.texts(dest)) != 15 {
					t.Errorf("%+v", got)
				}
				if end := w.finish(r.ID); end.State != run.Succeeded || end.Deleted != 1 || end.Scanned != 15 {
					t.Errorf("in the end: %+v", end)
				}
				continue
			}
			if got := w.ended(r.ID); got.State != run.Failed || got.Error == "" || len(w.texts(dest)) != 15 {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("a bucket that is gone", func(t *testing.T) {
		w := set(t)
		w.fate = func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "objects.list" && c.Ref.Bucket == source {
				return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "list", Ref: c.Ref, Code: "NoSuchBucket", Err: errors.New("no such bucket")}
			}
			return storetest.None, nil
		}
		r, ticket := w.start(false)
		if err := w.worker(2).Work(t.Context(), ticket, "w"); err != nil {
			t.Error(err)
		}
		if got := w.ended(r.ID); got.State != run.Failed || len(w.texts(dest)) != 15 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a source that is back at the last moment", func(t *testing.T) {
		w := set(t)
		w.remove(source, "03")
		r, ticket := w.start(false)
		if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		w.fate = func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "runs.save" && w.text(source, "03") == "" { // what is to be deleted is written down
				w.put(source, "03", "back")
			}
			return storetest.None, nil
		}
		if end := w.finish(r.ID); end.State != run.Succeeded || end.Deleted != 0 || w.text(dest, "03") == "" {
			t.Errorf("%+v", end)
		}
	})
	t.Run("a source that is back at the second look", func(t *testing.T) {
		w := set(t)
		w.remove(source, "03")
		w.remove(source, "05")
		r, ticket := w.start(false)
		if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		w.put(source, "03", "back")
		end := w.finish(r.ID)
		if end.State != run.Succeeded || end.Deleted != 1 || w.text(dest, "03") == "" || end.Skipped[string(decide.Reappeared)] != 1 {
			t.Errorf("%+v", end)
		}
	})
}

func TestMoreThanWasCountedIsHeldAgain(t *testing.T) {
	w := calm(t, storetest.Traits{}, followDeletes)
	for i := range 15 {
		w.put(source, fmt.Sprintf("%02d", i), "x")
	}
	w.sweep()
	for i := range 3 {
		w.remove(source, fmt.Sprintf("%02d", i))
	}
	r, ticket := w.start(false)
	if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 { // between the phases somebody deletes more
		w.remove(source, fmt.Sprintf("%02d", i))
	}
	end := w.finish(r.ID)
	if end.State != run.DeletesHeld || end.Deleted != 3 || end.Held != 7 || len(w.texts(dest)) != 12 {
		t.Fatalf("%+v", end)
	}
	if _, err := w.runs.Approve(t.Context(), w.rule(), 0); err != nil {
		t.Fatal(err)
	}
	end = w.finish(r.ID)
	if end.State != run.Succeeded || end.Deleted != 10 || len(w.texts(dest)) != 5 || !end.Approved {
		t.Fatalf("approved: %+v", end)
	}
}

// A marker over a replica looks in a listing as if there had never been one.
func TestADeleteOnTheOtherSideIsNotUndone(t *testing.T) {
	r, back := storetest.Mirror("a", "b"), storetest.Mirror("b", "a")
	r.DeleteMarkers, back.DeleteMarkers = true, true
	w := newWorld(t, rand.New(rand.NewPCG(1, 2)), storetest.Traits{Versioned: true}, r, back)
	w.put(source, "k", "x")
	w.sweep()
	w.remove(dest, "k")
	if got := w.sweep(); got.Copied != 0 || got.Skipped[string(decide.DeletedThere)] != 1 || w.text(dest, "k") != "" {
		t.Errorf("%+v", got)
	}
}

func TestAResyncLooksAtEveryObject(t *testing.T) {
	w := calm(t, storetest.Traits{}, func(r *rule.Rule) { r.ExistingObjects = false })
	w.put(source, "new", "x")
	w.sweep()
	w.clock = w.clock.Add(-24 * time.Hour)
	w.put(source, "old", "x")
	w.clock = w.clock.Add(24 * time.Hour)
	if r := w.sweep(); r.Skipped[string(decide.Existing)] != 1 || r.Copied != 0 {
		t.Errorf("%+v", r)
	}
	heads := w.objects.Counts()["objects.head"]
	r, ticket := w.start(true)
	if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
		t.Fatal(err)
	}
	if r := w.ended(r.ID); r.Copied != 1 || w.text(dest, "old") != "x" || w.objects.Counts()["objects.head"]-heads != 4 {
		t.Errorf("%d looks, %+v", w.objects.Counts()["objects.head"]-heads, r)
	}
}

// A worker whose time runs out puts the rest back, and another goes on with it.
func TestTheRestIsPutBackBeforeTheDeadline(t *testing.T) {
	w := calm(t, storetest.Traits{})
	for i := range 40 {
		w.put(source, fmt.Sprintf("%02d", i), "x")
	}
	// Less than what is kept in reserve: not a page is read.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, ticket := w.start(false)
	if err := w.worker(3).Work(ctx, ticket, "w"); err != nil {
		t.Fatal(err)
	}
	rest := w.tickets.Take()
	if len(rest) != 1 || rest[0].Hop != 1 || len(w.texts(dest)) != 0 {
		t.Fatalf("put back %+v", rest)
	}
	if err := w.worker(3).Work(t.Context(), rest[0], "v"); err != nil {
		t.Fatal(err)
	}
	if r := w.ended(r.ID); r.Copied != 40 {
		t.Errorf("%+v", r)
	}
	hours, err := w.ledger.Hours(t.Context(), "a-b", time.Time{})
	if err != nil || len(hours) != 1 || hours[0].Copied != 40 || hours[0].Bytes != 40 || hours[0].Lag.Count() != 0 {
		t.Errorf("hours %+v, %v", hours, err)
	}
	if n := w.ledger.Counts()["ledger.count"]; n != 1 {
		t.Errorf("counted %d times, want once by the attempt that did something", n)
	}
}

// The hours of attempts that all lived add up to what the runs did; one that
// cannot be counted changes nothing else.
func TestHoursAddUpToWhatRunsDid(t *testing.T) {
	w := calm(t, storetest.Traits{}, followDeletes, func(r *rule.Rule) { r.MaxDeletes.Percent = 100 })
	for i := range 30 {
		w.put(source, fmt.Sprintf("%02d", i), "xy")
	}
	first := w.sweep()
	for i := range 10 {
		w.remove(source, fmt.Sprintf("%02d", i))
	}
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.copy" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: c.Op, Code: "AccessDenied", Err: errors.New("denied")}
		}
		return storetest.None, nil
	}
	w.put(source, "new", "z")
	second := w.sweep()
	w.fate = nil
	hours, err := w.ledger.Hours(t.Context(), "a-b", time.Time{})
	if err != nil || len(hours) != 1 {
		t.Fatalf("hours %+v, %v", hours, err)
	}
	sum := first.Totals.Add(second.Totals)
	if h := hours[0]; h.Copied != sum.Copied || h.Bytes != sum.Bytes || h.Deleted != sum.Deleted || h.Failed != sum.Errors ||
		h.Copied != 30 || h.Deleted != 10 || h.Failed != 1 {
		t.Errorf("hours %+v, runs %+v", h, sum)
	}

	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "ledger.count" {
			return storetest.FailBefore, errInjected
		}
		return storetest.None, nil
	}
	if r := w.sweep(); r.State != run.Succeeded || r.Copied != 1 {
		t.Errorf("where nothing can be counted: %+v", r)
	}
}

// A shard that nobody gets on with fails its run, and does not come for ever.
func TestWhatIsParkedIsOneSkip(t *testing.T) {
	w := calm(t, storetest.Traits{})
	w.does(func() {
		w.objects.Put(object.Ref{Bucket: source, Key: "frozen"}, storetest.Content{Body: []byte("x"), StorageClass: "GLACIER"})
	})
	_, ticket := w.start(false)
	var lines bytes.Buffer
	worker := w.worker(10)
	worker.Metrics = telemetry.NewMetrics("Test", &lines, w.now)
	if err := worker.Work(context.Background(), ticket, "worker"); err != nil {
		t.Fatal(err)
	}
	if err := worker.Metrics.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := lines.String(); !strings.Contains(got, `"ObjectsSkipped":1,`) || !strings.Contains(got, `"reason":"archived"`) {
		t.Errorf("the metrics are %s", got)
	}
}

func TestAShardWithoutProgressFails(t *testing.T) {
	w := calm(t, storetest.Traits{})
	w.put(source, "a", "x")
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.list" {
			return storetest.FailBefore, errInjected
		}
		return storetest.None, nil
	}
	r, ticket := w.start(false)
	for range 20 {
		_ = w.worker(3).Work(t.Context(), ticket, "w")
	}
	if got := w.ended(r.ID); got.State != run.Failed || got.Error == "" {
		t.Errorf("%+v", got)
	}
}

// Failures are recorded up to what is retained, and a sweep in which they do not
// come up again clears them.
func TestAFailureThatHealedLeavesTheList(t *testing.T) {
	w := calm(t, storetest.Traits{})
	const n = 150
	for i := range n {
		w.put(source, fmt.Sprintf("%03d", i), "x")
	}
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.copy" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Op: "copy", Ref: c.Ref, Code: "AccessDenied", Err: errors.New("denied")}
		}
		return storetest.None, nil
	}
	r, ticket := w.start(false)
	if err := w.worker(1000).Work(t.Context(), ticket, "w"); err != nil {
		t.Fatal(err)
	}
	w.fate = nil
	got := w.ended(r.ID)
	failures, err := w.ledger.Failures(t.Context(), "a-b", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.State != run.CompletedWithErrors || got.Errors != n || len(failures) != 100 || failures[0].Run != r.ID || failures[0].Advice == "" {
		t.Errorf("%d recorded: %+v", len(failures), got)
	}
	w.pass(time.Minute)
	if got := w.sweep(); got.State != run.Succeeded || got.Copied != n {
		t.Errorf("%+v", got)
	}
	if failures, _ := w.ledger.Failures(t.Context(), "a-b", 0); len(failures) != 0 {
		t.Errorf("%d failures are left", len(failures))
	}
}
