package run_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

var ctx = context.Background()

// stage is the life of one rule's runs, over a store and a queue in memory.
type stage struct {
	t       *testing.T
	clock   time.Time
	store   *storetest.Runs
	tickets *storetest.Tickets
	runs    *run.Runs
	rule    *rule.Active
	ended   []run.State // of the runs that were told to have ended
}

func newStage(t *testing.T) *stage {
	s := &stage{
		t: t, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		store: &storetest.Runs{Ledger: &storetest.Ledger{}}, tickets: &storetest.Tickets{},
		rule: &rule.Active{
			Rule:         rule.DefaultRule(),
			SourceBucket: object.Bucket{Backend: object.AWS, Name: "a"},
			DestBucket:   object.Bucket{Backend: object.AWS, Name: "b"},
		},
	}
	s.rule.Name = "r"
	s.runs = run.New(s.store, s.tickets, func() time.Time { return s.clock })
	s.runs.OnEnd = func(_ context.Context, r run.Run) { s.ended = append(s.ended, r.State) }
	return s
}

func (s *stage) after(d time.Duration) *stage {
	s.clock = s.clock.Add(d)
	return s
}

func (s *stage) start(by run.Trigger) run.Run {
	s.t.Helper()
	r, err := s.runs.Start(ctx, s.rule, by, run.Asked{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stage) job() run.Job {
	s.t.Helper()
	jobs, err := s.store.Jobs(ctx, []string{"r"})
	if err != nil {
		s.t.Fatal(err)
	}
	return jobs["r"]
}

func (s *stage) run(id int64) run.Run {
	s.t.Helper()
	r, err := s.store.Run(ctx, "r", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *stage) shards(id int64) []run.Shard {
	s.t.Helper()
	shards, err := s.store.Shards(ctx, "r", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return shards
}

// claim takes the shard of the only ticket sent since the last one.
func (s *stage) claim(owner string) run.Shard {
	s.t.Helper()
	sent := s.tickets.Take()
	if len(sent) != 1 {
		s.t.Fatalf("%d tickets, want one: %+v", len(sent), sent)
	}
	return s.claimOf(sent[0], owner)
}

func (s *stage) claimOf(t run.Ticket, owner string) run.Shard {
	s.t.Helper()
	_, shard, err := s.runs.Claim(ctx, t, owner)
	if err != nil {
		s.t.Fatal(err)
	}
	return shard
}

// end ends a shard as with says, and answers its run.
func (s *stage) end(shard run.Shard, with func(*run.Shard)) run.Run {
	s.t.Helper()
	if with != nil {
		with(&shard)
	}
	r, err := s.runs.End(ctx, s.rule, shard)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// whole starts a run that has one shard, and ends it.
func (s *stage) whole(with func(*run.Shard)) run.Run {
	s.t.Helper()
	s.tickets.Take()
	s.start(run.BySchedule)
	return s.end(s.claim("worker"), with)
}

// revive is what a tick of the schedule does for an active run.
func (s *stage) revive(want int) {
	s.t.Helper()
	sent, err := s.runs.Revive(ctx, s.rule, s.run(s.job().ActiveRun))
	if err != nil || sent != want {
		s.t.Fatalf("%d tickets were sent again, want %d: %v", sent, want, err)
	}
}

func refused(t *testing.T, err error, code string) {
	t.Helper()
	if object.ClassOf(err) != object.Premise || object.CodeOf(err) != code {
		t.Errorf("answered %v, want a Premise %s", err, code)
	}
}

// once hooks a store so that something happens before the next such call.
func once(op string, do func()) storetest.Hook {
	done := false
	return func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == op && !done {
			done = true
			do()
		}
		return storetest.None, nil
	}
}

func keys(n int64) func(*run.Shard) {
	return func(s *run.Shard) { s.Scanned, s.Sources, s.Copied = n, n, n }
}

// candidates finds so many deletes among so many keys, and nothing else to do.
func candidates(n, among int64) func(*run.Shard) {
	return func(s *run.Shard) {
		s.Scanned, s.Sources, s.Candidates = among, among-n, n
		s.Skip("in_sync", among-n)
	}
}

func TestARunBegins(t *testing.T) {
	s := newStage(t)
	got := s.start(run.ByRunNow)
	if got.ID != 1 || got.State != run.Queued || got.Phase != run.Copying || got.Open != 1 || got.Trigger != run.ByRunNow ||
		got.Scope != "aws/a/ -> aws/b/" || !got.StartedAt.Equal(s.clock) {
		t.Errorf("began %+v", got)
	}
	if job := s.job(); job.ActiveRun != 1 || job.LastRun != 1 || job.Scope != got.Scope {
		t.Errorf("the job is %+v", job)
	}
	shard := s.claim("worker")
	if shard.ID != "1" || shard.Range != (keyspace.Range{}) || shard.Fence != 1 || shard.Tries != 1 {
		t.Errorf("the first shard is %+v", shard)
	}
	if got := s.run(1).State; got != run.Running {
		t.Errorf("once claimed, the run is %s", got)
	}
}

func TestARunIsRefused(t *testing.T) {
	t.Run("while one is active", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		_, err := s.runs.Start(ctx, s.rule, run.ByRunNow, run.Asked{})
		refused(t, err, run.CodeActive)
	})
	t.Run("while the rule is paused", func(t *testing.T) {
		s := newStage(t)
		s.rule.Paused = true
		_, err := s.runs.Start(ctx, s.rule, run.ByRunNow, run.Asked{})
		refused(t, err, run.CodePaused)
	})
	t.Run("where somebody else is quicker", func(t *testing.T) {
		s := newStage(t)
		s.store.Hook = once("runs.begin", func() { s.start(run.ByRunNow) })
		_, err := s.runs.Start(ctx, s.rule, run.BySchedule, run.Asked{})
		refused(t, err, run.CodeActive)
		if n := len(s.tickets.Take()); n != 1 || s.job().LastRun != 1 {
			t.Errorf("%d tickets for the job %+v", n, s.job())
		}
	})
	t.Run("where the quicker one is over already", func(t *testing.T) {
		s := newStage(t)
		s.store.Hook = once("runs.begin", func() { s.whole(nil) })
		_, err := s.runs.Start(ctx, s.rule, run.BySchedule, run.Asked{})
		refused(t, err, run.CodeActive)
	})
}

func TestWhenTheNextRunIsDue(t *testing.T) {
	const minute, hour, day = time.Minute, time.Hour, 24 * time.Hour
	for name, c := range map[string]struct {
		history func(*stage)
		want    time.Duration // after the last run began
	}{
		"minutes after a rule's first": {func(s *stage) { s.whole(nil) }, 10 * minute},
		"sooner where the interval is": {func(s *stage) { s.rule.Interval = rule.Duration(5 * minute); s.whole(nil) }, 5 * minute},
		"an interval after that":       {func(s *stage) { s.whole(nil); s.after(10 * minute).whole(nil) }, day},
		"as it was, after one that nobody waited for": {func(s *stage) {
			s.whole(nil)
			s.after(10 * minute).whole(nil)
			s.after(hour).whole(nil)
		}, day - hour},
		"minutes after the first that leads elsewhere": {func(s *stage) {
			s.whole(nil)
			s.after(10 * minute).whole(nil)
			s.rule.DestBucket.Name = "c"
			s.after(hour).whole(nil)
		}, 10 * minute},
		"within the hour after one that failed": {func(s *stage) { s.whole(func(s *run.Shard) { s.Error = "no answer" }) }, hour},
		"within the interval after one that failed": {func(s *stage) {
			s.rule.Interval = rule.Duration(5 * minute)
			s.whole(func(s *run.Shard) { s.Error = "no answer" })
		}, 5 * minute},
		"an interval after the retry of one that failed": {func(s *stage) {
			s.whole(nil)
			s.after(10 * minute).whole(func(s *run.Shard) { s.Error = "no answer" })
			s.after(hour).whole(nil)
		}, day},
		"an interval after one that somebody started before the retry": {func(s *stage) {
			s.whole(nil)
			s.after(10 * minute).whole(func(s *run.Shard) { s.Error = "no answer" })
			s.after(minute).whole(nil)
		}, day},
		"when the window opens, where nothing moves outside": {func(s *stage) {
			s.rule.Limits = rule.Limits{Window: "03:00-02:00", OutsideWindow: rule.Nothing}
			s.whole(nil)
			s.after(time.Hour).whole(nil)
		}, 2 * hour},
		"an interval after that, where events move": {func(s *stage) {
			s.rule.Limits = rule.Limits{Window: "03:00-02:00"}
			s.whole(nil)
			s.after(time.Hour).whole(nil)
		}, day},
		"as it was, after one that was cancelled": {func(s *stage) {
			s.start(run.BySchedule)
			if _, err := s.runs.Cancel(ctx, "r", 1); err != nil {
				s.t.Fatal(err)
			}
		}, 10 * minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			c.history(s)
			job := s.job()
			if got := job.NextDue.Sub(s.clock); got != c.want {
				t.Errorf("due after %s, want %s", got, c.want)
			}
			if failed := s.run(job.LastRun).State == run.Failed; job.Retry != failed {
				t.Errorf("the next is a retry: %t, of a failed one: %t", job.Retry, failed)
			}
		})
	}
}

func TestWhatToExpectIsWhatTheLastRunHad(t *testing.T) {
	s := newStage(t)
	s.whole(keys(7))
	if got := s.start(run.BySchedule).Expected; got != 7 {
		t.Errorf("expected are %d keys, want 7", got)
	}
	if _, err := s.runs.Cancel(ctx, "r", 2); err != nil {
		t.Fatal(err)
	}
	if got := s.start(run.BySchedule).Expected; got != 7 {
		t.Errorf("after a cancelled run %d, want 7", got)
	}
	if _, err := s.runs.Cancel(ctx, "r", 3); err != nil {
		t.Fatal(err)
	}
	s.rule.Source.Prefix = "elsewhere/"
	if got := s.start(run.BySchedule).Expected; got != 0 {
		t.Errorf("of another scope %d, want 0", got)
	}
}

func TestHowARunEnds(t *testing.T) {
	for name, c := range map[string]struct {
		rule  func(*rule.MaxDeletes)
		shard func(*run.Shard)
		state run.State
		phase run.Phase
		held  int64
	}{
		"without a key":       {nil, nil, run.Succeeded, run.Copying, 0},
		"with all copied":     {nil, keys(5), run.Succeeded, run.Copying, 0},
		"with some that fail": {nil, func(s *run.Shard) { keys(5)(s); s.Copied, s.Errors = 4, 1 }, run.CompletedWithErrors, run.Copying, 0},
		"without some of its keys": {nil, func(s *run.Shard) { keys(5)(s); s.Error = "access denied" },
			run.Failed, run.Copying, 0},
		"without some of its keys, and with deletes": {nil, func(s *run.Shard) { candidates(2, 100)(s); s.Error = "access denied" },
			run.Failed, run.Copying, 0},
		"not yet: there is something to delete": {nil, candidates(2, 100), run.Running, run.Deleting, 0},
		"not yet: few deletes of few keys":      {nil, candidates(20, 30), run.Running, run.Deleting, 0},
		"over the percentage":                   {nil, candidates(21, 209), run.DeletesHeld, run.Copying, 21},
		"not yet: at the percentage":            {nil, candidates(21, 210), run.Running, run.Deleting, 0},
		"over the count":                        {nil, candidates(1001, 1_000_000), run.DeletesHeld, run.Copying, 1001},
		"not yet: at the count":                 {nil, candidates(1000, 1_000_000), run.Running, run.Deleting, 0},
		"over a count of nothing":               {func(m *rule.MaxDeletes) { m.Count = 0 }, candidates(1, 100), run.DeletesHeld, run.Copying, 1},
		"over a percentage of nothing":          {func(m *rule.MaxDeletes) { m.Percent = 0 }, candidates(21, 1_000_000), run.DeletesHeld, run.Copying, 21},
		"with a source that is suddenly empty":  {nil, candidates(1, 1), run.DeletesHeld, run.Copying, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			if c.rule != nil {
				c.rule(&s.rule.MaxDeletes)
			}
			got := s.whole(c.shard)
			if got.State != c.state || got.Phase != c.phase || got.Held != c.held {
				t.Errorf("%s in phase %d with %d held, want %s, %d, %d", got.State, got.Phase, got.Held, c.state, c.phase, c.held)
			}
			stored, job := s.run(1), s.job()
			if stored.State != c.state || stored.Phase != c.phase || stored.Held != c.held {
				t.Errorf("stored is %+v", stored)
			}
			if c.state.Active() {
				if job.ActiveRun != 1 || !stored.EndedAt.IsZero() || len(s.tickets.Take()) != 1 || len(s.ended) != 0 {
					t.Errorf("the run does not go on: job %+v, run %+v", job, stored)
				}
				return
			}
			if job.ActiveRun != 0 || !stored.EndedAt.Equal(s.clock) || !slices.Equal(s.ended, []run.State{c.state}) {
				t.Errorf("the run did not end: job %+v, run %+v, told %v", job, stored, s.ended)
			}
			if (stored.Error != "") != (c.state == run.Failed) {
				t.Errorf("it failed because %q", stored.Error)
			}
		})
	}
}

func TestARunThatSawEveryKeyHeals(t *testing.T) {
	for name, c := range map[string]struct {
		problem string
		left    []string
	}{
		"and what failed meanwhile stays":     {"", []string{"meanwhile"}},
		"and one that did not, heals nothing": {"no answer", []string{"before", "meanwhile"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			fail := func(key string) {
				f := object.Failure{Rule: "r", Source: object.Ref{Bucket: s.rule.SourceBucket, Key: key}, OccurredAt: s.clock}
				if err := s.store.Ledger.Fail(ctx, f); err != nil {
					t.Fatal(err)
				}
			}
			fail("before")
			s.after(time.Second).start(run.BySchedule)
			shard := s.claim("worker")
			s.after(time.Second)
			fail("meanwhile")
			s.after(time.Second)
			s.end(shard, func(s *run.Shard) { s.Errors, s.Error = 1, c.problem })
			var left []string
			for _, f := range s.store.Ledger.AllFailures() {
				left = append(left, f.Source.Key)
			}
			if !slices.Equal(left, c.left) {
				t.Errorf("recorded is %q, want %q", left, c.left)
			}
		})
	}
}

func TestTheDeletingPhase(t *testing.T) {
	s := newStage(t)
	s.whole(candidates(3, 100))
	shard := s.claim("another")
	if shard.Phase != run.Deleting || shard.Cursor != "" || shard.Ended || shard.Scanned != 100 || shard.Candidates != 3 {
		t.Errorf("to be deleted from: %+v", shard)
	}
	got := s.end(shard, func(s *run.Shard) { s.Deleted = 3 })
	if got.State != run.Succeeded || got.Deleted != 3 || got.Candidates != 3 || got.Scanned != 100 {
		t.Errorf("ended %+v", got)
	}
}

func TestOnlyShardsWithSomethingToDeleteAreOpenedAgain(t *testing.T) {
	s := newStage(t)
	s.start(run.BySchedule)
	root := s.claim("w1")
	if err := s.runs.Share(ctx, &root, []keyspace.Range{{After: "g", Until: "p"}, {After: "p"}}); err != nil {
		t.Fatal(err)
	}
	second := s.tickets.Take()
	s.end(root, candidates(1, 100))
	s.end(s.claimOf(second[0], "w2"), keys(100))
	got := s.end(s.claimOf(second[1], "w3"), candidates(2, 100))
	if got.Open != 2 || got.Phase != run.Deleting || got.Shards != 3 {
		t.Errorf("the run is %+v", got)
	}
	var shards []string
	for _, ticket := range s.tickets.Take() {
		shards = append(shards, ticket.Shard)
	}
	if !slices.Equal(shards, []string{"1", "1.2"}) {
		t.Errorf("tickets for %q", shards)
	}
}

func TestApprove(t *testing.T) {
	s := newStage(t)
	s.rule.MaxDeletes.Count = 1
	if got := s.whole(candidates(5, 100)); got.State != run.DeletesHeld {
		t.Fatalf("ended %+v", got)
	}
	approve := func() run.Run {
		t.Helper()
		got, err := s.runs.Approve(ctx, s.rule, 0)
		if err != nil {
			t.Fatal(err)
		}
		if job := s.job(); !got.Approved || !got.State.Active() || job.ActiveRun != 1 || !s.run(1).EndedAt.IsZero() {
			t.Fatalf("approved: job %+v, run %+v", job, s.run(1))
		}
		return got
	}

	approve()
	shard := s.claim("w")
	if shard.Candidates != 5 {
		t.Errorf("%d may be deleted, want 5", shard.Candidates)
	}
	// There are more than were counted by now.
	got := s.end(shard, func(s *run.Shard) { s.Deleted, s.Held, s.Scanned = 5, 2, 102 })
	if got.State != run.DeletesHeld || got.Held != 2 || got.Deleted != 5 || s.job().ActiveRun != 0 {
		t.Fatalf("ended %+v", got)
	}

	if got := approve(); got.Phase != run.Deleting+1 {
		t.Errorf("the second approval begins phase %d", got.Phase)
	}
	shard = s.claim("w")
	if shard.Candidates != 7 || shard.Deleted != 5 || shard.Held != 0 {
		t.Errorf("of %d that may be deleted %d are", shard.Candidates, shard.Deleted)
	}
	got = s.end(shard, func(s *run.Shard) { s.Deleted = 7 })
	if got.State != run.Succeeded || got.Deleted != 7 || got.Held != 0 {
		t.Errorf("ended %+v", got)
	}
	_, err := s.runs.Approve(ctx, s.rule, 0)
	refused(t, err, run.CodeNothing)
}

func TestAnApprovalIsRefused(t *testing.T) {
	held := func(s *stage) { s.rule.MaxDeletes.Count = 0; s.whole(candidates(1, 100)) }
	for name, c := range map[string]struct {
		before func(*stage)
		code   string
	}{
		"before any run": {func(*stage) {}, run.CodeNothing},
		"of a run that failed before it knew all": {func(s *stage) {
			s.whole(func(s *run.Shard) { candidates(1, 100)(s); s.Error = "access denied" })
		}, run.CodeNothing},
		"of a run that held nothing":     {func(s *stage) { s.whole(nil) }, run.CodeNothing},
		"while another run is active":    {func(s *stage) { held(s); s.start(run.ByRunNow) }, run.CodeActive},
		"after another run":              {func(s *stage) { held(s); s.whole(nil) }, run.CodeNothing},
		"while the rule is paused":       {func(s *stage) { held(s); s.rule.Paused = true }, run.CodePaused},
		"where the rule leads elsewhere": {func(s *stage) { held(s); s.rule.DestBucket.Name = "c" }, run.CodeOutOfScope},
		"where somebody else is quicker": {func(s *stage) { held(s); s.approveFirst() }, "ConditionalCheckFailedException"},
		"where a new run has just begun": {func(s *stage) { held(s); s.store.Hook = once("runs.turn", func() { s.start(run.ByRunNow) }) }, "ConditionalCheckFailedException"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			c.before(s)
			_, err := s.runs.Approve(ctx, s.rule, 0)
			refused(t, err, c.code)
		})
	}
}

