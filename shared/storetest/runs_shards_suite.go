package storetest

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

func aShardOfAnyKeysComesBack(t *testing.T, f RunsFixture) {
	for i, key := range oddKeys {
		ruleName := fmt.Sprint("rule ", i)
		s := run.Shard{
			Rule: ruleName, Run: 1, ID: "1", Phase: run.Copying, Range: keyspace.Range{After: key, Until: key}, Cursor: key,
			Intent: []string{key, "", key}, SavedAt: day,
		}
		s.Sample = []string{key}
		s.Findings = []run.Finding{{Key: key}}
		s.Partial = []run.Partial{{Key: key}}
		r := run.Run{Rule: ruleName, ID: 1, State: run.Queued, StartedAt: day}
		mustBegin(t, f, run.Job{}, run.Job{Rule: ruleName, LastRun: 1}, r, s)
		wantShards(t, f, ruleName, 1, s)
		s.Intent = oddKeys
		if err := f.Runs.Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		wantShards(t, f, ruleName, 1, s)
	}
}

func shardsAreListedInOrder(t *testing.T, f RunsFixture) {
	_, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	// Shard 1 gives "c" and "g" away, and what 1.1 becomes, all that it has.
	one, two := s, s
	one.ID, one.Range = "1.1", keyspace.Range{After: "c", Until: "g"}
	two.ID, two.Range = "1.2", keyspace.Range{After: "g"}
	s.Range.Until, s.Children = "c", 2
	mustShare(t, f, s, one, two)
	child := one
	child.ID = "1.1.1"
	one.Range.Until = "c"
	mustShare(t, f, one, child)
	wantShards(t, f, "mirror", 1, s, one, child, two)

	// The tenth run's shards are not the first one's.
	job := mustJob(t, f, "mirror")
	next := job
	next.LastRun, next.ActiveRun = 10, 10
	other := run.Shard{Rule: "mirror", Run: 10, ID: "1"}
	mustBegin(t, f, job, next, run.Run{Rule: "mirror", ID: 10, State: run.Queued, StartedAt: day}, other)
	wantShards(t, f, "mirror", 1, s, one, child, two)
	wantShards(t, f, "mirror", 10, other)
}

func mustShare(t *testing.T, f RunsFixture, s run.Shard, children ...run.Shard) {
	t.Helper()
	if err := f.Runs.Share(t.Context(), s, children); err != nil {
		t.Fatal(err)
	}
}

func shardsOfMoreThanAPage(t *testing.T, f RunsFixture) {
	r, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	// A page has one megabyte.
	var want []run.Shard
	for i := range 15 {
		child := run.Shard{Rule: "mirror", Run: 1, ID: fmt.Sprintf("1.%d", i+1), Phase: run.Copying, Range: keyspace.Range{After: fmt.Sprintf("%02d", i)}}
		for n := range 100 {
			child.Intent = append(child.Intent, strings.Repeat("x", 1000)+fmt.Sprint(n))
		}
		s.Children++
		mustShare(t, f, s, child)
		want = append(want, child)
	}
	wantShards(t, f, "mirror", 1, append([]run.Shard{s}, want...)...)
	if got := mustRun(t, f, "mirror", 1); got.Shards != r.Shards+15 || got.Open != r.Open+15 {
		t.Errorf("%d shards, %d open", got.Shards, got.Open)
	}
}

