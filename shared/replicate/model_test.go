package replicate_test

import (
	"fmt"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// The scenarios of the model. Each is small, and each has a reason.
var (
	mirror = scenario{
		name: "a mirror that follows deletes", buckets: []string{"a", "b"},
		rules:   []rule.Rule{copyRule("a", "b", followDeletes)},
		actions: []action{put("a"), remove("a"), rewrite("a"), put("b"), rewrite("b")},
	}
	versionedMirror = scenario{
		name: "the same with versions", buckets: []string{"a", "b"}, traits: storetest.Traits{Versioned: true},
		rules:   mirror.rules,
		actions: []action{put("a"), remove("a"), put("b"), remove("b")},
	}
	pair = scenario{
		name: "a pair of opposite rules", buckets: []string{"a", "b"},
		rules:   []rule.Rule{copyRule("a", "b", followDeletes), copyRule("b", "a", followDeletes)},
		actions: []action{put("a"), put("b"), rewrite("b"), remove("a"), mimic("b", "a")},
	}
	markedPair = scenario{
		name: "a pair whose deletes travel as markers", buckets: []string{"a", "b"}, traits: storetest.Traits{Versioned: true},
		rules:   []rule.Rule{copyRule("a", "b", followMarkers), copyRule("b", "a", followMarkers)},
		actions: []action{put("a"), put("b"), remove("a"), remove("b")}, markers: true,
	}
	ring = scenario{
		name: "a ring of three", buckets: []string{"a", "b", "c"},
		rules:   []rule.Rule{copyRule("a", "b"), copyRule("b", "c"), copyRule("c", "a")},
		actions: []action{put("a"), put("b")},
	}
)

// TestModel searches the histories of each scenario breadth-first: a person
// acts, messages are delivered in any order and twice, two workers take turns
// at every call, calls fail before and after they took effect, workers die,
// leases run out. From every state reached, all trouble then ends, and what
// must be true is checked.
func TestModel(t *testing.T) {
	for _, sc := range []scenario{mirror, versionedMirror, pair, markedPair, ring} {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			found := search(&sc, nil, statesPerScenario)
			t.Logf("%s", found)
			if found.violation != "" {
				t.Fatalf("%s\nafter: %s", found.violation, strings.Join(found.path, ", "))
			}
		})
	}
}

// The bounds of the search: how much trouble one history holds, and how many
// states are visited. The search is breadth-first, so all histories up to some
// length are covered, and the log says how long that is.
const (
	statesPerScenario = 20_000
	mostPeople        = 3
	mostFaults        = 1
	mostDups          = 1
	mostWaits         = 1
)

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
	if w.people < mostPeople {
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
		if w.faults < mostFaults && (k.op == "copy" || k.op == "delete" || k.op == "put" || k.op == "forget") {
			for _, v := range []verdict{fail, lose, crash} {
				all = append(all, choice{name + v.String(), func(w *world) { w.faults++; w.step(i, v) }})
			}
		}
	}
	if slot >= 0 {
		for i, m := range w.queue {
			all = append(all, choice{"deliver " + m.id, func(w *world) {
				w.queue = append(w.queue[:i:i], w.queue[i+1:]...)
				w.start(slot, m)
			}})
			if w.dups < mostDups {
				all = append(all, choice{"deliver a duplicate of " + m.id, func(w *world) { w.dups++; w.start(slot, m) }})
			}
			if w.faults < mostFaults {
				all = append(all, choice{"lose " + m.id, func(w *world) {
					w.faults++
					w.queue = append(w.queue[:i:i], w.queue[i+1:]...)
				}})
			}
		}
	}
	for _, p := range w.ledger.Items() {
		held = held || p.Pending.Held(w.clock, leaseTTL)
	}
	if idle := w.workers == [2]*worker{}; held && idle && w.waits < mostWaits {
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
	replay := func(n *node) (*world, []string) {
		var path []int
		for ; n.parent != nil; n = n.parent {
			path = append(path, n.nth)
		}
		w := newWorld(sc, mutate)
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
	r := result{complete: true}
	for len(frontier) > 0 {
		n := frontier[0]
		frontier = frontier[1:]
		w, path := replay(n)
		id := w.fingerprint()
		if seen[id] {
			w.abandon()
			continue
		}
		seen[id] = true
		r.states, r.depth = r.states+1, n.depth
		for i := range w.choices() {
			frontier = append(frontier, &node{parent: n, nth: i, depth: n.depth + 1})
		}
		if w.drain(); w.broken == "" {
			w.settled()
		}
		w.abandon()
		if w.broken != "" {
			r.violation, r.path, r.complete = w.broken, path, false
			return r
		}
		if r.states >= states {
			r.complete = len(frontier) == 0
			return r
		}
	}
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