func (s *stage) approveFirst() {
	s.store.Hook = once("runs.turn", func() {
		if _, err := s.runs.Approve(ctx, s.rule, 0); err != nil {
			s.t.Error(err)
		}
	})
}

func TestCancel(t *testing.T) {
	s := newStage(t)
	s.start(run.BySchedule)
	shard := s.claim("worker")
	keys(3)(&shard)
	if _, err := s.runs.Save(ctx, &shard); err != nil {
		t.Fatal(err)
	}
	got, err := s.runs.Cancel(ctx, "r", 1)
	if err != nil || got.State != run.Cancelled || got.Copied != 3 {
		t.Errorf("cancelled %+v, %v", got, err)
	}
	if stored := s.run(1); stored.State != run.Cancelled || stored.Copied != 3 || !stored.EndedAt.Equal(s.clock) || s.job().ActiveRun != 0 {
		t.Errorf("stored %+v, job %+v", stored, s.job())
	}
	if !slices.Equal(s.ended, []run.State{run.Cancelled}) {
		t.Errorf("told were %v", s.ended)
	}
	_, err = s.runs.Save(ctx, &shard)
	refused(t, err, run.CodeOutdated) // the worker stops
	_, _, err = s.runs.Claim(ctx, run.Ticket{Rule: "r", Run: 1, Shard: "1", Phase: run.Copying}, "worker")
	refused(t, err, run.CodeOutdated)
	_, err = s.runs.Cancel(ctx, "r", 1)
	refused(t, err, run.CodeNotActive)
	if got := s.start(run.ByRunNow); got.ID != 2 {
		t.Errorf("the next run is %d", got.ID)
	}
}

