package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"
)

const (
	leaseTTL = 12 * time.Minute
	// Objects of at least byParts bytes are copied by parts of partSize.
	byParts, partSize = 30, 10
	// maxReceives is how often a ticket is delivered.
	maxReceives = 6
)

var (
	source = object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "a"}, Key: "large"}
	dest   = object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "b"}, Key: "large"}

	errInjected = &object.Error{Class: object.Retryable, Code: "Injected", Err: errors.New("injected")}
)

// message is a ticket or an event in its queue.
type message struct {
	id       string
	body     string
	received int
}

// mailbox is a queue.
type mailbox struct {
	w        *world
	op       string
	messages []message
	made     int
}

func (m *mailbox) Send(ctx context.Context, bodies []string) error {
	fault, err := m.w.hook(storetest.Call{Op: m.op})
	if fault != storetest.FailBefore {
		m.w.mu.Lock()
		for _, body := range bodies {
			m.made++
			m.messages = append(m.messages, message{id: fmt.Sprintf("%s-%d", m.op, m.made), body: body})
		}
		m.w.mu.Unlock()
	}
	if fault == storetest.None {
		return nil
	}
	return err
}

func (m *mailbox) take() []message {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	all := m.messages
	m.messages = nil
	return all
}

func (m *mailbox) again(one message) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.messages = append(m.messages, one)
}

// world is two buckets, everything that copies between them, and people who
// write to both.
type world struct {
	t       *testing.T
	objects *storetest.Objects
	ledger  *storetest.Ledger
	store   *storetest.Transfers
	tickets *mailbox
	events  *mailbox
	log     *slog.Logger
	workers int
	limits  *storetest.Limits // nil: none hold

	mu      sync.Mutex
	clock   time.Time
	skew    time.Duration // of the functions' clocks against S3's
	fate    storetest.Hook
	ids     int
	changes []object.Change // told by the fake, of the source's bucket
}

