package replicate_test

import (
	"testing"

	"bucket-replicator/shared/storetest"
)

// Requests are the bill. These tests state what the event path costs, request
// by request; the rules are read once per function instance, not per object.
func TestWhatItCosts(t *testing.T) {
	const (
		newObject = "map[ledger.count:1 ledger.put:1 ledger.read:1 objects.copy:1]"
		nothing   = "map[ledger.read:1]"
	)
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
	warm := func() { // the rules are loaded by the first invocation
		s.put("a", "first", "x")
		s.run()
		s.bill()
	}
	warm()

	step := func(what, want string, do func()) {
		t.Helper()
		do()
		s.run()
		if got := s.bill(); got != want {
			t.Errorf("%s costs %s, want %s", what, got, want)
		}
	}
	step("a new object", newObject, func() { s.put("a", "k", "1") })
	again := s.told[len(s.told)-1]
	step("the same event", nothing, func() { s.queue.Send(body(again)) })
	step("the same event once more", nothing, func() { s.queue.Send(body(again)) })
	step("an overwrite", newObject, func() { s.put("a", "k", "2") })
	step("a late event of an older write", nothing, func() { s.queue.Send(body(again)) })
	step("ten new objects in one batch", "map[ledger.count:1 ledger.put:10 ledger.read:1 objects.copy:10]", func() {
		for i := range 10 {
			s.put("a", string(rune('A'+i)), "x")
		}
	})
	step("an excluded key", nothing, func() { s.put("a", ".deltaglider/x", "1") })
	step("an object that no rule concerns", "map[]", func() { s.put("c", "k", "1") })
	if got := s.text("b", "k"); got != "2" {
		t.Errorf("the replica holds %q", got)
	}
}

// Where the destination's bucket is itself a source, a lease goes ahead of each
// copy, which is one write more; and the replica's own event has to be told
// from a person's write.
func TestWhatAPairCosts(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"), storetest.Mirror("b", "a"))
	s.put("a", "first", "x")
	s.run()
	s.bill()

	for _, what := range []string{"a new object", "an overwrite"} {
		s.put("a", "k", what)
		s.invoke(s.queue.Receive(1)...)
		if got, want := s.bill(), "map[ledger.count:1 ledger.put:2 ledger.read:1 objects.copy:1]"; got != want {
			t.Errorf("%s costs %s, want %s", what, got, want)
		}
		s.results()
		s.run() // the echo
		if got := s.results(); len(got) != 1 || got[0] != "skipped echo" {
			t.Errorf("the echo of %s: %v", what, got)
		}
		if got, want := s.bill(), "map[ledger.read:3 objects.head:2]"; got != want {
			t.Errorf("the echo of %s costs %s, want %s", what, got, want)
		}
	}
}
