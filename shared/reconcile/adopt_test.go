package reconcile_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// leave puts an object, of which another replication leaves a replica.
func (w *world) leave(key, text string) {
	w.put(source, key, text)
	w.does(func() { w.objects.Leave(object.Ref{Bucket: source, Key: key}, object.Ref{Bucket: dest, Key: key}) })
}

// adopt runs the rule once, as somebody asks who takes over from another system.
func (w *world) adopt() run.Run {
	w.t.Helper()
	r, err := w.runs.Start(context.Background(), w.rule(), run.ByRunNow, run.Asked{Adopt: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.finish(r.ID)
}

// A delete reaches what was adopted, and nothing else that the rule did not write.
func TestARunAdoptsTheReplicasOfAnotherReplication(t *testing.T) {
	for situation, change := range map[string]func(*rule.Rule){
		"a rule for everything":       func(*rule.Rule) {},
		"a rule for new objects only": func(r *rule.Rule) { r.ExistingObjects = false },
		"a rule that never overwrites": func(r *rule.Rule) {
			r.Conflict = rule.SkipIfDestExists
		},
	} {
		t.Run(situation, func(t *testing.T) {
			w := calm(t, storetest.Traits{Versioned: true}, followDeletes, change)
			w.leave("left", "x")
			w.leave("left, and put by a person since", "x")
			w.leave("left, and older than its source", "x")
			w.put(source, "put on both sides", "x")
			w.put(dest, "put on both sides", "x")
			w.put(dest, "left, and put by a person since", "x")
			w.put(source, "left, and older than its source", "y")
			c, _ := w.ledger.Catalog(t.Context())
			for i := range c.Rules {
				c.Rules[i].CreatedAt = w.now() // all that is there is older
			}
			w.ledger.SetCatalog(c)

			if r := w.sweep(); r.Skipped[string(decide.Adopted)] != 0 {
				t.Errorf("a run that nobody asked to adopt adopts: %+v", r)
			}
			r := w.adopt()
			if r.Skipped[string(decide.Adopted)] != 1 || r.State != run.Succeeded || !r.Adopt {
				t.Errorf("the run is %+v", r)
			}
			writes := w.objects.Counts()["objects.copy"]
			if r := w.adopt(); r.Skipped[string(decide.Adopted)] != 0 || w.objects.Counts()["objects.copy"] != writes {
				t.Errorf("a second one is %+v", r)
			}
			for _, key := range w.objects.Keys(source) {
				w.remove(source, key)
			}
			w.put(source, "something", "else")
			if r := w.sweep(); r.State != run.Succeeded {
				t.Errorf("the run that deletes is %+v", r)
			}
			keys := w.objects.Keys(dest)
			for key, stays := range map[string]bool{"left": false, "left, and put by a person since": true, "put on both sides": true} {
				if slices.Contains(keys, key) != stays {
					t.Errorf("%q is there: %t", key, !stays)
				}
			}
		})
	}
}

// What is not to be adopted costs an adopting run no more than any other, and
// what is two looks and a write.
func TestWhatAnAdoptionCosts(t *testing.T) {
	const n = 50
	w := calm(t, storetest.Traits{})
	for i := range n {
		w.put(source, fmt.Sprintf("ours/%03d", i), "x")
	}
	w.sweep()
	for i := range n {
		w.leave(fmt.Sprintf("theirs/%03d", i), "x")
	}
	before := w.objects.Counts()
	puts := w.ledger.Counts()["ledger.put"]
	if r := w.adopt(); r.Skipped[string(decide.Adopted)] != n || r.Skipped[string(decide.InSync)] != n {
		t.Errorf("the run is %+v", r)
	}
	after := w.objects.Counts()
	if heads := after["objects.head"] - before["objects.head"]; heads != 2*n {
		t.Errorf("%d heads of %d replicas", heads, n)
	}
	if put := w.ledger.Counts()["ledger.put"] - puts; put != n {
		t.Errorf("%d writes to the ledger of %d replicas", put, n)
	}
}

// A worker may die at any call, and people write at any moment: what was adopted
// is counted once, and only what another replication left is adopted.
func TestAnAdoptionSurvivesDeaths(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(t, random, storetest.Traits{Versioned: true}, storetest.Mirror("a", "b"))
		const n = 12
		for i := range n {
			w.leave(fmt.Sprint("left ", i), "x")
		}
		r, ticket := w.startAdopting()
		taken := ""
		var one sync.Mutex
		w.fate = func(c storetest.Call) (storetest.Fault, error) {
			one.Lock()
			defer one.Unlock()
			if taken == "" && c.Op == "ledger.put" && random.IntN(4) == 0 {
				taken = c.Ref.Key // between the look and the recording
				w.put(dest, taken, "x")
			}
			if random.IntN(20) == 0 {
				return storetest.ApplyThenFail, errInjected
			}
			return storetest.None, nil
		}
		for range 3 {
			_ = w.worker(3).Work(t.Context(), ticket, "dies")
			w.pass(2 * time.Minute)
		}
		w.fate = nil
		end, err := w.store.Run(t.Context(), "a-b", r.ID)
		if err != nil {
			t.Fatal(err)
		}
		if end.State.Active() {
			end = w.finish(r.ID)
		}
		if end.Scanned != n || end.Copied != 0 || end.SkippedSum()+end.Errors != n {
			t.Fatalf("seed %d: the run is %+v", seed, end)
		}
		again := w.adopt()
		if in := again.Skipped[string(decide.InSync)] + again.Skipped[string(decide.Adopted)] + again.Skipped[string(decide.Identical)]; in != n {
			t.Fatalf("seed %d: the run in good weather is %+v", seed, again)
		}
		for i := range n {
			at := object.Ref{Bucket: dest, Key: fmt.Sprint("left ", i)}
			items, _, err := w.ledger.Read(t.Context(), []object.Ref{at}, true)
			if err != nil {
				t.Fatal(err)
			}
			found, _ := w.objects.Get(at)
			if ours := items[at].Describes(found.State); ours != (at.Key != taken) {
				t.Fatalf("seed %d: %s is ours: %t; the ledger has %+v, a person put over %q", seed, at, ours, items[at], taken)
			}
		}
	}
}

func (w *world) startAdopting() (run.Run, run.Ticket) {
	w.t.Helper()
	r, err := w.runs.Start(context.Background(), w.rule(), run.ByRunNow, run.Asked{Adopt: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return r, w.tickets.Take()[0]
}
