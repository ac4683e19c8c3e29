package replicate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// The scenarios of the model. Each is small, and each has a reason.
var (
	mirror = scenario{
		name: "a mirror that follows deletes", buckets: []string{"a", "b"},
		rules:   []rule.Rule{storetest.Mirror("a", "b", followDeletes)},
		actions: []action{put("a"), remove("a"), rewrite("a"), put("b"), rewrite("b")},
		people:  3, faults: 1, dups: 1, follows: true,
	}
	// The same with less trouble, so that the search goes deeper.
	calmMirror = scenario{
		name: "a mirror in good weather", buckets: []string{"a", "b"},
		rules:   mirror.rules,
		actions: []action{put("a"), remove("a")},
		people:  3, follows: true,
	}
	sweptMirror = scenario{
		name: "a mirror swept meanwhile", buckets: []string{"a", "b"},
		rules:   mirror.rules,
		actions: []action{put("a"), remove("a")},
		people:  2, faults: 1, sweeps: 1, follows: true,
	}
	sweptPair = scenario{
		name: "a pair swept meanwhile", buckets: []string{"a", "b"},
		rules:   pair.rules,
		actions: []action{put("a"), put("b"), remove("a")},
		people:  2, faults: 1, sweeps: 1, waits: 1,
	}
	rewrittenMirror = scenario{
		name: "a mirror of rewritten metadata", buckets: []string{"a", "b"},
		rules:   mirror.rules,
		actions: []action{put("a"), rewrite("a")},
		people:  3, follows: true,
	}
	sharedMirror = scenario{
		name: "a mirror whose destination people use", buckets: []string{"a", "b"},
		rules:   mirror.rules,
		actions: []action{put("a"), remove("a"), put("b")},
		people:  3,
	}
	versionedMirror = scenario{
		name: "a mirror of versions", buckets: []string{"a", "b"}, traits: storetest.Traits{Versioned: true},
		rules:   mirror.rules,
		actions: []action{put("a"), remove("a"), undo("a"), put("b"), remove("b")},
		people:  3, faults: 1, dups: 1,
	}
	pair = scenario{
		name: "a pair of opposite rules", buckets: []string{"a", "b"},
		rules:   []rule.Rule{storetest.Mirror("a", "b", followDeletes), storetest.Mirror("b", "a", followDeletes)},
		actions: []action{put("a"), put("b"), rewrite("b"), remove("a"), mimic("b", "a")},
		people:  3, faults: 1, dups: 1, waits: 1,
	}
	calmPair = scenario{
		name: "a pair in good weather", buckets: []string{"a", "b"},
		rules:   pair.rules,
		actions: []action{put("a"), put("b"), remove("a")},
		people:  3,
	}
	markedPair = scenario{
		name: "a pair whose deletes travel as markers", buckets: []string{"a", "b"}, traits: storetest.Traits{Versioned: true},
		rules:   []rule.Rule{storetest.Mirror("a", "b", followMarkers), storetest.Mirror("b", "a", followMarkers)},
		actions: []action{put("a"), put("b"), remove("a"), remove("b")},
		people:  3, faults: 1, dups: 1, waits: 1, markers: true,
	}
	// Two people and no trouble, so that two taggings can overtake each other.
	calmTagged = scenario{
		name: "a tagged mirror in good weather", buckets: []string{"a", "b"},
		rules:   mirror.rules,
		actions: []action{tag("a")},
		before:  []action{put("a")},
		people:  3,
	}
	taggedVersions = scenario{
		name: "a mirror of versions that are tagged", buckets: []string{"a", "b"}, traits: storetest.Traits{Versioned: true},
		rules:   mirror.rules,
		actions: []action{put("a"), tag("a"), put("b")},
		people:  3, faults: 1,
	}
	taggedPair = scenario{
		name: "a pair whose objects are tagged", buckets: []string{"a", "b"}, traits: storetest.Traits{Versioned: true},
		rules:   pair.rules,
		actions: []action{put("a"), put("b"), tag("a")},
		people:  3, faults: 1, waits: 1,
	}
	rottenMirror = scenario{
		name: "a mirror whose replicas rot", buckets: []string{"a", "b"},
		rules:   mirror.rules,
		actions: []action{put("a"), rewrite("a"), remove("a"), rot("a", "b"), put("b")},
		before:  []action{put("a")},
		people:  3, faults: 1, dups: 1,
	}
	rottenPair = scenario{
		name: "a pair whose replicas rot", buckets: []string{"a", "b"},
		rules:   pair.rules,
		actions: []action{put("a"), put("b"), rot("a", "b")},
		before:  []action{put("a")},
		people:  3, faults: 1, dups: 1, waits: 1,
	}
	ring = scenario{
		name: "a ring of three", buckets: []string{"a", "b", "c"},
		rules:   []rule.Rule{storetest.Mirror("a", "b"), storetest.Mirror("b", "c"), storetest.Mirror("c", "a")},
		actions: []action{put("a"), put("b")},
		people:  2, faults: 1, dups: 1, waits: 1,
	}
)

// TestModel searches the histories of each scenario breadth-first: a person
// acts, messages are delivered in any order and twice, two workers take turns
// at every call, calls fail before and after they took effect, workers die,
// leases run out. From every state reached, all trouble then ends, and what
// must be true is checked.
func TestModel(t *testing.T) {
	var report modelReport
	t.Cleanup(func() { report.write(t) })
	for _, sc := range []scenario{
		mirror, calmMirror, rewrittenMirror, sharedMirror, versionedMirror, sweptMirror, pair, calmPair, sweptPair, markedPair, ring,
		calmTagged, taggedVersions, taggedPair, rottenMirror, rottenPair,
	} {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			found := search(&sc, nil, statesPerScenario)
			report.add(sc.name, found)
			if found.violation != "" {
				t.Fatalf("%s\nafter: %s", found.violation, strings.Join(found.path, ", "))
			}
		})
	}
}

