package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

var keys = []string{"a", "a b+c%2F", "a/b", "b", "dir/", "x.tmp", "é", "z", "zz"}

// randomWorld is one in which people and events did anything.
func randomWorld(t *testing.T, seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 0))
	traits := storetest.Traits{Versioned: random.IntN(2) == 0, FreshETags: random.IntN(3) == 0}
	r := storetest.Mirror("a", "b", func(r *rule.Rule) {
		r.Conflict = pick(random, []rule.Conflict{rule.NewerWins, rule.SourceWins, rule.SkipIfDestExists})
		r.ReplicateDeletes = random.IntN(3) != 0
		r.DeleteMarkers = traits.Versioned && random.IntN(2) == 0
		r.ExistingObjects = random.IntN(4) != 0
		r.ExcludeGlobs = append(r.ExcludeGlobs, "**/*.tmp", "*.tmp")
		r.BatchSize = 1 + random.IntN(5)
		r.MaxSize = []int64{0, 12}[random.IntN(2)]
		r.MaxDeletes = rule.MaxDeletes{Count: random.IntN(4), Percent: 10}
		if random.IntN(3) == 0 {
			r.Source.Prefix, r.Destination.Prefix = "in/", strings.Repeat("out/", random.IntN(2)*255) // or nearly as long as a key may be
		}
		if random.IntN(4) == 0 {
			r.Tags = map[string]string{"team": "x"}
		}
	})
	rules := []rule.Rule{r}
	if random.IntN(3) == 0 {
		rules = append(rules, storetest.Mirror("b", "a", func(back *rule.Rule) {
			back.Source.Prefix, back.Destination.Prefix = r.Destination.Prefix, r.Source.Prefix
			back.DeleteMarkers = r.DeleteMarkers
		}))
	}
	w := newWorld(t, traits, rules...)
	for range 5 + random.IntN(40) {
		from := object.Ref{Bucket: a, Key: r.Source.Prefix + pick(random, keys)}
		to := object.Ref{Bucket: b, Key: r.Destination.Prefix + pick(random, keys)}
		if len(to.Key) > 1024 {
			to.Key = to.Key[len(to.Key)-1024:]
		}
		content := storetest.Text(fmt.Sprint("text ", random.IntN(3), strings.Repeat("!", random.IntN(9))))
		if random.IntN(2) == 0 {
			content.Tags = map[string]string{"team": "x"}
		}
		switch random.IntN(15) {
		case 0, 1, 2, 3, 4, 5:
			w.objects.Put(from, content)
		case 6, 7:
			w.objects.Remove(from, pick(random, []object.Cause{object.ByRequest, object.ByLifecycle}))
		case 8:
			w.objects.Put(to, content)
		case 9:
			w.objects.Remove(to, object.ByRequest)
		case 10:
			content.StorageClass = "GLACIER"
			w.objects.Put(from, content)
		case 11:
			w.events = nil // lost
		case 12:
			if _, ok := w.objects.Get(from); ok {
				to.Key = r.Destination.Prefix + from.Key[len(r.Source.Prefix):]
				if len(to.Key) <= 1024 {
					w.objects.Leave(from, to)
				}
			}
		default:
			w.deliver()
		}
	}
	w.pass(time.Hour)
	return w
}

// What a dry run says is what the run that follows does.
func TestAPlanIsWhatTheRunDoes(t *testing.T) {
	const worlds = 800
	met := run.Totals{}
	for seed := uint64(1); seed <= worlds; seed++ {
		w := randomWorld(t, seed)
		adopt := seed%2 == 0
		p := w.planned("a-b", inspect.Plan{Adopt: adopt})
		held := p.Held(w.rules().Rule("a-b").MaxDeletes)
		did := w.asked("a-b", run.Asked{Adopt: adopt})

		want := run.Totals{Scanned: did.Scanned, Sources: did.Sources, Copied: did.Copied, Bytes: did.Bytes, Errors: did.Errors, Skipped: did.Skipped}
		want.Candidates = did.Deleted + did.Held
		got := p.Totals
		if got.Skipped == nil {
			got.Skipped = map[string]int64{}
		}
		if want.Skipped == nil {
			want.Skipped = map[string]int64{}
		}
		if !reflect.DeepEqual(got, want) || held != (did.State == run.DeletesHeld) {
			t.Fatalf("seed %d: planned %+v, held %t; the run ended %s with %+v", seed, got, held, did.State, did.Totals)
		}
		met = met.Add(p.Totals)
	}
	for what, n := range map[string]int64{"copies": met.Copied, "deletes": met.Candidates, "failures": met.Errors, "skips": met.SkippedSum(), "adoptions": met.Skipped[string(decide.Adopted)]} {
		if n < worlds/20 {
			t.Errorf("%d %s in %d worlds prove little", n, what, worlds)
		}
	}
}

// reads are the calls that change nothing.
var reads = []string{"objects.head", "objects.tagging", "objects.list", "ledger.read", "ledger.failure", "catalog.read"}

func TestAPlanWritesNothing(t *testing.T) {
	for seed := range uint64(200) {
		w := randomWorld(t, seed)
		before, ledger, store := w.objects.Counts(), w.ledger.Counts(), w.store.Counts()
		w.events = nil
		w.plan("a-b")
		for name, counts := range map[string][2]map[string]int{
			"S3": {before, w.objects.Counts()}, "the ledger": {ledger, w.ledger.Counts()}, "the runs": {store, w.store.Counts()},
		} {
			for op, n := range counts[1] {
				if n != counts[0][op] && !slices.Contains(reads, op) {
					t.Errorf("seed %d: %d calls of %s to %s", seed, n-counts[0][op], op, name)
				}
			}
		}
		if len(w.events) > 0 || len(w.tickets.Take()) > 0 {
			t.Errorf("seed %d: something was written or sent", seed)
		}
	}
}

