package inspect_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

func TestTheStatusOfAnObject(t *testing.T) {
	deletes := func(r *rule.Rule) { r.ReplicateDeletes = true }
	fail := func(w *world) {
		w.must(w.ledger.Fail(context.Background(), object.Failure{
			Rule: "a-b", Source: object.Ref{Bucket: a, Key: "k"}, Dest: object.Ref{Bucket: b, Key: "k"},
			OccurredAt: w.now(), Code: "AccessDenied", Message: "no", Advice: "Allow it.", RetryAt: w.now().Add(time.Hour),
		}))
	}
	replicated := func(w *world) { w.put(a, "k", "x"); w.deliver(); w.pass(time.Hour) }
	for situation, test := range map[string]struct {
		change  func(*rule.Rule)
		before  func(*world)
		source  string // the view of the source: status, next, reason
		dest    string
		failure string // its code
	}{
		"neither side has it":     {nil, func(*world) {}, "SKIPPED forget gone", "SKIPPED forget gone", ""},
		"not copied yet":          {nil, func(w *world) { w.put(a, "k", "x") }, "PENDING copy missing", "PENDING copy missing", ""},
		"copied":                  {nil, replicated, "COMPLETED skip in_sync", "REPLICA skip in_sync", ""},
		"copied, and failed once": {nil, func(w *world) { replicated(w); fail(w) }, "COMPLETED skip in_sync", "REPLICA skip in_sync", ""},
		"written again":           {nil, func(w *world) { replicated(w); w.put(a, "k", "y") }, "PENDING copy changed", "REPLICA copy changed", ""},
		"failed":                  {nil, func(w *world) { w.put(a, "k", "x"); fail(w) }, "FAILED copy missing", "FAILED copy missing", "AccessDenied"},
		"written again, and failed": {nil, func(w *world) { replicated(w); w.put(a, "k", "y"); fail(w) },
			"FAILED copy changed", "REPLICA copy changed", "AccessDenied"},
		"the same by hand":    {nil, func(w *world) { w.put(a, "k", "x"); w.put(b, "k", "x"); w.pass(time.Hour) }, "COMPLETED skip identical", "COMPLETED skip identical", ""},
		"another one by hand": {nil, func(w *world) { w.put(a, "k", "x"); w.put(b, "k", "y"); w.pass(time.Hour) }, "SKIPPED skip dest_newer", "SKIPPED skip dest_newer", ""},
		"another one just now, which may be a copy under way": {nil, func(w *world) { w.put(a, "k", "x"); w.put(b, "k", "y") },
			"PENDING skip busy", "PENDING skip busy", ""},
		"an older one by hand": {nil, func(w *world) { w.put(b, "k", "y"); w.put(a, "k", "x") }, "PENDING copy newer", "PENDING copy newer", ""},
		"a replica that somebody changed": {deletes, func(w *world) { replicated(w); w.put(b, "k", "y"); w.remove(a, "k"); w.pass(time.Hour) },
			"SKIPPED skip not_ours", "SKIPPED skip not_ours", ""},
		"deleted":                    {deletes, func(w *world) { replicated(w); w.remove(a, "k") }, "PENDING delete removed", "REPLICA delete removed", ""},
		"deleted where deletes stay": {nil, func(w *world) { replicated(w); w.remove(a, "k") }, "SKIPPED skip deletes_off", "REPLICA skip deletes_off", ""},
		"left out":                   {func(r *rule.Rule) { r.ExcludeGlobs = []string{"k"} }, func(w *world) { w.put(a, "k", "x") }, "SKIPPED skip excluded", "SKIPPED skip excluded", ""},
		"too large":                  {func(r *rule.Rule) { r.MaxSize = 1 }, func(w *world) { w.put(a, "k", "xx") }, "SKIPPED skip excluded", "SKIPPED skip excluded", ""},
		"archived": {nil, func(w *world) {
			w.objects.Put(object.Ref{Bucket: a, Key: "k"}, storetest.Content{Body: []byte("x"), StorageClass: "GLACIER"})
		}, "SKIPPED park archived", "SKIPPED park archived", ""},
		"not copied by a paused rule":    {nil, func(w *world) { w.put(a, "k", "x"); w.change(func(c *rule.Catalog) { c.Rules[0].Paused = true }) }, "SKIPPED skip paused", "SKIPPED skip paused", ""},
		"copied, and the rule is paused": {nil, func(w *world) { replicated(w); w.change(func(c *rule.Catalog) { c.Rules[0].Paused = true }) }, "COMPLETED skip in_sync", "REPLICA skip in_sync", ""},
		"a copy that is under way": {nil, func(w *world) {
			w.put(a, "k", "x")
			_, err := w.ledger.Put(context.Background(), object.Ref{Bucket: b, Key: "k"}, object.Provenance{Pending: object.Pending{Holder: "m#1", Since: w.now()}})
			w.must(err)
		}, "PENDING skip busy", "PENDING skip busy", ""},
		"a side that nobody may read": {nil, func(w *world) { w.refuse(object.Permanent, "AccessDenied", "objects.head") }, "FAILED look ", "FAILED look ", "AccessDenied"},
		"a side that nobody may read, as was recorded": {nil, func(w *world) { fail(w); w.refuse(object.Permanent, "KMS.DisabledException", "objects.head") },
			"FAILED look ", "FAILED look ", "AccessDenied"},
	} {
		t.Run(situation, func(t *testing.T) {
			r := storetest.Mirror("a", "b")
			if test.change != nil {
				test.change(&r)
			}
			w := newWorld(t, storetest.Traits{}, r)
			test.before(w)
			for at, want := range map[object.Bucket]string{a: test.source, b: test.dest} {
				v := w.view(at, "k")
				if got := fmt.Sprintf("%s %s %s", v.Status, v.Next, v.Reason); got != want {
					t.Errorf("%s: %s, want %s", at, got, want)
				}
				if v.AsSource != (at == a) || v.Rule != "a-b" {
					t.Errorf("%s: %+v", at, v)
				}
				code := ""
				if v.Failure != nil {
					code = v.Failure.Code
				}
				if code != test.failure {
					t.Errorf("%s: failure %q, want %q", at, code, test.failure)
				}
			}
		})
	}
}

