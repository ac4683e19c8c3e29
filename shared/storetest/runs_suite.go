package storetest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// RunsFixture is an empty store of runs and what a test needs around it.
type RunsFixture struct {
	Runs interface {
		run.Store
		Overview(ctx context.Context, rules []string, runs map[string]int64) (run.Overview, error)
	}
	// Ledger keeps the failures that Heal removes, and the catalog.
	Ledger interface {
		Deploy(ctx context.Context, c rule.Config, now time.Time) error
		Fail(ctx context.Context, f object.Failure) error
		Failures(ctx context.Context, ruleName string, limit int) ([]object.Failure, error)
	}
	// LoseNextAnswer lets the next request take effect and loses its answer.
	LoseNextAnswer func()
}

// TestRuns is what the store of runs promises. Every subtest gets a store of its
// own from open.
func TestRuns(t *testing.T, open func(t *testing.T) RunsFixture) {
	for name, test := range map[string]func(*testing.T, RunsFixture){
		"every field of a run comes back":               everyFieldOfARunComesBack,
		"a run of nothing but zeros comes back":         aRunOfZerosComesBack,
		"a shard of any keys comes back":                aShardOfAnyKeysComesBack,
		"begin wants the job as it was seen":            beginConditions,
		"of twenty racing begins one wins":              racingBegins,
		"a job is replaced where it is as seen":         jobConditions,
		"jobs of more rules than a batch holds":         jobsOfManyRules,
		"an overview of jobs, lifetimes and runs":       anOverview,
		"a lifetime is the sum over runs that ended":    aLifetime,
		"a run that there is not":                       aRunThatThereIsNot,
		"runs are listed from the newest":               runsAreListedFromTheNewest,
		"shards are listed in the order of their keys":  shardsAreListedInOrder,
		"shards of more than a page of answers":         shardsOfMoreThanAPage,
		"turn wants the run as it was seen":             turnConditions,
		"turn writes what a run's life changes":         turnWritesWhatItSays,
		"a run that ends lets its job go":               aRunThatEnds,
		"a run that becomes active again takes its job": aRunThatBecomesActiveAgain,
		"a cancel needs an active run and no more":      aCancelNeedsAnActiveRun,
		"of twenty racing turns one wins":               racingTurns,
		"who may claim a shard":                         claimConditions,
		"a claim answers the shard as it is now":        aClaimAnswersTheShard,
		"a claim for a later phase opens the shard":     aClaimForALaterPhase,
		"of twenty racing claims one wins":              racingClaims,
		"save wants the last fence":                     saveConditions,
		"a save drops what the shard lacks":             aSaveDropsWhatTheShardLacks,
		"share adds shards to an active run":            shareAddsShards,
		"share leaves all as it was or does all":        shareConditions,
		"a shard ends once":                             aShardEndsOnce,
		"twenty shards end at the same time":            shardsEndTogether,
		"resent wants the shard as it was seen":         resentConditions,
		"of twenty who resend one does":                 racingResents,
		"heal removes what failed before":               healRemovesWhatFailedBefore,
		"a lost answer":                                 lostAnswersOfRuns,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const racers = 20

// fullTotals have a value in every field.
func fullTotals() run.Totals {
	return run.Totals{
		Scanned: math.MaxInt64, Copied: 1 << 53, Deleted: 3, Errors: 4, Bytes: 1<<62 + 1,
		Skipped: map[string]int64{"in_sync": 1<<53 + 1, "excluded": 0, "a b.c#": 7},
		Sources: 5, Candidates: 6, Held: 7, Sample: []string{"b", "a", "b", ""},
		Found: map[run.Grade]int64{
			{Class: run.Matched, Reason: "etag"}:                  1<<53 + 1,
			{Class: run.Mismatch, Reason: "size"}:                 1,
			{Class: run.Mismatch, Reason: "metadata", Kept: true}: 2,
			{Class: run.Mismatch, Reason: "bytes", Damaged: true}: 3,
		},
		Findings: []run.Finding{
			{Key: "not utf-8 \xff", Grade: run.Grade{Class: run.Mismatch, Reason: "metadata", Kept: true}, Why: "x-amz-meta-ü differs"},
			{Key: "", Grade: run.Grade{Class: run.Unverifiable, Reason: "etag"}},
		},
	}
}

func fullRun() run.Run {
	return run.Run{
		Rule: "mirror", ID: 1, Trigger: run.ByResume, Mode: run.Bytes, Percent: 7, Asked: run.Asked{Existing: true, Adopt: true, Compare: run.Checksum}, Scope: "src/ü <&> -> dst/",
		State: run.DeletesHeld, Phase: run.Deleting + 1, Shards: 1000, Open: 7, StartedAt: day, EndedAt: day.Add(time.Hour),
		Expected: 1 << 40, Approved: true, Error: "shard 1.2: access denied", Totals: fullTotals(),
	}
}

func fullShard() run.Shard {
	return run.Shard{
		Rule: "mirror", Run: 1, ID: "1.98.3", Children: 98, Range: keyspace.Range{After: "a", Until: "z"},
		Phase: run.Deleting, Cursor: "m", Ended: true, Intent: []string{"n", "o"}, Totals: fullTotals(),
		Partial: []run.Partial{{Key: "not utf-8 \xff", Source: "s", Dest: "d", Done: 1 << 40}, {Key: "p", Source: "s-2", Dest: "d-2", Done: 1}},
		Error:   "listing denied", Owner: "worker-1", LeasedUntil: day.Add(time.Minute), Fence: 1 << 50, Tries: 3,
		SavedAt: day.Add(time.Second), SentAt: day.Add(-time.Second),
	}
}

func everyFieldOfARunComesBack(t *testing.T, f RunsFixture) {
	r, s := fullRun(), fullShard()
	job := run.Job{Rule: "mirror", LastRun: 1, ActiveRun: 1, NextDue: day.Add(time.Hour), Retry: true, Scope: "src/ü <&> -> dst/"}
	everyFieldIsSet(t, reflect.ValueOf(r), "Run")
	everyFieldIsSet(t, reflect.ValueOf(s), "Shard")
	everyFieldIsSet(t, reflect.ValueOf(job), "Job")
	want := r
	// Times are kept in milliseconds, whatever their zone.
	r.StartedAt = r.StartedAt.Add(999 * time.Microsecond).In(time.FixedZone("elsewhere", 3600))
	mustBegin(t, f, run.Job{}, job, r, s)
	wantJob(t, f, "mirror", job)
	wantRun(t, f, want)
	wantShards(t, f, "mirror", 1, s)
}

func aRunOfZerosComesBack(t *testing.T, f RunsFixture) {
	r := run.Run{Rule: "mirror", ID: 1, StartedAt: day}
	s := run.Shard{Rule: "mirror", Run: 1, ID: "1"}
	mustBegin(t, f, run.Job{Rule: "mirror"}, run.Job{Rule: "mirror"}, r, s)
	wantJob(t, f, "mirror", run.Job{})
	wantRun(t, f, r)
	wantShards(t, f, "mirror", 1, s)
}

// oddKeys are what S3 lists as keys, and what other stores accept.
var oddKeys = []string{
	"", " ", "=", "=?&#.txt", "a b+c%2F%20.txt", "ü/日本/🙂.bin", "tab\tnewline\n", "nul\x00", "'\"\\{}", ":name#name", "x//y",
	strings.Repeat("k", 1024), strings.Repeat("日", 341), "not utf-8 \xff", strings.Repeat("\xff", 1024), "\uFFFD",
}

// begin starts the rule's first run, running, with one open shard.
func begin(t *testing.T, f RunsFixture, ruleName string) (run.Run, run.Shard) {
	t.Helper()
	r := run.Run{
		Rule: ruleName, ID: 1, Trigger: run.BySchedule, Scope: "src/ -> dst/", State: run.Running, Phase: run.Copying,
		Shards: 1, Open: 1, StartedAt: day, Expected: 10,
	}
	s := run.Shard{Rule: ruleName, Run: 1, ID: "1", Phase: run.Copying, SentAt: day}
	mustBegin(t, f, run.Job{Rule: ruleName}, run.Job{Rule: ruleName, LastRun: 1, ActiveRun: 1, NextDue: day.Add(time.Hour), Scope: r.Scope}, r, s)
	return r, s
}

func mustBegin(t *testing.T, f RunsFixture, seen, next run.Job, r run.Run, root run.Shard) {
	t.Helper()
	if err := f.Runs.Begin(t.Context(), seen, next, r, root); err != nil {
		t.Fatal(err)
	}
}

func beginConditions(t *testing.T, f RunsFixture) {
	job := run.Job{Rule: "mirror", LastRun: 4, Scope: "src/ -> dst/", NextDue: day, Retry: true}
	if err := f.Runs.SetJob(t.Context(), run.Job{}, job); err != nil {
		t.Fatal(err)
	}
	next := run.Job{Rule: "mirror", LastRun: 5, ActiveRun: 5, Scope: "src/ -> dst/"}
	r := run.Run{Rule: "mirror", ID: 5, State: run.Queued, Phase: run.Copying, Shards: 1, Open: 1, StartedAt: day}
	s := run.Shard{Rule: "mirror", Run: 5, ID: "1", Phase: run.Copying}
	for name, seen := range map[string]run.Job{
		"no job":            {Rule: "mirror"},
		"another last run":  {Rule: "mirror", LastRun: 3, Scope: "src/ -> dst/"},
		"an active run":     {Rule: "mirror", LastRun: 4, ActiveRun: 4, Scope: "src/ -> dst/"},
		"another scope":     {Rule: "mirror", LastRun: 4, Scope: "src/a -> dst/"},
		"no scope":          {Rule: "mirror", LastRun: 4},
		"none of its words": {Rule: "mirror", NextDue: day, Retry: true},
	} {
		wantClass(t, name, f.Runs.Begin(t.Context(), seen, next, r, s), object.Premise)
	}
	wantJob(t, f, "mirror", job)
	wantNoRun(t, f, "mirror", 5)
	wantShards(t, f, "mirror", 5)

	// When it is due is none of the conditions.
	mustBegin(t, f, run.Job{Rule: "mirror", LastRun: 4, Scope: "src/ -> dst/"}, next, r, s)
	wantJob(t, f, "mirror", next)

	changed := r
	changed.State = run.Running
	wantClass(t, "a run that exists", f.Runs.Begin(t.Context(), next, next, changed, s), object.Premise)
	wantRun(t, f, r)
}

func racingBegins(t *testing.T, f RunsFixture) {
	winner := race(t, func(i int) error {
		r := run.Run{Rule: "mirror", ID: 1, Trigger: run.ByRunNow, State: run.Queued, Phase: run.Copying, Expected: int64(i), StartedAt: day}
		return f.Runs.Begin(t.Context(), run.Job{Rule: "mirror"}, run.Job{Rule: "mirror", LastRun: 1, ActiveRun: 1}, r, run.Shard{Rule: "mirror", Run: 1, ID: "1"})
	})
	if got := mustRun(t, f, "mirror", 1); got.Expected != int64(winner) {
		t.Errorf("the run is of racer %d, the winner %d", got.Expected, winner)
	}
}

// race lets some do the same at once. One must win, and the others find its
// premise gone.
func race(t *testing.T, do func(i int) error) (winner int) {
	t.Helper()
	var mu sync.Mutex
	var winners []int
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			if err := do(i); err != nil {
				wantClass(t, fmt.Sprint("racer ", i), err, object.Premise)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			winners = append(winners, i)
		})
	}
	wg.Wait()
	if len(winners) != 1 {
		t.Fatalf("winners: %v", winners)
	}
	return winners[0]
}

