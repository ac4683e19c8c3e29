package replicate_test

import (
	"fmt"
	"testing"
	"time"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

func TestMoreDeletesThanTheLimitInAnHourAreLeftToTheNextRun(t *testing.T) {
	s := newStage(t, storetest.Traits{}, copyRule("a", "b", func(r *rule.Rule) {
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