func claimConditions(t *testing.T, f RunsFixture) {
	now := day.Add(time.Second)
	type shard = run.Shard
	for name, c := range map[string]struct {
		stored run.Shard
		phase  run.Phase // of the ticket; 0: Copying
		ok     bool
	}{
		"nobody's":                               {stored: shard{Phase: run.Copying}, ok: true},
		"nobody's, with time left":               {stored: shard{Phase: run.Copying, LeasedUntil: now.Add(time.Hour)}, ok: true},
		"another's":                              {stored: shard{Phase: run.Copying, Owner: "other", LeasedUntil: now.Add(time.Millisecond)}},
		"another's, until now":                   {stored: shard{Phase: run.Copying, Owner: "other", LeasedUntil: now}, ok: true},
		"another's, long ago":                    {stored: shard{Phase: run.Copying, Owner: "other", LeasedUntil: now.Add(-time.Hour), Fence: 9, Tries: 4}, ok: true},
		"another's, for no time":                 {stored: shard{Phase: run.Copying, Owner: "other"}, ok: true},
		"one's own":                              {stored: shard{Phase: run.Copying, Owner: "worker", LeasedUntil: now.Add(time.Minute)}, ok: true},
		"ended":                                  {stored: shard{Phase: run.Copying, Ended: true}},
		"ended, in a later phase":                {stored: shard{Phase: run.Deleting, Ended: true}},
		"of a later phase":                       {stored: shard{Phase: run.Deleting}},
		"of the phase before, not ended":         {stored: shard{Phase: run.Copying}, phase: run.Deleting},
		"of the phase before, ended":             {stored: shard{Phase: run.Copying, Ended: true, Fence: 3}, phase: run.Deleting, ok: true},
		"of a phase long before, ended":          {stored: shard{Phase: run.Copying, Ended: true, Fence: 3}, phase: run.Deleting + 5, ok: true},
		"of the phase before, ended and leased":  {stored: shard{Phase: run.Copying, Ended: true, Owner: "other", LeasedUntil: now.Add(time.Minute)}, phase: run.Deleting},
		"of the same later phase":                {stored: shard{Phase: run.Deleting}, phase: run.Deleting, ok: true},
		"of the same later phase, another's":     {stored: shard{Phase: run.Deleting, Owner: "other", LeasedUntil: now.Add(time.Minute)}, phase: run.Deleting},
		"of the same later phase, ended already": {stored: shard{Phase: run.Deleting, Ended: true}, phase: run.Deleting},
	} {
		s := c.stored
		s.Rule, s.Run, s.ID = name, 1, "1"
		if c.phase == 0 {
			c.phase = run.Copying
		}
		mustBegin(t, f, run.Job{}, run.Job{Rule: name, LastRun: 1}, run.Run{Rule: name, ID: 1, State: run.Running, StartedAt: day}, s)
		got, err := f.Runs.Claim(t.Context(), ticketFor(s, c.phase), "worker", now, now.Add(time.Minute))
		if !c.ok {
			wantClass(t, name, err, object.Premise)
			wantShards(t, f, name, 1, s)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := s
		want.Owner, want.LeasedUntil, want.Fence, want.Tries = "worker", now.Add(time.Minute), s.Fence+1, s.Tries+1
		want.Phase, want.Ended = c.phase, false
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: claimed\n %+v, want\n %+v", name, got, want)
		}
		wantShards(t, f, name, 1, want)
	}
	none := run.Ticket{Rule: "nobody's", Run: 1, Shard: "1.1", Phase: run.Copying}
	_, err := f.Runs.Claim(t.Context(), none, "worker", now, now)
	wantClass(t, "a shard that there is not", err, object.Premise)
	wantOneShard(t, f, "nobody's")
}

func wantOneShard(t *testing.T, f RunsFixture, ruleName string) {
	t.Helper()
	if shards, err := f.Runs.Shards(t.Context(), ruleName, 1); err != nil || len(shards) != 1 {
		t.Errorf("rule %s has %d shards, %v", ruleName, len(shards), err)
	}
}

func aClaimAnswersTheShard(t *testing.T, f RunsFixture) {
	s := fullShard()
	s.Ended = false
	mustBegin(t, f, run.Job{}, run.Job{Rule: "mirror", LastRun: 1}, fullRun(), s)
	now := s.LeasedUntil.Add(time.Hour)
	got, err := f.Runs.Claim(t.Context(), ticketFor(s, s.Phase), "next", now, now.Add(time.Minute))
	s.Owner, s.LeasedUntil = "next", now.Add(time.Minute)
	s.Fence++
	s.Tries++
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("claimed\n %+v, want\n %+v; %v", got, s, err)
	}
	wantShards(t, f, "mirror", 1, s)
}

