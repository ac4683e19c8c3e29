package inspect_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
)

const leaseTTL = 12 * time.Minute

var (
	a = object.Bucket{Backend: object.AWS, Name: "a"}
	b = object.Bucket{Backend: object.AWS, Name: "b"}
)

// world is two buckets, and all that replicates between them.
type world struct {
	t         testing.TB
	mu        sync.Mutex // guards clock and events: a worker does several things at once
	clock     time.Time
	objects   *storetest.Objects
	ledger    *storetest.Ledger
	store     *storetest.Runs
	tickets   *storetest.Tickets
	runs      *run.Runs
	inspector *inspect.Inspector
	transfers *storetest.Transfers
	events    []object.Change
	serial    int
}

func newWorld(t testing.TB, traits storetest.Traits, rules ...rule.Rule) *world {
	w := &world{
		t: t, clock: time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC),
		ledger: &storetest.Ledger{}, transfers: &storetest.Transfers{}, tickets: &storetest.Tickets{},
	}
	w.objects = storetest.NewObjects(w.now)
	w.objects.AddBucket(a, traits)
	w.objects.AddBucket(b, traits)
	w.objects.OnWrite = func(c object.Change) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.clock = w.clock.Add(time.Second)
		w.events = append(w.events, c)
	}
	w.store = &storetest.Runs{Ledger: w.ledger}
	w.runs = run.New(w.store, w.tickets, w.now)
	w.inspector = &inspect.Inspector{
		Replicator: w.replicator(), Failures: w.ledger, Transfers: w.transfers, Lister: w.objects, Now: w.now, Slots: make(chan struct{}, 1),
	}
	w.ledger.SetCatalog(storetest.Deployed(w.clock, []string{"a", "b"}, rules...))
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

func (w *world) replicator() *replicate.Replicator {
	return replicate.New(w.objects, w.ledger, w.ledger, w.now, leaseTTL)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(at object.Bucket, key, text string) {
	w.objects.Put(object.Ref{Bucket: at, Key: key}, storetest.Text(text))
}

func (w *world) remove(at object.Bucket, key string) {
	w.objects.Remove(object.Ref{Bucket: at, Key: key}, object.ByRequest)
}

func (w *world) catalog() rule.Catalog {
	c, err := w.ledger.Catalog(context.Background())
	w.must(err)
	return c
}

// change is somebody who changes the rules.
func (w *world) change(change func(*rule.Catalog)) {
	c := w.catalog()
	change(&c)
	w.ledger.SetCatalog(c)
}

func (w *world) rules() *rule.Set {
	set, err := rule.Compile(w.catalog())
	w.must(err)
	return set
}

// deliver has the event path work on the events so far, and on those that this
// makes.
func (w *world) deliver() {
	for len(w.events) > 0 {
		some := w.events
		w.events = nil
		for _, c := range some {
			w.serial++
			_, err := w.replicator().Replicate(context.Background(), []replicate.Work{{
				Change: c, Message: string(rune('a' + w.serial)), Delivery: 1, Patient: true,
			}})
			w.must(err)
		}
	}
}

func (w *world) asked(name string, asked run.Asked) run.Run {
	w.t.Helper()
	ctx := context.Background()
	set := w.rules()
	r, err := w.runs.Start(ctx, set.Rule(name), run.ByRunNow, asked)
	w.must(err)
	worker := &reconcile.Worker{
		Replicator: w.replicator(), Runs: w.runs, Lister: w.objects, Failures: w.ledger, Hours: w.ledger,
		Metrics: telemetry.NewMetrics("Test", io.Discard, w.now), Log: slog.New(slog.DiscardHandler), Now: w.now,
		Workers: 1, Slots: make(chan struct{}, 1),
	}
	for range 20 {
		for _, ticket := range w.tickets.Take() {
			w.must(worker.Work(ctx, ticket, "worker"))
		}
		if r, err = w.store.Run(ctx, name, r.ID); err != nil || !r.State.Active() {
			break
		}
	}
	w.must(err)
	if r.State.Active() {
		w.t.Fatal("the run does not end")
	}
	return r
}

// plan is a whole dry run.
func (w *world) plan(name string) inspect.Plan {
	w.t.Helper()
	return w.planned(name, inspect.Plan{})
}

func (w *world) planned(name string, from inspect.Plan) inspect.Plan {
	w.t.Helper()
	p, err := w.inspector.Plan(context.Background(), w.catalog(), name, from, w.now().Add(20*time.Second))
	w.must(err)
	if !p.Complete {
		w.t.Fatal("the plan is not complete")
	}
	return p
}

// view is the only view of an object.
func (w *world) view(at object.Bucket, key string) inspect.View {
	w.t.Helper()
	views, err := w.inspector.Object(context.Background(), w.rules(), object.Ref{Bucket: at, Key: key})
	w.must(err)
	if len(views) != 1 {
		w.t.Fatalf("%d views of %s/%s", len(views), at, key)
	}
	return views[0]
}

// refuse has every call fail that is one of ops.
func (w *world) refuse(class object.Class, code string, ops ...string) {
	hook := func(c storetest.Call) (storetest.Fault, error) {
		for _, op := range ops {
			if c.Op == op {
				return storetest.FailBefore, &object.Error{Class: class, Op: op, Ref: c.Ref, Code: code, Err: errors.New("refused")}
			}
		}
		return storetest.None, nil
	}
	w.objects.Hook, w.ledger.Hook = hook, hook
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
