package reconcile_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

var (
	histories = flag.Int("histories", 1000, "random histories that TestHistories lives through")
	seed      = flag.Uint64("seed", 0, "of the one history to live through; 0: all of them")
)

// TestHistories lives through random histories: people write to both sides,
// events are lost, doubled and out of order, workers die at any call or lose its
// answer, two work on one shard. Then all is quiet, and after one sweep the
// destination is what the decision table says, and after another one nothing
// has changed.
func TestHistories(t *testing.T) {
	first, n := uint64(1), uint64(*histories)
	if *seed != 0 {
		first, n = *seed, 1
	}
	for i := first; i < first+n; i++ {
		if !t.Run(fmt.Sprintf("seed %d", i), func(t *testing.T) { live(t, i) }) {
			t.Fatalf("again: go test ./shared/reconcile -run TestHistories -seed %d", i)
		}
	}
}

var keys = []string{"a", "a b+c%2F", "a/b", "a//c", "b", "dir/", "x.tmp", "é", "日本/🙂", "z", "z\x7f", "zz"}

// live is one history.
func live(t *testing.T, seed uint64) {
	random := rand.New(&lockedSource{source: rand.NewPCG(seed, 0)})
	traits := storetest.Traits{Versioned: random.IntN(2) == 0, FreshETags: random.IntN(3) == 0, BareEvents: random.IntN(4) == 0}
	r := storetest.Mirror("a", "b")
	r.Conflict = []rule.Conflict{rule.NewerWins, rule.SourceWins, rule.SkipIfDestExists}[random.IntN(3)]
	r.ReplicateDeletes = random.IntN(2) == 0
	r.DeleteMarkers = traits.Versioned && random.IntN(2) == 0
	r.ExistingObjects = random.IntN(4) != 0
	r.ExcludeGlobs = append(r.ExcludeGlobs, "**/*.tmp", "*.tmp")
	r.BatchSize = 1 + random.IntN(5)
	r.MaxDeletes = rule.MaxDeletes{Count: random.IntN(20), Percent: 10}
	if random.IntN(3) == 0 {
		r.Source.Prefix, r.Destination.Prefix = "in/", "out/"
	}
	rules := []rule.Rule{r}
	pair := random.IntN(4) == 0
	if pair {
		back := storetest.Mirror("b", "a")
		back.Source.Prefix, back.Destination.Prefix = r.Destination.Prefix, r.Source.Prefix
		back.ReplicateDeletes, back.DeleteMarkers = r.ReplicateDeletes, r.DeleteMarkers
		rules = append(rules, back)
	}
	h := &history{world: newWorld(t, random, traits, rules...), rule: r, pair: pair}
	for range 5 + random.IntN(25) {
		h.step()
	}
	h.settle()
}

// lockedSource lets workers and the story throw the same dice.
type lockedSource struct {
	mu     sync.Mutex
	source rand.Source
}

func (s *lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Uint64()
}

// history is a world that things happen in.
type history struct {
	*world
	rule    rule.Rule
	pair    bool
	serial  int
	tickets []run.Ticket // delivered again and again, until their run has ended
}

func (h *history) key() string { return keys[h.rand.IntN(len(keys))] }

// step is one thing that happens.
func (h *history) step() {
	switch h.rand.IntN(10) {
	case 0, 1, 2, 3:
		h.act()
	case 4, 5:
		h.deliver(h.rand.IntN(4) == 0)
	case 6:
		h.pass(time.Duration(h.rand.IntN(20)) * time.Minute)
	default:
		h.work()
	}
}

// act is a person at either side.
func (h *history) act() {
	h.serial++
	text := fmt.Sprint("text ", h.rand.IntN(3), " ", h.serial*h.rand.IntN(2)) // the same bytes now and then
	from := object.Ref{Bucket: source, Key: h.rule.Source.Prefix + h.key()}
	to := object.Ref{Bucket: dest, Key: h.rule.Destination.Prefix + h.key()}
	h.does(func() {
		switch h.rand.IntN(12) {
		case 0, 1, 2, 3, 4:
			h.objects.Put(from, storetest.Text(text))
		case 5: // metadata only
			if found, ok := h.objects.Get(from); ok && found.State.Presence == object.Present {
				h.objects.Put(from, found.Content)
			}
		case 6, 7:
			h.objects.Remove(from, object.ByRequest)
		case 8:
			h.objects.Put(to, storetest.Text("foreign "+text))
		case 9:
			h.objects.Remove(to, object.ByRequest)
		case 10: // the same as at the source, by hand
			if found, ok := h.objects.Get(from); ok && found.State.Presence == object.Present {
				h.objects.Put(object.Ref{Bucket: dest, Key: h.rule.Destination.Prefix + from.Key[len(h.rule.Source.Prefix):]}, found.Content)
			}
		case 11:
			if all := h.objects.Versions(from); len(all) > 1 {
				h.objects.RemoveVersion(from, all[len(all)-1].State.VersionID)
			}
		}
	})
}