func aClaimForALaterPhase(t *testing.T, f RunsFixture) {
	s := fullShard()
	s.Owner, s.LeasedUntil = "", time.Time{}
	mustBegin(t, f, run.Job{}, run.Job{Rule: "mirror", LastRun: 1}, fullRun(), s)
	got, err := f.Runs.Claim(t.Context(), ticketFor(s, s.Phase+2), "worker", day, day.Add(time.Minute))
	want := s.Open(s.Phase + 2)
	want.Owner, want.LeasedUntil, want.Tries = "worker", day.Add(time.Minute), 1
	want.Fence++
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("claimed\n %+v, want\n %+v; %v", got, want, err)
	}
	wantShards(t, f, "mirror", 1, want)
}

func racingClaims(t *testing.T, f RunsFixture) {
	for name, s := range map[string]run.Shard{
		"a shard that nobody had":        {Phase: run.Copying},
		"a shard whose lease ended":      {Phase: run.Copying, Owner: "dead", LeasedUntil: day.Add(-time.Minute), Fence: 7},
		"a shard that ended phase 1":     {Phase: run.Copying, Ended: true, Fence: 7},
		"a shard that is open in turn 2": {Phase: run.Deleting},
	} {
		s.Rule, s.Run, s.ID = name, 1, "1"
		phase := s.Phase
		if s.Ended {
			phase++
		}
		mustBegin(t, f, run.Job{}, run.Job{Rule: name, LastRun: 1}, run.Run{Rule: name, ID: 1, State: run.Running, StartedAt: day}, s)
		winner := race(t, func(i int) error {
			got, err := f.Runs.Claim(t.Context(), ticketFor(s, phase), fmt.Sprint("worker ", i), day, day.Add(time.Minute))
			if err == nil && (got.Owner != fmt.Sprint("worker ", i) || got.Fence != s.Fence+1) {
				t.Errorf("%s: worker %d claimed %+v", name, i, got)
			}
			return err
		})
		if got := mustShards(t, f, name, 1); got[0].Owner != fmt.Sprint("worker ", winner) || got[0].Fence != s.Fence+1 {
			t.Errorf("%s: worker %d won, and the shard is %+v", name, winner, got[0])
		}
	}
}