func TestACancelledRunStaysCancelledWhenItsLastShardEnds(t *testing.T) {
	s := newStage(t)
	s.start(run.BySchedule)
	shard := s.claim("worker")
	s.store.Hook = once("runs.turn", func() {
		if _, err := s.runs.Cancel(ctx, "r", 1); err != nil {
			t.Error(err)
		}
	})
	s.end(shard, keys(3))
	if got := s.run(1).State; got != run.Cancelled || s.job().ActiveRun != 0 || len(s.ended) != 1 {
		t.Errorf("the run is %s, the job %+v, told %v", got, s.job(), s.ended)
	}
}

func TestShareGivesRangesAway(t *testing.T) {
	const n = 2*run.MaxChildren + 54
	var away []keyspace.Range
	for i := range n {
		away = append(away, keyspace.Range{After: fmt.Sprintf("%04d", i), Until: fmt.Sprintf("%04d", i+1)})
	}
	away[n-1].Until = ""

	share := func(t *testing.T, s *stage, shard *run.Shard) error {
		t.Helper()
		s.start(run.BySchedule)
		*shard = s.claim("worker")
		return s.runs.Share(ctx, shard, away)
	}
	// sound checks that the shards cover all keys, each once, and are counted.
	sound := func(t *testing.T, s *stage, shard run.Shard, want int) {
		t.Helper()
		shards := s.shards(1)
		seen := map[string]bool{}
		at := ""
		for i, c := range shards {
			if c.Range.After != at || seen[c.ID] || c.Range.Until == "" && i < len(shards)-1 {
				t.Fatalf("shard %d is %s with %+v, which must begin at %q", i, c.ID, c.Range, at)
			}
			seen[c.ID], at = true, c.Range.Until
			if c.ID != "1" && (!strings.HasPrefix(c.ID, "1.") || c.Cursor != c.Range.After || c.Phase != run.Copying) {
				t.Errorf("a child is %+v", c)
			}
		}
		if at != "" {
			t.Errorf("the last shard ends at %q", at)
		}
		if r := s.run(1); len(shards) != want || r.Shards != int64(want) || r.Open != int64(want) || shard.Children != int64(want-1) {
			t.Errorf("%d shards, %d children, run %+v, want %d shards", len(shards), shard.Children, r, want)
		}
		if shards[0].ID != "1" || shards[0].Range != shard.Range {
			t.Errorf("the shard that gave is %+v, want %+v", shards[0], shard)
		}
	}

	t.Run("however many", func(t *testing.T) {
		s := newStage(t)
		var shard run.Shard
		if err := share(t, s, &shard); err != nil {
			t.Fatal(err)
		}
		sound(t, s, shard, n+1)
		if got := s.store.Counts()["runs.share"]; got != 3 {
			t.Errorf("%d transactions, want 3", got)
		}
		if shard.Range != (keyspace.Range{Until: "0000"}) {
			t.Errorf("left is %+v", shard.Range)
		}
		sent := map[string]bool{}
		for _, ticket := range s.tickets.Take() {
			sent[ticket.Shard] = true
			s.claimOf(ticket, "child "+ticket.Shard)
		}
		if len(sent) != n {
			t.Errorf("tickets for %d shards, want %d", len(sent), n)
		}
		// The shard goes on, and may give away more.
		shard.Cursor = "000"
		if _, err := s.runs.Save(ctx, &shard); err != nil {
			t.Fatal(err)
		}
		if err := s.runs.Share(ctx, &shard, []keyspace.Range{{After: "0000", Until: "0000"}}); err != nil || s.tickets.Take()[0].Shard != fmt.Sprintf("1.%d", n+1) {
			t.Errorf("sharing again: %v", err)
		}
	})
	for name, fault := range map[string]storetest.Fault{
		"and what is left is one range where the second transaction fails": storetest.FailBefore,
		"also where its answer is lost":                                    storetest.ApplyThenFail,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			calls := 0
			s.store.Hook = func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == "runs.share" {
					if calls++; calls == 2 {
						return fault, errors.New("no answer")
					}
				}
				return storetest.None, nil
			}
			var shard run.Shard
			if err := share(t, s, &shard); err == nil {
				t.Fatal("nothing failed")
			}
			want := 1 + run.MaxChildren
			if fault == storetest.ApplyThenFail {
				want += run.MaxChildren
				shard = s.shards(1)[0] // the worker is as good as dead
			}
			sound(t, s, shard, want)
		})
	}
	t.Run("but not of a run that is over", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		shard := s.claim("worker")
		if _, err := s.runs.Cancel(ctx, "r", 1); err != nil {
			t.Fatal(err)
		}
		if err := s.runs.Share(ctx, &shard, away[:1]); !run.IsOver(err) {
			t.Errorf("answered %v", err)
		}
	})
}

