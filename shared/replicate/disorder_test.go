package replicate_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

var seed = flag.Uint64("seed", 0, "repeat the random tests with this seed")

func random(t *testing.T) *rand.Rand {
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with: go test ./shared/replicate -run '%s' -seed %d", t.Name(), n)
	return rand.New(rand.NewPCG(n, 0))
}

// Five hundred events in random order, a third of them twice, a tenth missing
// their first delivery: the destination equals the source, and no object was
// copied more often than it changed.
func TestEventsInAnyOrder(t *testing.T) {
	for name, traits := range map[string]storetest.Traits{
		"unversioned": {}, "versioned": {Versioned: true}, "encrypted": {FreshETags: true}, "events without ids": {BareEvents: true},
	} {
		t.Run(name, func(t *testing.T) {
			rng := random(t)
			s := newStage(t, traits, storetest.Mirror("a", "b", followDeletes))
			s.lose = true
			const keys = 60
			changes := map[string]int{}
			for len(s.told) < 500 {
				key := fmt.Sprintf("key %02d", rng.IntN(keys))
				switch n := rng.IntN(10); {
				case n < 6:
					s.put("a", key, fmt.Sprint(len(s.told)))
				case n < 8: // the same bytes again
					if found, ok := s.objects.Get(s.at("a", key)); ok && found.State.Presence == object.Present {
						s.objects.Put(s.at("a", key), found.Content)
					}
				default:
					s.remove("a", key)
				}
				changes[key] = 0
			}
			var bodies []string
			for i, c := range s.told {
				changes[c.Ref.Key]++
				bodies = append(bodies, body(c))
				if i%3 == 0 {
					bodies = append(bodies, body(c))
				}
			}
			rng.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
			s.clock = s.clock.Add(visibility)
			for _, b := range bodies {
				s.queue.Send(b)
			}
			// A message that misses its first delivery is not worked on, and
			// is there again when its visibility timeout has passed.
			s.deliver(func(m event.Message) bool { return m.Received > 1 || rng.IntN(10) > 0 })

			for key := range changes {
				if a, b := s.text("a", key), s.text("b", key); a != b {
					t.Errorf("%s: the source holds %q, the destination %q", key, a, b)
				}
			}
			for key, n := range s.copies {
				if n > changes[key] {
					t.Errorf("%s was copied %d times for %d changes", key, n, changes[key])
				}
			}
			if len(s.queue.Dead()) > 0 || len(s.ledger.AllFailures()) > 0 {
				t.Errorf("%d dead letters, failures %+v", len(s.queue.Dead()), s.ledger.AllFailures())
			}
			s.wantLedgerTrue()
		})
	}
}

// deliver is run for batches of which some messages are lost on their way to
// the handler.
func (s *stage) deliver(arrives func(event.Message) bool) {
	s.t.Helper()
	for range 10_000 {
		got := s.queue.Receive(10)
		if len(got) == 0 {
			next, any := s.queue.Next()
			if !any {
				return
			}
			s.clock = later(s.clock, next)
			continue
		}
		if got = slices.DeleteFunc(got, func(m event.Message) bool { return !arrives(m) }); len(got) > 0 {
			s.invoke(got...)
		}
	}
	s.t.Fatal("the queue does not empty")
}

// wantLedgerTrue checks that the ledger claims no write that never landed, and
// none where nothing is any more.
func (s *stage) wantLedgerTrue() {
	s.t.Helper()
	for at, p := range s.ledger.Items() {
		switch {
		case !p.Landed():
		case !s.landed[written{at, p.Dest}]:
			s.t.Errorf("the ledger claims %+v at %s, which never was there", p.Dest, at)
		case s.text(at.Bucket.Name, at.Key) == "-":
			s.t.Errorf("the ledger claims %+v at %s, where nothing is", p.Dest, at)
		}
	}
}

// Each write of the event path fails, before and after it took effect. After
// the redelivery the destination is right; a write that was not recorded
// belongs to nobody, so nothing that follows deletes it.
func TestEveryWriteFails(t *testing.T) {
	lost := errors.New("the connection was reset")
	for name, traits := range map[string]storetest.Traits{"unversioned": {}, "versioned": {Versioned: true}} {
		for _, paired := range []bool{false, true} {
			for _, fault := range []storetest.Fault{storetest.FailBefore, storetest.ApplyThenFail} {
				for nth := 1; ; nth++ {
					hit := false
					what := fmt.Sprintf("%s, pair %t, fault %d, write %d", name, paired, fault, nth)
					t.Run(what, func(t *testing.T) { hit = oneFault(t, traits, paired, fault, nth, lost) })
					if !hit {
						break // the history has fewer writes
					}
				}
			}
		}
	}
}

// oneFault plays a fixed history in which the nth write fails, and reports
// whether there was an nth write.
func oneFault(t *testing.T, traits storetest.Traits, paired bool, fault storetest.Fault, nth int, with error) bool {
	rules := []rule.Rule{storetest.Mirror("a", "b", followDeletes)}
	if paired {
		rules = append(rules, storetest.Mirror("b", "a", followDeletes))
	}
	s := newStage(t, traits, rules...)
	var mu sync.Mutex
	writes, hit := 0, false
	hook := func(call storetest.Call) (storetest.Fault, error) {
		mu.Lock()
		defer mu.Unlock()
		switch call.Op {
		case "objects.copy", "objects.delete", "ledger.put", "ledger.forget", "queue.defer", "queue.backoff":
			if writes++; writes == nth {
				hit = true
				return fault, with
			}
		}
		return storetest.None, nil
	}
	s.objects.Hook, s.ledger.Hook, s.queue.Hook = hook, hook, hook

	s.put("a", "kept", "1")
	s.put("a", "removed", "1")
	s.run()
	s.put("a", "kept", "2")
	s.run()
	s.wantText("b", "kept", "2")
	s.wantText("b", "removed", "1")
	s.wantLedgerTrue()
	recorded := s.ledger.Item(s.at("b", "removed")).Landed()
	s.remove("a", "removed")
	s.run()
	if recorded {
		s.wantText("b", "removed", "-")
	} else {
		s.wantText("b", "removed", "1")
	}
	s.wantText("a", "kept", "2")
	s.wantText("b", "kept", "2")
	s.wantLedgerTrue()
	if len(s.queue.Dead()) > 0 || len(s.ledger.AllFailures()) > 0 {
		t.Errorf("%d dead letters, failures %+v", len(s.queue.Dead()), s.ledger.AllFailures())
	}
	return hit
}