func TestAPlanNamesTheFirstKeysOfEachOutcome(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) { r.ReplicateDeletes = true }))
	for i := range 150 {
		w.put(a, fmt.Sprintf("gone %03d", i), "x")
	}
	w.put(a, "same", "x")
	w.deliver()
	for i := range 150 {
		w.remove(a, fmt.Sprintf("gone %03d", i))
		w.put(a, fmt.Sprintf("new %03d", i), "four")
		w.put(b, fmt.Sprintf("theirs %03d", i), "x")
	}
	w.events = nil
	p := w.plan("a-b")
	if p.Copied != 150 || p.Bytes != 600 || !maps.Equal(p.CopiedBy, map[string]int64{"missing": 150}) ||
		p.Candidates != 150 || !maps.Equal(p.Skipped, map[string]int64{"in_sync": 1, "not_ours": 150}) || p.Scanned != 451 {
		t.Errorf("planned %+v", p.Totals)
	}
	for prefix, planned := range map[string][]inspect.Planned{"new": p.Copies, "gone": p.Deletes, "theirs": p.Skips} {
		if len(planned) != inspect.MaxKeys || planned[0].Dest.Key != prefix+" 000" || planned[99].Source.Key != prefix+" 099" {
			t.Errorf("%s: %d keys, %+v ...", prefix, len(planned), planned[0])
		}
	}
	if p.Copies[0].Bytes != 4 || p.Copies[0].Reason != "missing" {
		t.Errorf("a copy is %+v", p.Copies[0])
	}
}

// A rule that is off, or paused, is planned as if it were on.
func TestAPlanOfARuleThatIsOff(t *testing.T) {
	for situation, off := range map[string]func(*rule.Catalog){
		"disabled":        func(c *rule.Catalog) { c.Rules[0].Rule.Enabled = false },
		"paused":          func(c *rule.Catalog) { c.Rules[0].Paused = true },
		"all is disabled": func(c *rule.Catalog) { c.Storage.Replication.Enabled = false },
	} {
		w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
		w.put(a, "k", "x")
		w.change(off)
		if p := w.plan("a-b"); p.Copied != 1 {
			t.Errorf("%s: planned %+v", situation, p.Totals)
		}
	}
}

func TestAPlanThatTakesLongGoesOn(t *testing.T) {
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	for i := range 350 {
		w.put(a, fmt.Sprintf("%03d", i), "x")
	}
	whole := w.plan("a-b")
	// Every read of the ledger takes as long as there is.
	w.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "ledger.read" && c.Ref != (object.Ref{Key: "revision"}) {
			w.pass(10 * time.Second)
		}
		return storetest.None, nil
	}
	var p inspect.Plan
	for calls := 1; !p.Complete; calls++ {
		var err error
		p, err = w.inspector.Plan(context.Background(), w.catalog(), "a-b", p, w.now().Add(20*time.Second))
		w.must(err)
		if want := min(int64(99*calls), 350); p.Copied != want {
			t.Fatalf("after %d calls: %d copies, want %d", calls, p.Copied, want)
		}
	}
	if !reflect.DeepEqual(p.Totals, whole.Totals) || !maps.Equal(p.CopiedBy, whole.CopiedBy) {
		t.Errorf("in parts %+v, at once %+v", p.Totals, whole.Totals)
	}
}

func TestAPlanFails(t *testing.T) {
	for situation, test := range map[string]struct {
		before func(*world)
		class  object.Class
		code   string
	}{
		"a side that cannot be listed": {func(w *world) { w.refuse(object.Permanent, "AccessDenied", "objects.list") }, object.Permanent, "AccessDenied"},
		"S3 that is slow":              {func(w *world) { w.refuse(object.Retryable, "SlowDown", "objects.list") }, object.Retryable, "SlowDown"},
		"a ledger that is throttled":   {func(w *world) { w.refuse(object.Retryable, "Throttling", "ledger.read") }, object.Retryable, "Throttling"},
		"rules that change": {func(w *world) {
			w.objects.Hook = func(storetest.Call) (storetest.Fault, error) {
				w.change(func(c *rule.Catalog) { c.Rules[0].Rule.Priority++ })
				return storetest.None, nil
			}
		}, object.Premise, "RulesChanged"},
	} {
		w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
		w.put(a, "k", "x")
		c := w.catalog()
		test.before(w)
		_, err := w.inspector.Plan(context.Background(), c, "a-b", inspect.Plan{}, w.now().Add(20*time.Second))
		var known *object.Error
		if !errors.As(err, &known) || known.Class != test.class || known.Code != test.code {
			t.Errorf("%s: %v", situation, err)
		}
	}
	w := newWorld(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	w.put(a, "k", "x")
	_, err := w.inspector.Plan(context.Background(), w.catalog(), "a-b", inspect.Plan{}, w.now())
	if object.CodeOf(err) != "RequestCanceled" {
		t.Errorf("without any time: %v", err)
	}
	if errors.Is(err, replicate.ErrRulesChanged) {
		t.Errorf("without any time: %v", err)
	}
}