// What a look says is what the event path does: to deliver every event again
// makes all that was pending completed, and nothing else.
func TestAStatusIsWhatTheEventPathDoes(t *testing.T) {
	acted := 0
	for seed := uint64(1); seed <= 300; seed++ {
		w := randomWorld(t, seed)
		r := w.rules().Rule("a-b")
		for _, key := range keys {
			key = r.Source.Prefix + key
			at := object.Ref{Bucket: a, Key: key}
			v := one(t, w, at)
			before := w.objects.Counts()
			w.events = []object.Change{{Ref: at, Kind: object.Due, Time: w.now()}}
			w.deliver()
			after := w.objects.Counts()
			copied, deleted := after["objects.copy"] > before["objects.copy"], after["objects.delete"] > before["objects.delete"]
			if acts := v.Status == inspect.Pending && v.Failure == nil; acts != (copied || deleted) && !held(w, v, deleted) {
				t.Fatalf("seed %d, %q: %+v, then copied %t, deleted %t", seed, key, v, copied, deleted)
			}
			if copied || deleted {
				acted++
			}
			w.pass(time.Hour)
			if now := one(t, w, at); !now.Final() && !held(w, now, deleted) {
				t.Fatalf("seed %d, %q: still %+v", seed, key, now)
			}
		}
	}
	if acted < 100 {
		t.Errorf("%d writes prove little", acted)
	}
}

// held: events may not delete so many in an hour, which a look does not count.
func held(w *world, v inspect.View, deleted bool) bool {
	return v.Next == decide.Delete && !deleted
}

// one is the view of the rule a-b on its source.
func one(t *testing.T, w *world, at object.Ref) inspect.View {
	t.Helper()
	views, err := w.inspector.Object(context.Background(), w.rules(), at)
	w.must(err)
	i := slices.IndexFunc(views, func(v inspect.View) bool { return v.Rule == "a-b" })
	if i < 0 {
		t.Fatalf("rule a-b is not among %+v", views)
	}
	return views[i]
}

func TestAnObjectInAChain(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"), storetest.Mirror("b", "a"))
	w.put(a, "k", "x")
	wrote := w.now().Add(-time.Second)
	w.deliver()
	w.pass(time.Hour)
	views, err := w.inspector.Object(context.Background(), w.rules(), object.Ref{Bucket: b, Key: "k"})
	w.must(err)
	var got []string
	for _, v := range views {
		got = append(got, fmt.Sprintf("%s %t %s %s", v.Rule, v.AsSource, v.Status, v.Reason))
		want := object.Origin{Ref: object.Ref{Bucket: a, Key: "k"}, LastModified: wrote, Chain: []object.Bucket{a}}
		if v.Origin == nil || !reflect.DeepEqual(*v.Origin, want) {
			t.Errorf("origin %+v, want %+v", v.Origin, want)
		}
	}
	if want := []string{"b-a true SKIPPED echo", "a-b false REPLICA in_sync"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if v := one(t, w, object.Ref{Bucket: a, Key: "k"}); v.Origin == nil || v.Origin.Ref.Bucket != a || len(v.Origin.Chain) > 0 {
		t.Errorf("what a person wrote comes from %+v", v.Origin)
	}
}

func TestAnObjectThatNoRuleConcerns(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) { r.Source.Prefix, r.Destination.Prefix = "in/", "out/" }))
	for _, at := range []object.Ref{{Bucket: a, Key: "k"}, {Bucket: b, Key: "k"}, {Bucket: object.Bucket{Backend: "aws", Name: "c"}, Key: "in/k"}} {
		if views, err := w.inspector.Object(context.Background(), w.rules(), at); err != nil || len(views) > 0 {
			t.Errorf("%s: %+v, %v", at, views, err)
		}
	}
	if n := w.objects.Counts()["objects.head"]; n > 0 {
		t.Errorf("%d looks at what no rule concerns", n)
	}
}

