package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// TestWhereverAWorkerDiesTotalsAreExact has the first worker of a run die at each
// of its calls in turn, before the call took effect and after, and others bring
// the run to its end.
func TestWhereverAWorkerDiesTotalsAreExact(t *testing.T) {
	const n = 7
	set := func(t *testing.T) *world {
		r := storetest.Mirror("a", "b")
		r.ReplicateDeletes, r.BatchSize = true, 2
		r.MaxDeletes.Percent = 100
		w := newWorld(t, rand.New(rand.NewPCG(1, 1)), storetest.Traits{}, r)
		for i := range n {
			w.put(source, fmt.Sprint("k", i), fmt.Sprint("text ", i))
		}
		return w
	}
	for name, phase := range map[string]struct {
		prepare func(*world)
		check   func(*testing.T, *world, run.Run)
	}{
		"while it copies": {
			prepare: func(*world) {},
			check: func(t *testing.T, w *world, r run.Run) {
				recorded := 0
				for _, p := range w.ledger.Items() {
					if p.Run == r.ID {
						recorded++
					}
				}
				// What was copied and not recorded is not ours: at most one.
				if int(r.Copied) != recorded || recorded < n-1 || r.Scanned != n || w.writes != n {
					t.Errorf("%d copies recorded, %d made: %+v", recorded, w.writes, r)
				}
			},
		},
		"while it deletes": {
			prepare: func(w *world) {
				w.sweep()
				w.put(source, "stays", "x")
				for i := range n {
					w.remove(source, fmt.Sprint("k", i))
				}
				w.writes = 0
			},
			check: func(t *testing.T, w *world, r run.Run) {
				if r.Deleted != n || r.Scanned != n+1 || len(w.texts(dest)) != 1 || len(w.ledger.Items()) > 1 {
					t.Errorf("left %v, remembered %d: %+v", w.texts(dest), len(w.ledger.Items()), r)
				}
			},
		},
	} {
		for _, late := range []bool{false, true} {
			for nth := 1; ; nth++ {
				w := set(t)
				phase.prepare(w)
				died := w.dyingAt(nth, late)
				r, err := w.runs.Start(context.Background(), w.rule(), run.ByRunNow, run.Asked{})
				if err != nil {
					t.Fatal(err)
				}
				alive := w.untilOneDies(died)
				end, err := w.store.Run(context.Background(), "a-b", r.ID)
				if err != nil {
					t.Fatal(err)
				}
				if end.State.Active() {
					end = w.finish(r.ID)
				}
				if end.State != run.Succeeded || end.Copied+end.Deleted+end.SkippedSum()+end.Errors != end.Scanned {
					t.Errorf("%+v", end)
				}
				phase.check(t, w, end)
				if t.Failed() {
					t.Fatalf("%s, at call %d, after it took effect: %t", name, nth, late)
				}
				if alive {
					if nth < 20 {
						t.Fatalf("%s: only %d calls", name, nth)
					}
					break
				}
			}
		}
	}
}

// untilOneDies works on tickets until the one has died that is to, or none is left,
// and then lets leases run out in good weather. It answers whether nobody died.
func (w *world) untilOneDies(died func() bool) (alive bool) {
	for {
		tickets := w.tickets.Take()
		for i, ticket := range tickets {
			_ = w.worker(3).Work(context.Background(), ticket, fmt.Sprint("first ", i))
		}
		if len(tickets) == 0 || died() {
			break
		}
	}
	alive = !died()
	w.mu.Lock()
	w.fate = nil
	w.mu.Unlock()
	w.pass(leaseTTL)
	return alive
}

// dyingAt has every call fail from the nth on that a worker makes, and the nth
// itself take effect where late. It answers whether it came to that.
func (w *world) dyingAt(nth int, late bool) (died func() bool) {
	fate, died := storetest.DyingAt(nth, late, errInjected)
	begun := false
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		w.mu.Lock()
		starts := c.Op == "runs.begin" ||
			!begun && slices.Contains([]string{"runs.jobs", "runs.run", "catalog.read", "tickets.send"}, c.Op)
		begun = begun || !starts
		w.mu.Unlock()
		if starts {
			return storetest.None, nil // of those who start the run
		}
		return fate(c)
	}
	return died
}
