package schedule_test

import (
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// verify begins a verification, whose first ticket is lost.
func (s *stage) verify(name string) string {
	s.t.Helper()
	runs := run.New(s.runs, s.tickets, func() time.Time { return s.clock })
	begun, err := runs.Verify(ctx, s.active(name), run.Metadata, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.tickets.Take()
	return begun.Rule
}

func TestAVerificationWhoseTicketsWereLostIsRevived(t *testing.T) {
	s := newStage(t, named("mirror", isPaused)) // which is no reason to stop it
	kept := s.verify("mirror")
	s.wait(4 * time.Minute)
	s.wantTickets()
	s.wait(2 * time.Minute)
	s.wantTickets(kept + " 1 1")
	s.finishOf("mirror", kept, "")
	if r := s.run(kept, 1); r.State != run.Succeeded {
		t.Errorf("%+v", r)
	}
	s.wait(48 * time.Hour)
	if r := s.job(kept); r.LastRun != 1 || r.ActiveRun != 0 {
		t.Errorf("another one began by itself: %+v", r)
	}
}

func TestAVerificationIsCancelledWhenItsRule(t *testing.T) {
	for name, change := range map[string]rule.Stored{
		"is switched off": named("mirror", isOff),
		"leads elsewhere": named("mirror", toC),
	} {
		s := newStage(t, named("mirror", isPaused))
		kept := s.verify("mirror")
		s.configure(change)
		s.tick()
		if r := s.run(kept, 1); r.State != run.Cancelled {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestARunAndAVerificationGoOnSideBySide(t *testing.T) {
	s := newStage(t, named("mirror"))
	s.tick()
	kept := s.verify("mirror")
	s.wait(10 * time.Minute)
	s.wantTickets("mirror 1 1", kept+" 1 1")
	s.finish("mirror", "")
	if r, v := s.run("mirror", 1), s.run(kept, 1); r.State != run.Succeeded || !v.State.Active() {
		t.Errorf("the run is %s, the verification %s", r.State, v.State)
	}
	if _, err := s.runs.Run(ctx, "mirror", 2); object.CodeOf(err) != run.CodeNotFound {
		t.Errorf("%v", err)
	}
}