func TestWhoLostTheLeaseWritesNothing(t *testing.T) {
	s := newStage(t)
	s.start(run.BySchedule)
	ticket := s.tickets.Take()[0]
	old := s.claimOf(ticket, "old")
	_, _, err := s.runs.Claim(ctx, ticket, "new")
	if !run.IsOver(err) {
		t.Errorf("two hold the lease: %v", err)
	}
	// The same owner may claim again: its ticket was delivered twice.
	again := s.claimOf(ticket, "old")
	if again.Fence != old.Fence+1 || again.Tries != 2 {
		t.Errorf("claimed again: %+v", again)
	}
	s.after(s.runs.Lease)
	taken := s.claimOf(ticket, "new")
	for name, write := range map[string]func() error{
		"save":    func() error { _, err := s.runs.Save(ctx, &again); return err },
		"share":   func() error { return s.runs.Share(ctx, &again, []keyspace.Range{{After: "m"}}) },
		"end":     func() error { _, err := s.runs.End(ctx, s.rule, again); return err },
		"yield":   func() error { return s.runs.Yield(ctx, again, 1) },
		"release": func() error { return s.runs.Release(ctx, again) },
	} {
		if err := write(); !run.IsOver(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.tickets.Take()); n != 0 {
		t.Errorf("%d tickets were sent", n)
	}
	if _, err := s.runs.Save(ctx, &taken); err != nil {
		t.Error(err)
	}
}

func TestAShardThatIsPutBackGoesOnWithTheNextTicket(t *testing.T) {
	s := newStage(t)
	s.start(run.BySchedule)
	shard := s.claim("w1")
	shard.Cursor, shard.Tries = "m", 0
	keys(3)(&shard)
	if err := s.runs.Yield(ctx, shard, 1); err != nil {
		t.Fatal(err)
	}
	ticket := s.tickets.Take()[0]
	next := s.claimOf(ticket, "w2")
	if ticket.Hop != 1 || next.Cursor != "m" || next.Copied != 3 || next.Tries != 1 {
		t.Errorf("ticket %+v, shard %+v", ticket, next)
	}
}

func TestAnOutdatedTicketIsRefused(t *testing.T) {
	first := run.Ticket{Rule: "r", Run: 1, Shard: "1", Phase: run.Copying}
	deleting := first
	deleting.Phase = run.Deleting
	for name, c := range map[string]struct {
		before func(*stage)
		ticket run.Ticket
		code   string
	}{
		"of a run nobody knows":             {func(*stage) {}, first, run.CodeOutdated},
		"of a run that is over":             {func(s *stage) { s.whole(nil) }, first, run.CodeOutdated},
		"of a phase that is over":           {func(s *stage) { s.whole(candidates(1, 100)) }, first, run.CodeOutdated},
		"of a phase that is not yet":        {func(s *stage) { s.start(run.BySchedule) }, deleting, run.CodeOutdated},
		"of a shard nobody knows":           {func(s *stage) { s.start(run.BySchedule) }, run.Ticket{Rule: "r", Run: 1, Shard: "1.1", Phase: run.Copying}, "ConditionalCheckFailedException"},
		"of a shard that has nothing to do": {func(s *stage) { s.lopsided() }, run.Ticket{Rule: "r", Run: 1, Shard: "1", Phase: run.Copying}, run.CodeOutdated},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			c.before(s)
			_, _, err := s.runs.Claim(ctx, c.ticket, "late")
			refused(t, err, c.code)
		})
	}
}