func jobConditions(t *testing.T, f RunsFixture) {
	none := run.Job{Rule: "mirror"}
	due := run.Job{Rule: "mirror", NextDue: day}
	ran := run.Job{Rule: "mirror", LastRun: 7, NextDue: day.Add(time.Hour), Retry: true, Scope: "a"}
	active := run.Job{Rule: "mirror", LastRun: 7, ActiveRun: 7, Scope: "a"}
	var stored run.Job
	for _, step := range []struct {
		situation  string
		seen, next run.Job
		ok         bool
	}{
		{"a run where there is none", ran, active, false},
		{"none, rightly", none, due, true},
		{"a job that never ran is as none", none, ran, true},
		{"none, where there is one", none, due, false},
		{"another last run", run.Job{Rule: "mirror", LastRun: 6, Scope: "a"}, due, false},
		{"an active run", active, due, false},
		{"another scope", run.Job{Rule: "mirror", LastRun: 7, Scope: "b"}, due, false},
		{"another time", run.Job{Rule: "mirror", LastRun: 7, Scope: "a"}, active, true},
		{"no active run", ran, due, false},
		{"the active run", active, ran, true},
		{"the same again", ran, ran, true},
		{"none from now on", ran, none, true},
		{"none once more", none, none, true},
	} {
		err := f.Runs.SetJob(t.Context(), step.seen, step.next)
		if !step.ok {
			wantClass(t, step.situation, err, object.Premise)
		} else if stored = step.next; err != nil {
			t.Errorf("%s: %v", step.situation, err)
		}
		if stored == none {
			stored = run.Job{}
		}
		wantJob(t, f, "mirror", stored)
	}
}