// deliver has the event path work on some of the events, in any order. Some are
// lost, some come again.
func (h *history) deliver(stormy bool) {
	h.mu.Lock()
	h.rand.Shuffle(len(h.events), func(i, j int) { h.events[i], h.events[j] = h.events[j], h.events[i] })
	n := h.rand.IntN(len(h.events) + 1)
	some := append([]object.Change(nil), h.events[:n]...)
	if h.rand.IntN(2) == 0 { // else they come again
		h.events = append([]object.Change(nil), h.events[n:]...)
	}
	h.mu.Unlock()
	if stormy {
		h.storm()
	}
	defer h.calm()
	for i, c := range some {
		if h.rand.IntN(5) == 0 {
			continue // lost
		}
		h.serial++
		_, _ = h.replicator().Replicate(context.Background(), []replicate.Work{{
			Change: c, Message: fmt.Sprint("m", h.serial, i), Delivery: 1, Patient: h.rand.IntN(2) == 0,
		}})
	}
}

// storm lets everybody die at some call, before it or after it took effect, or
// lets single calls fail. In some storms somebody also meddles.
func (h *history) storm() {
	left := h.rand.IntN(60)
	passing := h.rand.IntN(2) == 0
	meddler := h.rand.IntN(3) == 0
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fate = func(c storetest.Call) (storetest.Fault, error) {
		h.mu.Lock()
		left--
		dying, dead := left == 0, left < 0
		late := h.rand.IntN(2) == 0
		if dying && passing {
			left = 1 + h.rand.IntN(20)
		}
		meddles := meddler && !h.person && c.Op == "objects.copy" && h.rand.IntN(3) == 0
		h.mu.Unlock()
		switch {
		case dead:
			return storetest.FailBefore, errInjected
		case dying && late:
			return storetest.ApplyThenFail, errInjected
		case dying:
			return storetest.FailBefore, errInjected
		}
		if meddles {
			h.act()
		}
		return storetest.None, nil
	}
}

func (h *history) calm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fate = nil
}

// work is a run that goes on for a while: it is started if there is none, and
// some of its tickets are worked on, in a storm more often than not.
func (h *history) work() {
	ctx := context.Background()
	a := h.world.rule()
	jobs, err := h.store.Jobs(ctx, []string{a.Name})
	if err != nil {
		h.t.Fatal(err)
	}
	if jobs[a.Name].ActiveRun == 0 {
		started, err := h.runs.Start(ctx, a, run.BySchedule, run.Asked{Existing: h.rand.IntN(5) == 0})
		if err != nil {
			h.t.Fatal(err)
		}
		if h.rand.IntN(2) == 0 {
			h.cut(started)
		}
	}
	h.tickets = append(h.tickets, h.world.tickets.Take()...)
	h.rand.Shuffle(len(h.tickets), func(i, j int) { h.tickets[i], h.tickets[j] = h.tickets[j], h.tickets[i] })
	for i, t := range h.tickets {
		if i > 3 {
			break
		}
		switch h.rand.IntN(4) {
		case 0:
			_ = h.worker(1+h.rand.IntN(5)).Work(ctx, t, fmt.Sprint("w", h.serial))
		case 1:
			h.zombie(t)
		default:
			h.storm()
			_ = h.worker(1+h.rand.IntN(5)).Work(ctx, t, fmt.Sprint("w", h.serial))
			h.calm()
		}
		h.serial++
		h.intact()
	}
	if h.rand.IntN(3) == 0 {
		h.pass(7 * time.Minute)
		if now, err := h.store.Run(ctx, a.Name, jobs[a.Name].LastRun); err == nil && now.State.Active() {
			if _, err := h.runs.Revive(ctx, a, now); err != nil && !run.IsOver(err) {
				h.t.Fatal(err)
			}
		}
	}
}

// cut shares the run's first shard at some keys, as a worker does that finds it
// large.
func (h *history) cut(of run.Run) {
	ctx := context.Background()
	for _, t := range h.world.tickets.Take() {
		_, shard, err := h.runs.Claim(ctx, t, "cutter")
		if err != nil {
			h.t.Fatal(err)
		}
		var ranges []keyspace.Range
		after := ""
		for _, key := range slices.Sorted(slices.Values(keys)) {
			if h.rand.IntN(4) == 0 {
				ranges = append(ranges, keyspace.Range{After: after, Until: key})
				after = key
			}
		}
		ranges = append(ranges, keyspace.Range{After: after})
		if len(ranges) > 1 {
			if err := h.runs.Share(ctx, &shard, ranges[1:]); err != nil {
				h.t.Fatal(err)
			}
		}
		if err := h.runs.Yield(ctx, shard, 1); err != nil {
			h.t.Fatal(err)
		}
	}
}