// lopsided brings a run to its deleting phase, for one shard of two.
func (s *stage) lopsided() {
	s.t.Helper()
	s.start(run.BySchedule)
	root := s.claim("w1")
	if err := s.runs.Share(ctx, &root, []keyspace.Range{{After: "m"}}); err != nil {
		s.t.Fatal(err)
	}
	ticket := s.tickets.Take()[0]
	s.end(root, keys(100))
	s.end(s.claimOf(ticket, "w2"), candidates(1, 100))
}

func TestRevive(t *testing.T) {
	t.Run("a run whose first ticket was lost", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		s.tickets.Take()
		s.after(5 * s.runs.Lease).revive(0)
		s.after(time.Second).revive(1)
		s.after(time.Second).revive(0) // the new ticket may still come
		s.claim("worker")
	})
	t.Run("a shard whose worker died", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		shard := s.claim("dead")
		shard.Cursor = "m"
		if _, err := s.runs.Save(ctx, &shard); err != nil {
			t.Fatal(err)
		}
		s.after(3 * s.runs.Lease).revive(0)
		s.after(time.Second).revive(1)
		s.after(2 * s.runs.Lease).revive(0)
		s.after(time.Second).revive(1) // and once more
		next := s.claimOf(s.tickets.Take()[0], "alive")
		if next.Cursor != "m" || next.Fence != shard.Fence+1 {
			t.Errorf("it goes on with %+v", next)
		}
		s.after(3 * s.runs.Lease).revive(0)
	})
	t.Run("not a shard that waits its turn", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		root := s.claim("worker")
		if err := s.runs.Share(ctx, &root, []keyspace.Range{{After: "m"}}); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			s.after(s.runs.Lease)
			if _, err := s.runs.Save(ctx, &root); err != nil {
				t.Fatal(err)
			}
			s.revive(0)
		}
		s.end(root, keys(1))
		s.after(5*s.runs.Lease + time.Second).revive(1)
	})
	t.Run("not a shard that somebody just claimed", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		ticket := s.tickets.Take()[0]
		s.after(6 * s.runs.Lease)
		s.store.Hook = once("runs.resent", func() { s.claimOf(ticket, "late") })
		s.revive(0)
	})
	t.Run("what is to be deleted, after the tickets were lost", func(t *testing.T) {
		s := newStage(t)
		s.lopsided()
		s.tickets.Take()
		s.after(6 * s.runs.Lease).revive(1)
		if shard := s.claim("worker"); shard.ID != "1.1" || shard.Phase != run.Deleting {
			t.Errorf("revived %+v", shard)
		}
	})
	t.Run("a run whose last worker died before it could finish it", func(t *testing.T) {
		s := newStage(t)
		s.start(run.BySchedule)
		shard := s.claim("worker")
		s.store.Hook = func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "runs.end" {
				return storetest.ApplyThenFail, errors.New("the worker died")
			}
			return storetest.None, nil
		}
		if _, err := s.runs.End(ctx, s.rule, shard); err == nil {
			t.Fatal("the worker lives")
		}
		s.revive(0)
		if got := s.run(1); got.State != run.Succeeded || s.job().ActiveRun != 0 {
			t.Errorf("the run is %+v", got)
		}
	})
}