// S3 does not even look at keys as long as that.
func TestADestinationKeyThatIsTooLong(t *testing.T) {
	long := strings.Repeat("k", 1024)
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) { r.Destination.Prefix = "out/" }))
	if v := w.view(a, long); v.Status != inspect.Skipped || v.Reason != decide.Gone {
		t.Errorf("nobody wrote it: %+v", v)
	}
	w.put(a, long, "x")
	if v := w.view(a, long); v.Status != inspect.Failed || v.Failure.Code != "KeyTooLongError" || !v.Failure.Due().IsZero() {
		t.Errorf("somebody did: %+v", v)
	}
	// And no source has a key that is longer.
	back := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) { r.Source.Prefix = "in/" }))
	if views, err := back.inspector.Object(context.Background(), back.rules(), object.Ref{Bucket: b, Key: long}); err != nil || len(views) > 0 {
		t.Errorf("%+v, %v", views, err)
	}
}

func TestALookThatFailsForNow(t *testing.T) {
	for _, op := range []string{"objects.head", "ledger.read", "ledger.failure"} {
		w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
		w.refuse(object.Retryable, "SlowDown", op)
		_, err := w.inspector.Object(context.Background(), w.rules(), object.Ref{Bucket: a, Key: "k"})
		if object.CodeOf(err) != "SlowDown" {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// Requests are the bill: two looks, a read of the ledger, and one for a failure.
func TestWhatALookCosts(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	rules := w.rules()
	before := w.ledger.Counts()
	_, err := w.inspector.Object(context.Background(), rules, object.Ref{Bucket: a, Key: "k"})
	w.must(err)
	after := w.ledger.Counts()
	if n := w.objects.Counts()["objects.head"]; n != 2 {
		t.Errorf("%d looks", n)
	}
	if reads, failures := after["ledger.read"]-before["ledger.read"], after["ledger.failure"]; reads != 1 || failures != 1 {
		t.Errorf("%d reads of provenance, %d of failures", reads, failures)
	}
}

func TestHowFarALargeObjectIs(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	from, to := object.Ref{Bucket: a, Key: "large"}, object.Ref{Bucket: b, Key: "large"}
	w.objects.Put(from, storetest.Content{Body: []byte("x"), Size: 25 << 20})
	want := func(what string, progress *inspect.Progress) {
		t.Helper()
		views, err := w.inspector.Object(t.Context(), w.rules(), from)
		if err != nil || len(views) != 1 || views[0].Status != inspect.Pending || !reflect.DeepEqual(views[0].Transfer, progress) {
			t.Errorf("%s: %+v, %v; want %+v", what, views, err, progress)
		}
	}
	want("nothing has begun", nil)
	tr := object.Transfer{ID: "t", Rule: "a-b", From: from, To: to, Size: 25 << 20, PartSize: 10 << 20, BegunAt: w.now()}
	if _, err := w.transfers.PutTransfer(t.Context(), object.Transfer{}, tr); err != nil {
		t.Fatal(err)
	}
	progress := inspect.Progress{BegunAt: w.now(), Parts: 3, Bytes: 25 << 20}
	want("no part is done", &progress)
	for _, number := range []int{3, 1} {
		p, err := w.transfers.ClaimPart(t.Context(), tr, number, "worker", w.now(), w.now())
		if err != nil {
			t.Fatal(err)
		}
		want("a part is being copied", &progress)
		p.PartCopied = object.PartCopied{ETag: "e"}
		if err := w.transfers.FinishPart(t.Context(), tr, p); err != nil {
			t.Fatal(err)
		}
		progress.Done++
		progress.Copied += map[int]int64{3: 5 << 20, 1: 10 << 20}[number]
		want("some are done", &progress)
	}
}
