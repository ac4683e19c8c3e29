package replicate_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

func TestMoreDeletesThanTheLimitInAnHourAreLeftToTheNextRun(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) {
		r.ReplicateDeletes, r.MaxDeletes.Count = true, 2
	}))
	for i := range 5 {
		s.put("a", fmt.Sprint("k", i), "x")
	}
	s.run()
	s.results()
	for i := range 4 {
		s.remove("a", fmt.Sprint("k", i))
		s.run()
	}
	want := []string{"deleted removed", "deleted removed", "skipped held", "skipped held"}
	if got := s.results(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	s.mu.Lock()
	s.clock = s.clock.Add(time.Hour)
	s.mu.Unlock()
	s.remove("a", "k4")
	s.run()
	if got := s.results(); fmt.Sprint(got) != "[deleted removed]" {
		t.Errorf("in the next hour: %v", got)
	}
}

// limited gives the event function limits of its rules, all of whose time is
// reserved for so long.
func (s *stage) limited(full time.Duration) *storetest.Limits {
	store := &storetest.Limits{}
	if _, _, err := store.Draw(ctx, "a-b", full+limit.Burst, s.clock, s.clock); err != nil {
		s.t.Fatal(err)
	}
	s.handler.Replicator.Limits = &limit.Limiter{Store: store, Now: s.handler.Now, Holder: "me"}
	return store
}

func TestWhatALimitHoldsBackWaitsAsLongAsItTakes(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) { r.Limits.BytesPerSecond = 1000 }))
	const day = 24 * time.Hour
	store := s.limited(day)
	began := s.clock
	s.put("a", "k", "1")
	s.run()
	s.wantText("b", "k", "1")
	if waited := s.clock.Sub(began); waited < day || waited > day+time.Hour {
		t.Errorf("it waited %s", waited)
	}
	if len(s.queue.Dead()) > 0 || len(s.ledger.AllFailures()) > 0 {
		t.Errorf("a limit is no failure: %v, %v", s.queue.Dead(), s.ledger.AllFailures())
	}
	results := s.results()
	last := len(results) - 1
	for _, r := range results[:last] {
		if r != "deferred limited" {
			t.Errorf("the outcomes are %q", results)
		}
	}
	// About every quarter of an hour, which is more often than a message may wait
	// for others, and the store is asked for hardly any of them.
	if n := store.Counts()["limits.draw"]; results[last] != "copied missing" || last < 60 || last > 200 || n > 5 {
		t.Errorf("the last of %d outcomes is %s; the store was asked %d times", last, results[last], n)
	}
}

// It moves nothing, and forgets nothing that only an event tells.
func TestOutsideTheWindowNothingMoves(t *testing.T) {
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", func(r *rule.Rule) {
		r.ReplicateDeletes = true
		r.Limits = rule.Limits{Window: "00:00-01:00", OutsideWindow: rule.Nothing}
	}))
	for _, key := range []string{"deleted", "expired", "failing"} {
		s.put("a", key, "x")
	}
	s.objects.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.copy" && c.Ref.Key == "failing" {
			return storetest.FailBefore, &object.Error{Class: object.Permanent, Code: "AccessDenied", Err: errors.New("denied")}
		}
		return storetest.None, nil
	}
	s.run()
	s.results()
	s.clock = s.clock.Add(12 * time.Hour)
	s.objects.ResetCounts()
	s.put("a", "new", "x")
	s.run()
	s.wantResults("skipped closed")
	if asked := s.objects.Counts(); len(asked) > 0 {
		t.Errorf("it asked %v", asked)
	}
	s.remove("a", "deleted")
	s.run()
	s.wantResults("skipped closed")
	s.objects.Remove(s.at("a", "expired"), object.ByLifecycle)
	s.run()
	s.wantResults("skipped lifecycle")
	items, _, err := s.ledger.Read(ctx, []object.Ref{s.at("b", "expired")}, true)
	if err != nil || !items[s.at("b", "expired")].Expired {
		t.Errorf("that it expired is not remembered: %+v, %v", items, err)
	}
	s.queue.Send(event.Retry(object.Failure{Rule: "a-b", Source: s.at("a", "failing")}, s.clock))
	s.run()
	s.wantResults("skipped closed")
	if len(s.ledger.AllFailures()) != 1 {
		t.Error("what failed is healed, and nobody tried it")
	}

	s.clock = time.Date(2026, 1, 2, 0, 30, 0, 0, time.UTC)
	s.put("a", "newer", "x")
	s.run()
	s.wantText("b", "newer", "x")

	s.clock = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	s.objects.ResetCounts()
	s.objects.PutTags(s.at("a", "newer"), map[string]string{"class": "gold"})
	s.run()
	if got, _ := s.objects.Get(s.at("b", "newer")); got.Tags["class"] != "gold" || s.clock.Day() != 3 {
		t.Errorf("the replica's tags are %v on %s", got.Tags, s.clock)
	}
	if n := s.objects.Counts()["objects.head"]; n > 2 {
		t.Errorf("it was looked at %d times", n)
	}
}