func TestProgress(t *testing.T) {
	s := newStage(t)
	s.start(run.BySchedule)
	root := s.claim("w1")
	if err := s.runs.Share(ctx, &root, []keyspace.Range{{After: "g", Until: "p"}, {After: "p"}}); err != nil {
		t.Fatal(err)
	}
	tickets := s.tickets.Take()
	want := func(scanned, expected int64) {
		t.Helper()
		got, err := s.runs.Progress(ctx, s.run(1))
		if err != nil || got.Scanned != scanned || got.Expected != expected {
			t.Errorf("%d of %d, want %d of %d; %v", got.Scanned, got.Expected, scanned, expected, err)
		}
	}
	want(0, 0)
	second := s.claimOf(tickets[0], "w2")
	candidates(1, 10)(&second)
	if _, err := s.runs.Save(ctx, &second); err != nil {
		t.Fatal(err)
	}
	want(10, 0) // nobody knows how many more
	s.end(root, keys(100))
	want(110, 300) // each of three as the one that ended
	s.end(s.claimOf(tickets[1], "w3"), keys(50))
	want(160, 225)
	s.end(second, nil)
	want(160, 160)
	s.claim("w4") // to delete, which is no news
	want(160, 160)
	if _, err := s.runs.Cancel(ctx, "r", 1); err != nil {
		t.Fatal(err)
	}
	want(160, 0) // nothing is expected any more
}

