package replicate

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// concurrency bounds how many objects of one batch are worked on at a time.
const concurrency = 16

// Replicator brings destinations up to date after changes of their sources. It
// may be used concurrently.
type Replicator struct {
	// Transfers take the objects of at least ByParts bytes. Nil: any object is
	// copied at once. Not to be changed once in use.
	Transfers Transfers
	ByParts   int64
	// Limits hold what moves to the limits of its rule. Nil: nothing does.
	Limits *limit.Limiter

	objects  Objects
	ledger   Ledger
	catalogs Catalogs
	now      func() time.Time
	leaseTTL time.Duration

	mu       sync.Mutex
	rules    *rule.Set // compiled from the catalog at revision
	revision int64
	backends []rule.Backend
}

// New makes a Replicator. A lease older than leaseTTL belongs to a worker that
// died: it must not be shorter than the time after which the queue shows a
// message again.
func New(objects Objects, ledger Ledger, catalogs Catalogs, now func() time.Time, leaseTTL time.Duration) *Replicator {
	return &Replicator{objects: objects, ledger: ledger, catalogs: catalogs, now: now, leaseTTL: leaseTTL}
}

// Work is one change to replicate, and the message it came in.
type Work struct {
	Change   object.Change
	Message  string // unique, and the same in every delivery
	Delivery int    // counts the deliveries of the message
	Patient  bool   // the message was put back before to wait for others
}

// Replicate converges everything that the changes concern. It reads the ledger
// once for all of them, and works on different objects concurrently and on one
// object in order. The outcomes of each Work, one per rule, come in the order
// of the work. An error means that nothing was tried: the rules or the ledger
// could not be read.
func (r *Replicator) Replicate(ctx context.Context, work []Work) ([][]Outcome, error) {
	work = slices.Clone(work)
	rules, matches, items, err := r.prepare(ctx, work)
	if err != nil {
		return nil, err
	}
	queues := make(map[object.Ref][]int) // the work on one source object, in order
	var order []object.Ref
	for i, w := range work {
		if queues[w.Change.Ref] == nil {
			order = append(order, w.Change.Ref)
		}
		queues[w.Change.Ref] = append(queues[w.Change.Ref], i)
	}
	outcomes := make([][]Outcome, len(work))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for _, ref := range order {
		group.Go(func() error {
			for nth, i := range queues[ref] {
				for _, m := range matches[i] {
					t := &task{
						Replicator: r, rules: rules, match: m, change: work[i].Change,
						message: work[i].Message, delivery: work[i].Delivery, patient: work[i].Patient,
					}
					outcomes[i] = append(outcomes[i], t.guarded(ctx, items[m.Dest], items[ref], nth == 0))
				}
			}
			return nil
		})
	}
	_ = group.Wait() // no member returns an error
	return outcomes, nil
}

// prepare matches the changes, whose buckets become the configured ones, and
// reads what the ledger knows about every address they concern, in one read.
// That read also tells whether the rules changed, their pause state included;
// then both are done again.
func (r *Replicator) prepare(ctx context.Context, work []Work) (*rule.Set, [][]rule.Match, map[object.Ref]object.Provenance, error) {
	rules, known, err := r.current(ctx, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	for range maxLooks {
		var at []object.Ref
		consistent := false
		matches := make([][]rule.Match, len(work))
		for i := range work {
			w := &work[i]
			w.Change.Ref.Bucket = rules.Locate(w.Change.Ref.Bucket)
			matches[i] = rules.Match(w.Change.Ref)
			for _, m := range matches[i] {
				at = append(at, m.Dest)
			}
			if len(matches[i]) > 0 && rules.IsDestination(w.Change.Ref.Bucket) {
				// An echo must find the lease that announced it.
				at, consistent = append(at, w.Change.Ref), true
			}
		}
		items, revision, err := r.ledger.Read(ctx, at, consistent)
		if err != nil {
			return nil, nil, nil, err
		}
		if revision == known {
			return rules, matches, items, nil
		}
		if rules, known, err = r.current(ctx, known); err != nil {
			return nil, nil, nil, err
		}
	}
	return nil, nil, nil, errors.New("the rules kept changing while they were read")
}

// Rules are the rules as they are now, and their catalog's revision.
func (r *Replicator) Rules(ctx context.Context) (*rule.Set, int64, error) {
	_, now, err := r.ledger.Read(ctx, nil, true)
	if err != nil {
		return nil, 0, err
	}
	rules, known, err := r.current(ctx, 0)
	if err != nil || known == now {
		return rules, known, err
	}
	return r.current(ctx, known)
}

// Known are the rules as this Replicator saw them last.
func (r *Replicator) Known(ctx context.Context) (*rule.Set, error) {
	rules, _, err := r.current(ctx, 0)
	return rules, err
}

// current is the compiled rules and their catalog's revision, loaded where
// there are none at hand or those at hand have the outdated revision.
func (r *Replicator) current(ctx context.Context, outdated int64) (*rule.Set, int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rules != nil && r.revision != outdated {
		return r.rules, r.revision, nil
	}
	catalog, err := r.catalogs.Catalog(ctx)
	if err != nil {
		return nil, 0, err
	}
	rules, err := rule.Compile(catalog)
	if err != nil {
		return nil, 0, fmt.Errorf("rules at revision %d: %w", catalog.Revision, err)
	}
	r.rules, r.revision, r.backends = rules, catalog.Revision, catalog.Storage.Backends
	return rules, catalog.Revision, nil
}

// Backends are those of the configuration that the rules at hand came with.
func (r *Replicator) Backends() []rule.Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.backends
}

// RequesterPays reports whether whoever asks for the bucket's objects pays, by the
// rules at hand.
func (r *Replicator) RequesterPays(b object.Bucket) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules != nil && r.rules.Storage().RequesterPays(b)
}

// guarded runs the task and turns its panic into an outcome: it fails this
// record alone, which the queue delivers again and finally moves to the DLQ.
func (t *task) guarded(ctx context.Context, base, sourceBase object.Provenance, fresh bool) (o Outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = t.outcome(Crashed, "")
			o.Err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := ctx.Err(); err != nil {
		return t.stopped(fmt.Errorf("out of time before the object's turn: %w", err))
	}
	return t.run(ctx, base, sourceBase, fresh)
}