func newWorld(t *testing.T, traits storetest.Traits, rules ...rule.Rule) *world {
	w := &world{
		t: t, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), workers: 4,
		ledger: &storetest.Ledger{}, store: &storetest.Transfers{},
		log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	w.tickets, w.events = &mailbox{w: w, op: "tickets.send"}, &mailbox{w: w, op: "events.send"}
	w.objects = storetest.NewObjects(w.now)
	w.objects.AddBucket(source.Bucket, traits)
	w.objects.AddBucket(dest.Bucket, traits)
	w.objects.OnWrite = func(c object.Change) {
		w.pass(time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes = append(w.changes, c)
	}
	w.objects.Hook, w.ledger.Hook, w.store.Hook = w.hook, w.hook, w.hook
	if rules == nil {
		rules = []rule.Rule{storetest.Mirror("a", "b")}
	}
	w.deploy(rules...)
	return w
}

func (w *world) deploy(rules ...rule.Rule) {
	w.ledger.SetCatalog(storetest.Deployed(w.now(), []string{"a", "b"}, rules...))
}

// hook asks fate, which may be none.
func (w *world) hook(c storetest.Call) (storetest.Fault, error) {
	w.mu.Lock()
	fate := w.fate
	w.mu.Unlock()
	if fate == nil {
		return storetest.None, nil
	}
	return fate(c)
}

func (w *world) fated(fate storetest.Hook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = fate
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

// believed is the time as functions have it.
func (w *world) believed() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock.Add(w.skew)
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

func (w *world) transfers() *transfer.Transfers {
	return &transfer.Transfers{
		Store: w.store, Queue: w.tickets, Now: w.believed, Workers: w.workers,
		NewID: func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ids++
			return fmt.Sprintf("t%d", w.ids)
		},
	}
}

// inParts begins transfers of small parts.
type inParts struct{ *transfer.Transfers }

func (s inParts) Begin(ctx context.Context, want object.Transfer) error {
	want.PartSize = partSize
	return s.Transfers.Begin(ctx, want)
}

func (w *world) replicator() *replicate.Replicator {
	r := replicate.New(w.objects, w.ledger, w.ledger, w.believed, leaseTTL)
	r.Transfers, r.ByParts = inParts{w.transfers()}, byParts
	return r
}

// worker is a new one, as of a function that just started.
func (w *world) worker() *transfer.Worker {
	replicator := w.replicator()
	if w.limits != nil {
		replicator.Limits = &limit.Limiter{Store: w.limits, Now: w.now, Holder: "a worker"}
	}
	return &transfer.Worker{
		Transfers: w.transfers(), Replicator: replicator, Objects: w.objects, Failures: w.ledger, Hours: w.ledger, Events: w.events,
		Metrics: telemetry.NewMetrics("Test", io.Discard, w.now), Log: w.log,
	}
}

// body is content of n parts.
func body(mark string, n int) storetest.Content {
	return storetest.Text(strings.Repeat(mark+"234567890", n)[:n*partSize-3])
}

// put writes the source, and has S3 tell of it.
func (w *world) put(c storetest.Content) {
	w.objects.Put(source, c)
	w.tell()
}

// tell sends what S3 tells to the event function.
func (w *world) tell() {
	w.mu.Lock()
	changes := w.changes
	w.changes = nil
	w.mu.Unlock()
	for _, c := range changes {
		w.replicate(c, 1)
	}
}

// replicate is the event function at one change.
func (w *world) replicate(c object.Change, delivery int) {
	outcomes, err := w.replicator().Replicate(context.Background(), []replicate.Work{{Change: c, Message: "event", Delivery: delivery}})
	again := err != nil
	if err == nil {
		for _, o := range outcomes[0] {
			switch o.Result {
			case replicate.Retried, replicate.Deferred:
				again = true
			case replicate.Failed:
				if err := w.ledger.Fail(context.Background(), replicate.FailureOf(o, w.now())); err != nil {
					again = true
				}
			}
		}
	}
	if again {
		w.events.again(message{id: "event", body: event.Retry(object.Failure{Rule: "a-b", Source: c.Ref, Damaged: c.Damaged}, w.now()), received: delivery})
	}
}

// turn gives every message that waits to a new function, one after the other,
// and reports whether there was any.
func (w *world) turn() bool {
	some := false
	for _, m := range w.tickets.take() {
		some = true
		w.work(m)
	}
	for _, m := range w.events.take() {
		some = true
		decoded, err := event.Decode(m.body, object.AWS)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, c := range decoded.Changes {
			w.replicate(c, m.received+1)
		}
	}
	w.tell()
	return some
}

// work is one delivery of a ticket.
func (w *world) work(m message) {
	t, err := transfer.Decode(m.body)
	if err != nil {
		w.t.Fatal(err)
	}
	m.received++
	if err := w.worker().Work(context.Background(), t, m.id); err != nil && m.received < maxReceives {
		w.tickets.again(m)
	}
}

// settle lets time pass, and the schedule tick, until nothing is left to do.
func (w *world) settle() {
	w.t.Helper()
	for range 100 {
		for range 20 {
			if !w.turn() {
				break
			}
		}
		if len(w.store.Left()) == 0 && len(w.tickets.messages)+len(w.events.messages) == 0 {
			return
		}
		w.pass(time.Minute)
		w.tick()
	}
	w.t.Fatalf("it does not end: %+v", w.store.Left())
}

func (w *world) tick() {
	rules, _, err := w.replicator().Rules(context.Background())
	if err == nil {
		_, err = w.transfers().Revive(context.Background(), rules)
	}
	if err != nil && !errors.Is(err, errInjected) {
		w.t.Fatal(err)
	}
}

// inStep checks that the destination holds the source, that it is known as ours,
// and that nothing is left behind.
func (w *world) inStep() {
	w.t.Helper()
	want, _ := w.objects.Get(source)
	got, ok := w.objects.Get(dest)
	if !ok || !bytes.Equal(got.Body, want.Body) {
		w.t.Errorf("the destination holds %q (there: %t), want %q", got.Body, ok, want.Body)
	}
	if p := w.ledger.Item(dest); !p.Describes(got.State) || p.Rule != "a-b" || p.Source.ETag != want.State.ETag || p.Pending.Holder != "" {
		w.t.Errorf("the ledger says %+v of %+v", p, got.State)
	}
	w.clean()
}

// clean checks that nothing is left behind.
func (w *world) clean() {
	w.t.Helper()
	if left := w.objects.LeftUploads(); len(left) > 0 {
		w.t.Errorf("uploads are left: %+v", left)
	}
	if left := w.store.Left(); len(left) > 0 {
		w.t.Errorf("transfers are left: %+v", left)
	}
}

// copied is how many parts were copied, or tried to.
func (w *world) copied() int { return w.objects.Counts()["objects.part"] }