func jobsOfManyRules(t *testing.T, f RunsFixture) {
	var names []string
	want := map[string]run.Job{}
	for i := range 250 {
		name := fmt.Sprintf("rule-%03d", i)
		names = append(names, name, name)
		if i%3 > 0 {
			want[name] = run.Job{Rule: name, LastRun: int64(i)}
			if err := f.Runs.SetJob(t.Context(), run.Job{}, want[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := f.Runs.Jobs(t.Context(), names); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%d jobs, want %d; %v", len(got), len(want), err)
	}
	if got, err := f.Runs.Jobs(t.Context(), nil); err != nil || len(got) > 0 {
		t.Errorf("jobs of no rules: %v, %v", got, err)
	}
}

func anOverview(t *testing.T, f RunsFixture) {
	see := func(rules []string, runs map[string]int64) run.Overview {
		t.Helper()
		o, err := f.Runs.Overview(t.Context(), rules, runs)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	none := run.Overview{Jobs: map[string]run.Job{}, Lifetimes: map[string]run.Lifetime{}, Runs: map[string]run.Run{}}
	if got := see([]string{"rule-000"}, map[string]int64{"rule-000": 1}); !reflect.DeepEqual(got, none) {
		t.Errorf("of nothing: %+v", got)
	}
	if err := f.Ledger.Deploy(t.Context(), rule.Default(), day); err != nil {
		t.Fatal(err)
	}
	none.Catalog = 1
	if got := see(nil, nil); !reflect.DeepEqual(got, none) {
		t.Errorf("of the rules alone: %+v", got)
	}
	const n = 120
	var names []string
	last := map[string]int64{"nobody": 1}
	want := none
	for i := range n {
		name := fmt.Sprintf("rule-%03d", i)
		names = append(names, name, name)
		r, _ := begin(t, f, name)
		want.Jobs[name] = mustJob(t, f, name)
		if i%3 > 0 { // of the others a run is asked for that is not there
			want.Runs[name] = mustRun(t, f, name, r.ID)
		}
		last[name] = r.ID + int64(max(0, 1-i%3))
	}
	if got := see(names, last); !reflect.DeepEqual(got, want) {
		t.Errorf("%d jobs, %d runs at revision %d; want %d, %d at 1", len(got.Jobs), len(got.Runs), got.Catalog, n, len(want.Runs))
	}
	clear(want.Jobs)
	if got := see(nil, last); !reflect.DeepEqual(got, want) {
		t.Errorf("of runs alone: %d jobs, %d runs", len(got.Jobs), len(got.Runs))
	}
}

func aLifetime(t *testing.T, f RunsFixture) {
	wantLife := func(want run.Lifetime) {
		t.Helper()
		o, err := f.Runs.Overview(t.Context(), []string{"mirror"}, nil)
		if got := o.Lifetimes["mirror"]; err != nil || got != want {
			t.Errorf("lifetime\n %+v, %v; want\n %+v", got, err, want)
		}
	}
	turn := func(was, next run.Run) {
		t.Helper()
		if err := f.Runs.Turn(t.Context(), was, next, mustJob(t, f, "mirror")); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := begin(t, f, "mirror")
	begun := first
	begun.State = run.Running
	turn(first, begun)
	wantLife(run.Lifetime{})
	held := begun
	held.State, held.Open, held.EndedAt = run.DeletesHeld, 0, day.Add(time.Hour)
	held.Totals = run.Totals{Scanned: 10, Copied: 3, Bytes: 30, Skipped: map[string]int64{"in_sync": 2, "excluded": 1}, Errors: 1, Candidates: 3, Held: 3}
	turn(begun, held)
	one := run.Lifetime{Runs: 1, Since: first.StartedAt, Scanned: 10, Copied: 3, Skipped: 3, Errors: 1, Bytes: 30}
	wantLife(one)
	wantClass(t, "again", f.Runs.Turn(t.Context(), begun, held, mustJob(t, f, "mirror")), object.Premise)
	wantLife(one)

	// An approval begins a later phase, whose end adds what came on top.
	approved := held
	approved.State, approved.Phase, approved.Open, approved.Approved, approved.EndedAt = run.Running, run.Deleting, 1, true, time.Time{}
	turn(held, approved)
	wantLife(one)
	ended := approved
	ended.State, ended.Open, ended.EndedAt = run.Succeeded, 0, day.Add(2*time.Hour)
	ended.Deleted, ended.Held = 3, 0
	turn(approved, ended)
	one.Deleted = 3
	wantLife(one)

	// The job is set to begin anew, and another run is cancelled.
	job := mustJob(t, f, "mirror")
	mustSetJob(t, f, job, run.Job{Rule: "mirror", LastRun: job.LastRun})
	wantLife(one)
	second := first
	second.ID, second.StartedAt = 2, day.Add(3*time.Hour)
	root := run.Shard{Rule: "mirror", Run: 2, ID: "1", Phase: run.Copying}
	mustBegin(t, f, mustJob(t, f, "mirror"), run.Job{Rule: "mirror", LastRun: 2, ActiveRun: 2}, second, root)
	wantLife(one)
	cancelled := second
	cancelled.State, cancelled.EndedAt, cancelled.Totals = run.Cancelled, day.Add(4*time.Hour), run.Totals{Scanned: 5, Copied: 5, Bytes: 1}
	turn(second, cancelled)
	wantLife(run.Lifetime{Runs: 2, Since: first.StartedAt, Scanned: 15, Copied: 8, Skipped: 3, Deleted: 3, Errors: 1, Bytes: 31})
}

func aRunThatThereIsNot(t *testing.T, f RunsFixture) {
	begin(t, f, "mirror")
	wantNoRun(t, f, "mirror", 2)
	wantNoRun(t, f, "mirro", 1)
	wantShards(t, f, "mirror", 2)
	none := run.Run{Rule: "mirror", ID: 2}
	for _, state := range []run.State{run.Succeeded, run.Cancelled} {
		next := none
		next.State = state
		wantClass(t, "turn", f.Runs.Turn(t.Context(), none, next, run.Job{Rule: "mirror"}), object.Premise)
	}
	wantNoRun(t, f, "mirror", 2)
}

func runsAreListedFromTheNewest(t *testing.T, f RunsFixture) {
	for _, ruleName := range []string{"mirror", "mirror-2"} {
		seen := run.Job{Rule: ruleName}
		for id := int64(1); id <= 12; id++ {
			next := run.Job{Rule: ruleName, LastRun: id}
			mustBegin(t, f, seen, next, run.Run{Rule: ruleName, ID: id, StartedAt: day}, run.Shard{Rule: ruleName, Run: id, ID: "1"})
			seen = next
		}
	}
	for _, c := range []struct {
		before int64
		limit  int
		want   []int64
	}{
		{0, 3, []int64{12, 11, 10}},
		{10, 3, []int64{9, 8, 7}},
		{3, 10, []int64{2, 1}},
		{1, 10, nil},
		{100, 1, []int64{12}},
		{0, 100, []int64{12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
	} {
		runs, err := f.Runs.Runs(t.Context(), "mirror", c.before, c.limit)
		var got []int64
		for _, r := range runs {
			if got = append(got, r.ID); r.Rule != "mirror" || !r.StartedAt.Equal(day) {
				t.Errorf("listed %+v", r)
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%d runs before %d: %v, %v; want %v", c.limit, c.before, got, err, c.want)
		}
	}
	if runs, err := f.Runs.Runs(t.Context(), "mirro", 0, 10); err != nil || len(runs) > 0 {
		t.Errorf("runs of a rule that has none: %v, %v", runs, err)
	}
}

func turnConditions(t *testing.T, f RunsFixture) {
	r, _ := begin(t, f, "mirror")
	job := mustJob(t, f, "mirror")
	next := r
	next.Phase, next.Open, next.Error = run.Deleting, 5, "changed"
	for name, change := range map[string]func(was *run.Run){
		"another state": func(was *run.Run) { was.State = run.Queued },
		"another phase": func(was *run.Run) { was.Phase = run.Deleting },
		"another open":  func(was *run.Run) { was.Open = 2 },
		"nothing open":  func(was *run.Run) { was.Open = 0 },
	} {
		was := r
		change(&was)
		wantClass(t, name, f.Runs.Turn(t.Context(), was, next, job), object.Premise)
		ended := next
		ended.State = run.Failed
		wantClass(t, name+", and it ends", f.Runs.Turn(t.Context(), was, ended, run.Job{Rule: "mirror", Retry: true}), object.Premise)
	}
	wantRun(t, f, r)
	wantJob(t, f, "mirror", job)
}

func turnWritesWhatItSays(t *testing.T, f RunsFixture) {
	r, _ := begin(t, f, "mirror")
	job := mustJob(t, f, "mirror")
	full := fullRun()
	full.State, full.Open = run.Running, 7
	if err := f.Runs.Turn(t.Context(), r, full, run.Job{Rule: "mirror"}); err != nil {
		t.Fatal(err)
	}
	want := r
	want.State, want.Phase, want.Open, want.EndedAt = full.State, full.Phase, full.Open, full.EndedAt
	want.Approved, want.Error, want.Totals = full.Approved, full.Error, full.Totals
	wantRun(t, f, want)
	wantJob(t, f, "mirror", job) // it went on

	was := want
	want.EndedAt, want.Approved, want.Error, want.Totals, want.Open = time.Time{}, false, "", run.Totals{}, 0
	if err := f.Runs.Turn(t.Context(), was, want, run.Job{Rule: "mirror"}); err != nil {
		t.Fatal(err)
	}
	wantRun(t, f, want)
}

func aRunThatEnds(t *testing.T, f RunsFixture) {
	for _, state := range []run.State{run.Succeeded, run.CompletedWithErrors, run.Failed, run.Cancelled, run.DeletesHeld} {
		r, _ := begin(t, f, string(state))
		job := mustJob(t, f, r.Rule)
		next := r
		next.State, next.EndedAt = state, day.Add(time.Hour)

		// The job is another run's meanwhile.
		other := job
		other.LastRun, other.ActiveRun = 2, 2
		mustSetJob(t, f, job, other)
		wantClass(t, string(state), f.Runs.Turn(t.Context(), r, next, job), object.Premise)
		wantRun(t, f, r)
		wantJob(t, f, r.Rule, other)
		mustSetJob(t, f, other, job)

		given := run.Job{Rule: r.Rule, LastRun: 99, ActiveRun: 99, Scope: "elsewhere", NextDue: day.Add(2 * time.Hour), Retry: true}
		if err := f.Runs.Turn(t.Context(), r, next, given); err != nil {
			t.Fatal(err)
		}
		wantRun(t, f, next)
		job.ActiveRun, job.NextDue, job.Retry = 0, given.NextDue, given.Retry
		wantJob(t, f, r.Rule, job)
		wantClass(t, string(state)+" again", f.Runs.Turn(t.Context(), r, next, given), object.Premise)
	}
}

func mustSetJob(t *testing.T, f RunsFixture, seen, next run.Job) {
	t.Helper()
	if err := f.Runs.SetJob(t.Context(), seen, next); err != nil {
		t.Fatal(err)
	}
}

func aRunThatBecomesActiveAgain(t *testing.T, f RunsFixture) {
	r, _ := begin(t, f, "mirror")
	active := mustJob(t, f, "mirror")
	held := r
	held.State, held.EndedAt, held.Open, held.Totals = run.DeletesHeld, day.Add(time.Hour), 0, fullTotals()
	if err := f.Runs.Turn(t.Context(), r, held, run.Job{Rule: "mirror", NextDue: day, Retry: true}); err != nil {
		t.Fatal(err)
	}
	next := held
	next.State, next.Phase, next.Approved, next.EndedAt, next.Open = run.Running, run.Deleting, true, time.Time{}, 3
	job := mustJob(t, f, "mirror")
	for name, other := range map[string]run.Job{
		"another run is active": {Rule: "mirror", LastRun: 2, ActiveRun: 2, Scope: job.Scope},
		"another run was since": {Rule: "mirror", LastRun: 2, Scope: job.Scope},
		"it is active":          active,
	} {
		mustSetJob(t, f, job, other)
		wantClass(t, name, f.Runs.Turn(t.Context(), held, next, job), object.Premise)
		wantJob(t, f, "mirror", other)
		wantRun(t, f, held)
		mustSetJob(t, f, other, job)
	}
	if err := f.Runs.Turn(t.Context(), held, next, run.Job{Rule: "mirror", NextDue: day.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	wantRun(t, f, next)
	job.ActiveRun, job.NextDue, job.Retry = 1, day.Add(time.Minute), false
	wantJob(t, f, "mirror", job)
}

func aCancelNeedsAnActiveRun(t *testing.T, f RunsFixture) {
	r, s := begin(t, f, "mirror")
	s = claimed(t, f, s)
	child := s
	child.ID = "1.1"
	mustShare(t, f, s, child)
	// Two are open now, which the one who cancels has not seen.
	next := r
	next.State, next.EndedAt, next.Totals = run.Cancelled, day.Add(time.Hour), fullTotals()
	seen := r
	seen.State = run.Queued
	job := mustJob(t, f, "mirror")
	if err := f.Runs.Turn(t.Context(), seen, next, job); err != nil {
		t.Fatal(err)
	}
	next.Shards, next.Open = 2, 2
	wantRun(t, f, next)
	job.ActiveRun = 0
	wantJob(t, f, "mirror", job)
	again := next
	again.Error = "again"
	wantClass(t, "a cancelled run", f.Runs.Turn(t.Context(), r, again, job), object.Premise)
	// Not even where the job takes it for active.
	lagging := job
	lagging.ActiveRun = 1
	mustSetJob(t, f, job, lagging)
	wantClass(t, "a cancelled run", f.Runs.Turn(t.Context(), r, again, lagging), object.Premise)
	wantRun(t, f, next)
	wantJob(t, f, "mirror", lagging)
}

func racingTurns(t *testing.T, f RunsFixture) {
	r, _ := begin(t, f, "mirror")
	race(t, func(int) error {
		next := r
		next.State = run.Succeeded
		return f.Runs.Turn(t.Context(), r, next, run.Job{Rule: "mirror"})
	})
	r, _ = begin(t, f, "second")
	race(t, func(int) error {
		next := r
		next.Phase = run.Deleting
		return f.Runs.Turn(t.Context(), r, next, run.Job{Rule: "second"})
	})
}

func healRemovesWhatFailedBefore(t *testing.T, f RunsFixture) {
	for key, at := range map[string]time.Time{"before": day.Add(-time.Millisecond), "then": day, "after": day.Add(time.Hour)} {
		for _, ruleName := range []string{"mirror", "second"} {
			if err := f.Ledger.Fail(t.Context(), failureOf(ruleName, key, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 {
		if err := f.Runs.Heal(t.Context(), "mirror", day, false); err != nil {
			t.Fatal(err)
		}
	}
	for ruleName, want := range map[string][]string{"mirror": {"after", "then"}, "second": {"after", "then", "before"}} {
		all, err := f.Ledger.Failures(t.Context(), ruleName, 0)
		if got := keysOf(all); err != nil || !slices.Equal(got, want) {
			t.Errorf("rule %s has failures of %q, %v; want %q", ruleName, got, err, want)
		}
	}
}

// What the SDK repeats takes effect once, and does not fail for having done so.
// A fake repeats nothing: it fails, and the effect is the same.
func lostAnswersOfRuns(t *testing.T, f RunsFixture) {
	lose := func(name string, do func() error) {
		t.Helper()
		f.LoseNextAnswer()
		if err := do(); err != nil {
			wantClass(t, name, err, object.Retryable)
		}
	}
	seen := run.Job{Rule: "mirror"}
	job := run.Job{Rule: "mirror", NextDue: day}
	lose("setjob", func() error { return f.Runs.SetJob(t.Context(), seen, job) })
	wantJob(t, f, "mirror", job)

	next := run.Job{Rule: "mirror", LastRun: 1, ActiveRun: 1}
	r := run.Run{Rule: "mirror", ID: 1, State: run.Queued, Phase: run.Copying, Shards: 1, Open: 1, StartedAt: day}
	s := run.Shard{Rule: "mirror", Run: 1, ID: "1", Phase: run.Copying, SentAt: day}
	lose("begin", func() error { return f.Runs.Begin(t.Context(), job, next, r, s) })
	wantJob(t, f, "mirror", next)
	wantRun(t, f, r)
	wantShards(t, f, "mirror", 1, s)

	running := r
	running.State = run.Running
	lose("turn", func() error { return f.Runs.Turn(t.Context(), r, running, run.Job{Rule: "mirror"}) })
	r = running
	wantRun(t, f, r)

	lose("resent", func() error { return f.Runs.Resent(t.Context(), s, day.Add(time.Second)) })
	s.SentAt = day.Add(time.Second)
	wantShards(t, f, "mirror", 1, s)

	// A claim that is repeated is one more.
	lose("claim", func() error {
		got, err := f.Runs.Claim(t.Context(), ticketFor(s, run.Copying), "worker", day, day.Add(time.Minute))
		if err == nil {
			wantShards(t, f, "mirror", 1, got)
		}
		return err
	})
	s = mustShards(t, f, "mirror", 1)[0]
	if s.Owner != "worker" || s.Fence < 1 || s.Fence > 2 {
		t.Fatalf("claimed %+v", s)
	}

	s.Cursor, s.SavedAt = "a", day
	lose("save", func() error { return f.Runs.Save(t.Context(), s) })
	wantShards(t, f, "mirror", 1, s)

	child := run.Shard{Rule: "mirror", Run: 1, ID: "1.1", Phase: run.Copying, Range: keyspace.Range{After: "m"}}
	s.Range.Until, s.Children = "m", 1
	lose("share", func() error { return f.Runs.Share(t.Context(), s, []run.Shard{child}) })
	wantShards(t, f, "mirror", 1, s, child)
	r.Shards, r.Open = 2, 2
	wantRun(t, f, r)

	s.Ended = true
	lose("end", func() error { return f.Runs.End(t.Context(), s) })
	wantShards(t, f, "mirror", 1, s, child)
	r.Open = 1
	wantRun(t, f, r)

	failed := r
	failed.State = run.Failed
	lose("turn with its job", func() error { return f.Runs.Turn(t.Context(), r, failed, run.Job{Rule: "mirror", Retry: true}) })
	wantRun(t, f, failed)
	wantJob(t, f, "mirror", run.Job{Rule: "mirror", LastRun: 1, Retry: true})

	if err := f.Ledger.Fail(t.Context(), failureOf("mirror", "k", day)); err != nil {
		t.Fatal(err)
	}
	lose("heal", func() error { return f.Runs.Heal(t.Context(), "mirror", day.Add(time.Second), false) })
	if all, err := f.Ledger.Failures(t.Context(), "mirror", 0); err != nil || len(all) > 0 {
		t.Errorf("not healed: %+v, %v", all, err)
	}
}

func mustJob(t *testing.T, f RunsFixture, ruleName string) run.Job {
	t.Helper()
	jobs, err := f.Runs.Jobs(t.Context(), []string{ruleName})
	if err != nil {
		t.Fatal(err)
	}
	return jobs[ruleName]
}

// wantJob takes the zero job for none.
func wantJob(t *testing.T, f RunsFixture, ruleName string, want run.Job) {
	t.Helper()
	if got := mustJob(t, f, ruleName); got != want {
		t.Errorf("job\n %+v, want\n %+v", got, want)
	}
}

func mustRun(t *testing.T, f RunsFixture, ruleName string, id int64) run.Run {
	t.Helper()
	r, err := f.Runs.Run(t.Context(), ruleName, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantRun(t *testing.T, f RunsFixture, want run.Run) {
	t.Helper()
	if got := mustRun(t, f, want.Rule, want.ID); !reflect.DeepEqual(got, want) {
		t.Errorf("run\n %+v, want\n %+v", got, want)
	}
}

func wantNoRun(t *testing.T, f RunsFixture, ruleName string, id int64) {
	t.Helper()
	_, err := f.Runs.Run(t.Context(), ruleName, id)
	wantClass(t, fmt.Sprintf("run %d of %s", id, ruleName), err, object.Permanent)
	if object.CodeOf(err) != run.CodeNotFound {
		t.Errorf("code %s", object.CodeOf(err))
	}
}
