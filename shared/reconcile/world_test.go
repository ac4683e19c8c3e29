package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/verify"
)

// leaseTTL is how long the event path's leases live here.
const leaseTTL = 12 * time.Minute

// world is a rule's two buckets, everything that replicates between them, and
// people who write to both. Every call of a worker passes fate first.
type world struct {
	t       testing.TB
	rand    *rand.Rand
	objects *storetest.Objects
	ledger  *storetest.Ledger
	store   *storetest.Runs
	tickets *storetest.Tickets
	runs    *run.Runs
	log     *slog.Logger

	mu     sync.Mutex
	clock  time.Time
	events []object.Change
	// fate is asked before each call of a worker.
	fate func(storetest.Call) (storetest.Fault, error)
	// person is true while one writes: all other writes are ours.
	person bool
	ours   map[object.Ref]bool // objects that we wrote last
	writes int                 // of ours
	broken []string
}

var (
	source = object.Bucket{Backend: object.AWS, Name: "a"}
	dest   = object.Bucket{Backend: object.AWS, Name: "b"}
)

func newWorld(t testing.TB, random *rand.Rand, traits storetest.Traits, rules ...rule.Rule) *world {
	w := &world{
		t: t, rand: random, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		ledger: &storetest.Ledger{}, tickets: &storetest.Tickets{}, ours: map[object.Ref]bool{},
		log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	w.store = &storetest.Runs{Ledger: w.ledger}
	w.objects = storetest.NewObjects(w.now)
	w.objects.AddBucket(source, traits)
	w.objects.AddBucket(dest, traits)
	w.objects.OnWrite = w.noted
	hook := func(c storetest.Call) (storetest.Fault, error) {
		w.mu.Lock()
		fate := w.fate
		w.mu.Unlock()
		if fate == nil {
			return storetest.None, nil
		}
		return fate(c)
	}
	w.objects.Hook, w.ledger.Hook, w.store.Hook, w.tickets.Hook = hook, hook, hook, hook
	w.ledger.SetCatalog(storetest.Deployed(w.clock, []string{"a", "b"}, rules...))
	w.runs = run.New(w.store, w.tickets, w.now)
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// noted is told of every write.
func (w *world) noted(c object.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(time.Second)
	w.events = append(w.events, c)
	switch {
	case w.person:
		delete(w.ours, c.Ref)
	case c.Kind == object.Created:
		w.ours[c.Ref] = true
		w.writes++
	default:
		if !w.ours[c.Ref] {
			w.broken = append(w.broken, fmt.Sprintf("%s was deleted, which was not ours", c.Ref))
		}
		delete(w.ours, c.Ref)
		w.writes++
	}
}

// does is a person at work.
func (w *world) does(what func()) {
	w.mu.Lock()
	w.person = true
	w.mu.Unlock()
	what()
	w.mu.Lock()
	w.person = false
	w.mu.Unlock()
}

func (w *world) put(b object.Bucket, key, text string) {
	w.does(func() { w.objects.Put(object.Ref{Bucket: b, Key: key}, storetest.Text(text)) })
}

func (w *world) remove(b object.Bucket, key string) {
	w.does(func() { w.objects.Remove(object.Ref{Bucket: b, Key: key}, object.ByRequest) })
}

// text is what an object holds, "" where there is none.
func (w *world) text(b object.Bucket, key string) string {
	found, ok := w.objects.Get(object.Ref{Bucket: b, Key: key})
	if !ok || found.State.Presence != object.Present {
		return ""
	}
	return string(found.Body)
}

// rules are the compiled rules.
func (w *world) rules() *rule.Set {
	c, err := w.ledger.Catalog(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	set, err := rule.Compile(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

func (w *world) rule() *rule.Active { return w.rules().Rule("a-b") }

// replicator is a new one, as of a function that just started.
func (w *world) replicator() *replicate.Replicator {
	return replicate.New(w.objects, w.ledger, w.ledger, w.now, leaseTTL)
}

// worker is a new one, which lists pages of up to so many keys.
func (w *world) worker(page int) *reconcile.Worker {
	return &reconcile.Worker{
		Replicator: w.replicator(), Verifier: w.verifier(), Runs: w.runs, Lister: pages{w.objects, page}, Failures: w.ledger, Hours: w.ledger,
		Metrics: telemetry.NewMetrics("Test", io.Discard, w.now), Log: w.log, Now: w.now,
		Workers: 4, Slots: make(chan struct{}, 1),
	}
}

func (w *world) verifier() *verify.Verifier {
	return &verify.Verifier{
		Objects: w.objects, Ledger: w.ledger, Now: w.now, LeaseTTL: leaseTTL,
		Sleep: func(ctx context.Context, d time.Duration) error {
			w.pass(d)
			return ctx.Err()
		},
	}
}

// pages lists in smaller pages than it is asked for.
type pages struct {
	*storetest.Objects
	size int
}

func (p pages) List(ctx context.Context, b object.Bucket, prefix, after string, limit int) ([]object.Listed, bool, error) {
	return p.Objects.List(ctx, b, prefix, after, min(limit, p.size))
}

var errInjected = &object.Error{Class: object.Retryable, Op: "call", Code: "Injected", Err: errors.New("injected")}

// finish works on tickets, and revives the run as the schedule does, until the
// run has ended, whose totals it answers.
func (w *world) finish(id int64) run.Run {
	w.t.Helper()
	return w.finishOf(w.rule().Name, id)
}

// finishOf is finish for a run or a verification, by the name that it is kept
// under.
func (w *world) finishOf(name string, id int64) run.Run {
	w.t.Helper()
	ctx := context.Background()
	a := w.rule()
	for range 200 {
		for i, t := range w.tickets.Take() {
			if err := w.worker(1+w.rand.IntN(6)).Work(ctx, t, fmt.Sprint("finish ", w.now().UnixNano(), i)); err != nil {
				w.t.Fatalf("a worker in good weather: %v", err)
			}
		}
		now, err := w.store.Run(ctx, name, id)
		if err != nil {
			w.t.Fatal(err)
		}
		if !now.State.Active() {
			return now
		}
		w.pass(2 * time.Minute)
		if _, err := w.runs.Revive(ctx, a, now); err != nil && !run.IsOver(err) {
			w.t.Fatal(err)
		}
	}
	shards, _ := w.store.Shards(ctx, name, id)
	w.t.Fatalf("run %d does not end: %+v", id, shards)
	return run.Run{}
}

// sweep runs the rule once in good weather, and lets held deletes go. What is
// given is done to the run before anybody works on it.
func (w *world) sweep(first ...func(run.Run)) run.Run {
	w.t.Helper()
	ctx := context.Background()
	r, err := w.runs.Start(ctx, w.rule(), run.ByRunNow, run.Asked{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, do := range first {
		do(r)
	}
	r = w.finish(r.ID)
	for range 5 {
		if r.State != run.DeletesHeld {
			break
		}
		if _, err := w.runs.Approve(ctx, w.rule(), 0); err != nil {
			w.t.Fatal(err)
		}
		r = w.finish(r.ID)
	}
	return r
}

// texts is what a bucket holds, by key.
func (w *world) texts(b object.Bucket) map[string]string {
	all := map[string]string{}
	for _, key := range w.objects.Keys(b) {
		if text := w.text(b, key); text != "" {
			all[key] = text
		}
	}
	return all
}

func describe(broken []string) string { return strings.Join(broken, "\n") }