// modelReport tells how far the model was searched. `make test` prints it.
type modelReport struct {
	mu    sync.Mutex
	lines []string
}

func (r *modelReport) add(name string, found result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("  %-42s %s\n", name, found))
}

func (r *modelReport) write(t *testing.T) {
	slices.Sort(r.lines)
	text := "The model of the decision and provenance rules, no violation found:\n" + strings.Join(r.lines, "")
	t.Log(text)
	if dir := os.Getenv("REPORTS"); dir != "" && !t.Failed() {
		if err := os.WriteFile(filepath.Join(dir, "model.txt"), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// result is what a search found.
type result struct {
	states, depth int
	complete      bool // the scenario holds no more states within the bounds
	violation     string
	path          []string
}

func (r result) String() string {
	if r.complete {
		return fmt.Sprintf("all %d states, up to %d steps", r.states, r.depth)
	}
	return fmt.Sprintf("%d states, all histories of up to %d steps", r.states, r.depth-1)
}

// choice is one thing that can happen in a world.
type choice struct {
	name string
	do   func(*world)
}

// choices lists what can happen next, in an order that depends on the state
// alone.
func (w *world) choices() []choice {
	var all []choice
	if w.people < w.sc.people {
		for _, a := range w.sc.actions {
			all = append(all, choice{a.name, func(w *world) { w.act(a) }})
		}
	}
	slot := -1
	held := false
	for i, k := range w.workers {
		if k == nil {
			slot = i
			continue
		}
		name := fmt.Sprintf("%s %s", k.id, k.op)
		all = append(all, choice{name, func(w *world) { w.step(i, proceed) }})
		if w.faults < w.sc.faults && (k.op == "copy" || k.op == "retag" || k.op == "delete" || k.op == "put" || k.op == "forget") {
			for _, v := range []verdict{fail, lose, crash} {
				all = append(all, choice{name + v.String(), func(w *world) { w.faults++; w.step(i, v) }})
			}
		}
	}
	if slot >= 0 {
		for i, m := range w.queue {
			if !w.back(m) {
				continue
			}
			all = append(all, choice{"deliver " + m.id, func(w *world) {
				w.queue = append(w.queue[:i:i], w.queue[i+1:]...)
				w.start(slot, m)
			}})
			if w.dups < w.sc.dups {
				all = append(all, choice{"deliver a duplicate of " + m.id, func(w *world) { w.dups++; w.start(slot, m) }})
			}
			if w.faults < w.sc.faults && m.compared == nil { // which no sweep would find again
				all = append(all, choice{"lose " + m.id, func(w *world) {
					w.faults, w.apart = w.faults+1, true
					w.queue = append(w.queue[:i:i], w.queue[i+1:]...)
				}})
			}
		}
	}
	for _, p := range w.ledger.Items() {
		held = held || p.Pending.Held(w.clock, leaseTTL)
	}
	if w.sweeps < w.sc.sweeps {
		all = append(all, choice{"a sweep comes by", func(w *world) { w.sweeps++; w.visit() }})
	}
	if idle := w.workers == [2]*worker{}; held && idle && w.waits < w.sc.waits {
		// A function is killed long before its lease runs out.
		all = append(all, choice{"the lease runs out", func(w *world) { w.waits++; w.clock = w.clock.Add(leaseTTL) }})
	}
	return all
}

// search visits at most that many states of the scenario and stops at the first
// violation. Worlds cannot be copied, for their workers are running code: each
// state is reached by replaying the choices that lead to it.
func search(sc *scenario, mutate func(ports) ports, states int) result {
	type node struct {
		parent *node
		nth    int // choice of the parent's
		depth  int
	}
	rules := sc.compile()
	replay := func(n *node) (*world, []string) {
		var path []int
		for ; n.parent != nil; n = n.parent {
			path = append(path, n.nth)
		}
		w := newWorld(rules, mutate)
		var names []string
		for i := len(path) - 1; i >= 0; i-- {
			c := w.choices()[path[i]]
			names = append(names, c.name)
			c.do(w)
		}
		return w, names
	}
	seen := map[uint64]bool{}
	frontier := []*node{{}}
	r := result{}
	for len(frontier) > 0 && r.states < states {
		n := frontier[0]
		frontier = frontier[1:]
		w, path := replay(n)
		if id := w.fingerprint(); seen[id] {
			w.abandon()
			continue
		} else {
			seen[id] = true
		}
		r.states, r.depth = r.states+1, n.depth
		for i := range w.choices() {
			frontier = append(frontier, &node{parent: n, nth: i, depth: n.depth + 1})
		}
		// From here all comes to rest: once with everybody at work, and once
		// with each of the workers slow.
		endings := []int{-1}
		for slot, k := range w.workers {
			if k != nil {
				endings = append(endings, slot)
			}
		}
		for i, stalled := range endings {
			if i > 0 {
				w, _ = replay(n)
			}
			w.end(stalled)
			w.abandon()
			if w.broken != "" {
				r.violation, r.path = w.broken, append(path, fmt.Sprintf("rest (slow worker: %d)", stalled))
				return r
			}
		}
	}
	r.complete = len(frontier) == 0
	return r
}

// abandon lets the workers of a world that is no longer needed run to their
// end without effect.
func (w *world) abandon() {
	for _, k := range w.workers {
		if k != nil && !k.ended {
			k.dead = true
			k.verdicts <- fail
			for range k.next {
			}
		}
	}
}