func TestTotalsAddUpWithoutTouchingEither(t *testing.T) {
	a := run.Totals{Scanned: 1, Copied: 1, Bytes: 10, Sources: 1, Sample: []string{"a"}}
	b := run.Totals{Scanned: 4, Deleted: 1, Errors: 1, Sources: 1, Candidates: 2, Held: 1, Sample: slices.Repeat([]string{"b"}, run.MaxSample)}
	a.Skip("in_sync", 1)
	b.Skip("in_sync", 1)
	b.Skip("excluded", 2)
	sum := a.Add(b)
	if sum.Scanned != 5 || sum.Copied != 1 || sum.Deleted != 1 || sum.Errors != 1 || sum.Bytes != 10 || sum.Sources != 2 ||
		sum.Candidates != 2 || sum.Held != 1 || sum.Skipped["in_sync"] != 2 || sum.SkippedSum() != 4 ||
		len(sum.Sample) != run.MaxSample || sum.Sample[0] != "a" {
		t.Errorf("the sum is %+v", sum)
	}
	sum.Skip("in_sync", 1)
	sum.Sample[0] = "other"
	if a.Skipped["in_sync"] != 1 || b.Skipped["in_sync"] != 1 || a.Sample[0] != "a" {
		t.Errorf("the operands are %+v and %+v", a, b)
	}
}