// zombie is a worker that is held up at some call for longer than its lease
// lasts, while another one takes its shard.
func (h *history) zombie(t run.Ticket) {
	left := h.rand.IntN(30)
	held, release := make(chan struct{}), make(chan struct{})
	h.mu.Lock()
	h.fate = func(storetest.Call) (storetest.Fault, error) {
		h.mu.Lock()
		left--
		now := left == 0
		h.mu.Unlock()
		if now {
			close(held)
			<-release
		}
		return storetest.None, nil
	}
	h.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.worker(3).Work(context.Background(), t, "zombie")
	}()
	select {
	case <-held:
		h.pass(leaseTTL + time.Minute)
		h.calm()
		if h.rand.IntN(2) == 0 {
			h.storm()
		}
		_ = h.worker(2).Work(context.Background(), t, "heir")
		h.calm()
	case <-done:
	}
	close(release)
	<-done
	h.calm()
}

// intact checks what must hold at any time.
func (h *history) intact() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.broken) > 0 && !h.rule.DeleteMarkers { // a twin's delete reaches what a person wrote
		h.t.Fatal(describe(h.broken))
	}
}

// settle ends the history, and checks where it led.
func (h *history) settle() {
	ctx := context.Background()
	h.pass(time.Hour)
	a := h.world.rule()
	jobs, err := h.store.Jobs(ctx, []string{a.Name})
	if err != nil {
		h.t.Fatal(err)
	}
	if active := jobs[a.Name].ActiveRun; active != 0 {
		h.exact(h.finish(active))
	}
	before := h.written()
	first := h.sweep(h.cut)
	h.intact()
	h.exact(first)
	if first.State != run.Succeeded {
		h.t.Fatalf("the quiet sweep: %+v", first)
	}
	if got := h.written() - before; int64(got) != first.Copied+first.Deleted {
		h.t.Fatalf("%d writes, and the totals say %d copied, %d deleted", got, first.Copied, first.Deleted)
	}
	if want := h.keys(); first.Scanned != want+first.Deleted { // what it deleted was there
		h.t.Fatalf("scanned %d of %d keys: %+v", first.Scanned, want, first)
	}
	h.asDecided()

	before = h.written()
	buckets, items := h.objects.Fingerprint(), fmt.Sprint(h.ledger.Items())
	second := h.sweep(h.cut)
	h.exact(second)
	if h.written() != before || buckets != h.objects.Fingerprint() || items != fmt.Sprint(h.ledger.Items()) ||
		second.Copied+second.Deleted+second.Errors > 0 || second.Scanned != h.keys() {
		h.t.Fatalf("the second sweep changed something: %+v, after %+v", second, first)
	}
}

// exact checks that every key that was scanned came to one end.
func (h *history) exact(r run.Run) {
	h.t.Helper()
	if r.State == run.Cancelled || r.State == run.Failed || r.Held > 0 {
		return
	}
	if sum := r.Copied + r.SkippedSum() + r.Deleted + r.Errors; sum != r.Scanned {
		h.t.Fatalf("scanned %d, of which %d are accounted for: %+v", r.Scanned, sum, r)
	}
}

func (h *history) written() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes
}

// keys counts the keys that either side has.
func (h *history) keys() int64 {
	all := map[string]bool{}
	for _, b := range []object.Bucket{source, dest} {
		prefix := h.rule.Source.Prefix
		if b == dest {
			prefix = h.rule.Destination.Prefix
		}
		for _, key := range h.objects.Keys(b) {
			if found, ok := h.objects.Get(object.Ref{Bucket: b, Key: key}); ok && found.State.Presence == object.Present {
				all[key[len(prefix):]] = true
			}
		}
	}
	return int64(len(all))
}

// asDecided checks that the decision table has nothing more to do anywhere.
func (h *history) asDecided() {
	h.t.Helper()
	ctx := context.Background()
	rules := h.world.rules()
	a := rules.Rule(h.rule.Name)
	for _, key := range keys {
		from := object.Ref{Bucket: source, Key: a.Source.Prefix + key}
		m := rules.MatchOf(a, from.Key)
		in := decide.Input{Rule: a, Excluded: m.Excluded, Outranked: m.Outranked, From: from, To: m.Dest, LeaseTTL: leaseTTL}
		var err error
		if in.Source, err = h.objects.Head(ctx, from, false); err != nil {
			h.t.Fatal(err)
		}
		if in.Dest, err = h.objects.Head(ctx, m.Dest, false); err != nil {
			h.t.Fatal(err)
		}
		in.Base, in.SourceBase = h.ledger.Item(m.Dest), h.ledger.Item(from)
		if opposite := rules.Rule(in.SourceBase.Rule); opposite != nil {
			at, ok := opposite.SourceOf(from.Key)
			in.Mirrored = ok && at == m.Dest
		}
		plan := decide.Decide(in)
		if listed, ok := decide.Listed(in); ok && in.Source.Presence == object.Present && listed.Reason == decide.InSync {
			continue // the listings prove it, whatever the ledger remembers
		}
		if plan.Action == decide.Copy || plan.Action == decide.Delete {
			h.t.Fatalf("after a quiet sweep %q is still to be decided %s, %s:\nsource %+v\ndest %+v\nbase %+v",
				key, plan.Action, plan.Reason, in.Source, in.Dest, in.Base)
		}
	}
}
