package replicate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// hours are what was counted for a rule.
func (s *stage) hours(rule string) []object.Hour {
	s.t.Helper()
	hours, err := s.ledger.Hours(context.Background(), rule, time.Time{})
	if err != nil {
		s.t.Fatal(err)
	}
	return hours
}

func TestWhatAnInvocationDidIsCountedOncePerRule(t *testing.T) {
	follows := func(r *rule.Rule) { r.ReplicateDeletes = true }
	s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b", follows), storetest.Mirror("a", "c"), storetest.Mirror("b", "c"), storetest.Mirror("c", "missing"))
	begin := s.clock.Truncate(time.Hour)
	s.put("a", "one", "1")
	s.put("a", "two", "22")
	s.bill()
	s.invoke(s.queue.Receive(10)...)
	if got := s.bill(); !strings.Contains(got, "ledger.count:2 ") {
		t.Errorf("two objects for two rules cost %s, want a count per rule", got)
	}
	for _, name := range []string{"a-b", "a-c"} {
		got := s.hours(name)
		if len(got) != 1 || got[0].Copied != 2 || got[0].Bytes != 3 || got[0].Deleted+got[0].Failed != 0 ||
			got[0].Lag.Count() != 2 || got[0].Lag.Sum <= 0 || !got[0].Begin.Equal(begin) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	s.run()
	s.remove("a", "one")
	s.run()
	if got := s.hours("a-b"); len(got) != 1 || got[0].Copied != 2 || got[0].Deleted != 1 {
		t.Errorf("after the delete: %+v", got)
	}
	if got := s.hours("a-c"); len(got) != 1 || got[0].Deleted != 0 {
		t.Errorf("of the rule without deletes: %+v", got)
	}
	if got := s.hours("c-missing"); len(got) != 1 || got[0].Failed == 0 || got[0].Copied != 0 || got[0].Lag.Count() != 0 {
		t.Errorf("of the rule that fails: %+v", got)
	}
}

// A count that fails, before it took effect or after, keeps nothing from its
// end, and nothing is done again for it.
func TestACountThatFailsFailsNothing(t *testing.T) {
	for name, fault := range map[string]storetest.Fault{"not counted": storetest.FailBefore, "counted, and the answer lost": storetest.ApplyThenFail} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, storetest.Traits{}, storetest.Mirror("a", "b"))
			s.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
				if c.Op != "ledger.count" {
					return storetest.None, nil
				}
				return fault, &object.Error{Class: object.Retryable, Op: c.Op, Code: "Throttled", Err: errors.New("too much")}
			}
			s.put("a", "k", "1")
			if r := s.invoke(s.queue.Receive(10)...); len(r.BatchItemFailures) != 0 {
				t.Errorf("given back: %+v", r)
			}
			if !strings.Contains(s.log.String(), `"not counted","rule":"a-b"`) {
				t.Errorf("not said in the log: %s", s.log.String())
			}
			if got := s.ledger.Counts()["ledger.count"]; s.text("b", "k") != "1" || got != 1 {
				t.Errorf("the replica holds %q, counted %d times", s.text("b", "k"), got)
			}
		})
	}
}