// claimed is the shard with a lease of "worker" that holds for a minute.
func claimed(t *testing.T, f RunsFixture, s run.Shard) run.Shard {
	t.Helper()
	got, err := f.Runs.Claim(t.Context(), ticketFor(s, s.Phase), "worker", day, day.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func ticketFor(s run.Shard, p run.Phase) run.Ticket {
	return run.Ticket{Rule: s.Rule, Run: s.Run, Shard: s.ID, Phase: p}
}

func saveConditions(t *testing.T, f RunsFixture) {
	_, s := begin(t, f, "mirror")
	unclaimed := s
	s = claimed(t, f, s)
	wantClass(t, "no fence", f.Runs.Save(t.Context(), unclaimed), object.Premise)
	late, err := f.Runs.Claim(t.Context(), ticketFor(s, run.Copying), "other", day.Add(time.Hour), day.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	s.Cursor = "a"
	wantClass(t, "an old fence", f.Runs.Save(t.Context(), s), object.Premise)
	future := late
	future.Fence++
	wantClass(t, "a fence from the future", f.Runs.Save(t.Context(), future), object.Premise)
	wantShards(t, f, "mirror", 1, late)

	late.Cursor, late.SavedAt, late.Totals, late.Tries = "m", day.Add(time.Hour), fullTotals(), 0
	for range 2 {
		if err := f.Runs.Save(t.Context(), late); err != nil {
			t.Fatal(err)
		}
	}
	wantShards(t, f, "mirror", 1, late)

	ended := late
	ended.Ended, ended.Owner = true, ""
	if err := f.Runs.End(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "an ended shard", f.Runs.Save(t.Context(), late), object.Premise)
	wantShards(t, f, "mirror", 1, ended)
	none := late
	none.ID = "1.1"
	wantClass(t, "no shard", f.Runs.Save(t.Context(), none), object.Premise)
	none.Fence = 0
	wantClass(t, "no shard and no fence", f.Runs.Save(t.Context(), none), object.Premise)
	wantOneShard(t, f, "mirror")
}

func aSaveDropsWhatTheShardLacks(t *testing.T, f RunsFixture) {
	s := fullShard()
	s.Ended = false
	mustBegin(t, f, run.Job{}, run.Job{Rule: "mirror", LastRun: 1}, fullRun(), s)
	bare := run.Shard{Rule: s.Rule, Run: s.Run, ID: s.ID, Phase: run.Copying, Fence: s.Fence}
	if err := f.Runs.Save(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	wantShards(t, f, "mirror", 1, bare)
}

func shareAddsShards(t *testing.T, f RunsFixture) {
	r, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	want := []run.Shard{s}
	for i := range run.MaxChildren {
		want = append(want, run.Shard{
			Rule: "mirror", Run: 1, ID: fmt.Sprintf("1.%d", i+1), Phase: run.Copying, SentAt: day,
			Range: keyspace.Range{After: fmt.Sprintf("%02d", i+1), Until: fmt.Sprintf("%02d", i+2)}, Cursor: fmt.Sprintf("%02d", i+1),
		})
	}
	want[0].Range.Until, want[0].Children = "01", run.MaxChildren
	mustShare(t, f, want[0], want[1:]...)
	r.Shards += run.MaxChildren
	r.Open += run.MaxChildren
	wantRun(t, f, r)
	wantShards(t, f, "mirror", 1, want...)
}

func shareConditions(t *testing.T, f RunsFixture) {
	r, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	child := run.Shard{Rule: "mirror", Run: 1, ID: "1.1", Phase: run.Copying, Range: keyspace.Range{After: "m"}}
	cut := s
	cut.Range.Until, cut.Children = "m", 1
	stale := cut
	stale.Fence--
	wantClass(t, "an old fence", f.Runs.Share(t.Context(), stale, []run.Shard{child}), object.Premise)
	exists := child
	exists.ID = s.ID
	other := s
	other.ID = "1.9"
	mustShare(t, f, s, other)
	r.Shards, r.Open = 2, 2
	wantClass(t, "a shard that exists", f.Runs.Share(t.Context(), cut, []run.Shard{child, other}), object.Premise)
	wantRun(t, f, r)
	wantShards(t, f, "mirror", 1, s, other)

	cancelled := r
	cancelled.State, cancelled.EndedAt = run.Cancelled, day.Add(time.Hour)
	if err := f.Runs.Turn(t.Context(), r, cancelled, mustJob(t, f, "mirror")); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "a cancelled run", f.Runs.Share(t.Context(), cut, []run.Shard{child}), object.Premise)
	wantRun(t, f, cancelled)
	wantShards(t, f, "mirror", 1, s, other)

	r, s = begin(t, f, "second")
	s = claimed(t, f, s)
	ended := s
	ended.Ended = true
	if err := f.Runs.End(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	child.Rule = "second"
	wantClass(t, "an ended shard", f.Runs.Share(t.Context(), s, []run.Shard{child}), object.Premise)
	r.Open = 0
	wantRun(t, f, r)
	wantShards(t, f, "second", 1, ended)
}

func aShardEndsOnce(t *testing.T, f RunsFixture) {
	r, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	s.Ended, s.Owner, s.LeasedUntil, s.Cursor, s.Totals, s.Error = true, "", time.Time{}, "z", fullTotals(), "gave up"
	stale := s
	stale.Fence--
	wantClass(t, "an old fence", f.Runs.End(t.Context(), stale), object.Premise)
	wantRun(t, f, r)
	if err := f.Runs.End(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r.Open = 0
	again := s
	again.Cursor = "zz"
	wantClass(t, "again", f.Runs.End(t.Context(), again), object.Premise)
	none := s
	none.ID = "1.1"
	wantClass(t, "a shard that there is not", f.Runs.End(t.Context(), none), object.Premise)
	wantRun(t, f, r)
	wantShards(t, f, "mirror", 1, s)

	// A run that was cancelled has its shards end as any other.
	r, s = begin(t, f, "second")
	s = claimed(t, f, s)
	cancelled := r
	cancelled.State = run.Cancelled
	if err := f.Runs.Turn(t.Context(), r, cancelled, mustJob(t, f, "second")); err != nil {
		t.Fatal(err)
	}
	s.Ended = true
	if err := f.Runs.End(t.Context(), s); err != nil {
		t.Error(err)
	}
	cancelled.Open = 0
	wantRun(t, f, cancelled)

	// A run that is forgotten is not made anew.
	orphan := run.Shard{Rule: "third", Run: 2, ID: "1", Phase: run.Copying}
	mustBegin(t, f, run.Job{}, run.Job{Rule: "third", LastRun: 1}, run.Run{Rule: "third", ID: 1, State: run.Running, StartedAt: day}, orphan)
	ended := orphan
	ended.Ended = true
	wantClass(t, "a run that there is not", f.Runs.End(t.Context(), ended), object.Premise)
	wantClass(t, "a run that there is not", f.Runs.Share(t.Context(), orphan, nil), object.Premise)
	wantNoRun(t, f, "third", 2)
	wantShards(t, f, "third", 2, orphan)
}

func shardsEndTogether(t *testing.T, f RunsFixture) {
	r, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	shards := []run.Shard{s}
	for i := range racers - 1 {
		shards = append(shards, run.Shard{Rule: "mirror", Run: 1, ID: fmt.Sprintf("1.%d", i+1), Phase: run.Copying})
	}
	mustShare(t, f, s, shards[1:]...)
	var ended atomic.Int64
	var wg sync.WaitGroup
	for _, s := range shards {
		// Its worker, and one whose answer came late: each tries twice.
		for range 2 {
			wg.Go(func() {
				s := s
				s.Ended = true
				if err := f.Runs.End(t.Context(), s); err == nil {
					ended.Add(1)
				} else {
					wantClass(t, s.ID, err, object.Premise)
				}
			})
		}
	}
	wg.Wait()
	r.Shards, r.Open = racers, 0
	wantRun(t, f, r)
	if ended.Load() != racers {
		t.Errorf("%d of %d shards ended", ended.Load(), racers)
	}
}

func resentConditions(t *testing.T, f RunsFixture) {
	_, seen := begin(t, f, "mirror")
	later := day.Add(time.Minute)
	s := claimed(t, f, seen)
	wantClass(t, "claimed since", f.Runs.Resent(t.Context(), seen, later), object.Premise)
	other := s
	other.SentAt = day.Add(time.Second)
	wantClass(t, "sent since", f.Runs.Resent(t.Context(), other, later), object.Premise)
	other.SentAt = time.Time{}
	wantClass(t, "never sent", f.Runs.Resent(t.Context(), other, later), object.Premise)
	none := s
	none.ID = "1.1"
	wantClass(t, "no shard", f.Runs.Resent(t.Context(), none, later), object.Premise)
	none.SentAt = time.Time{}
	wantClass(t, "no shard, never sent", f.Runs.Resent(t.Context(), none, later), object.Premise)
	wantShards(t, f, "mirror", 1, s)
	// What else is known of the shard is not written.
	other = s
	other.Cursor, other.Owner = "z", "somebody"
	if err := f.Runs.Resent(t.Context(), other, later); err != nil {
		t.Fatal(err)
	}
	s.SentAt = later
	wantShards(t, f, "mirror", 1, s)
}

func racingResents(t *testing.T, f RunsFixture) {
	_, s := begin(t, f, "mirror")
	race(t, func(int) error { return f.Runs.Resent(t.Context(), s, day.Add(time.Minute)) })
}

func mustShards(t *testing.T, f RunsFixture, ruleName string, id int64) []run.Shard {
	t.Helper()
	shards, err := f.Runs.Shards(t.Context(), ruleName, id)
	if err != nil {
		t.Fatal(err)
	}
	return shards
}

func wantShards(t *testing.T, f RunsFixture, ruleName string, id int64, want ...run.Shard) {
	t.Helper()
	got := mustShards(t, f, ruleName, id)
	if len(got) != len(want) {
		t.Errorf("%d shards, want %d", len(got), len(want))
		return
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("shard %d\n %+v, want\n %+v", i, got[i], want[i])
		}
	}
}
