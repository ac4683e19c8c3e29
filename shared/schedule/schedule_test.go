package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/schedule"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
)

var ctx = context.Background()

// stage is a schedule over fakes, with a clock that stands still.
type stage struct {
	t       *testing.T
	clock   time.Time
	ledger  *storetest.Ledger // rules and failures
	runs    *storetest.Runs
	tickets *storetest.Tickets
	events  *inbox
	handler *schedule.Handler
	storage rule.Storage
	metrics bytes.Buffer
	log     bytes.Buffer
}

// inbox is the events queue as the schedule sees it.
type inbox struct {
	mu     sync.Mutex
	bodies []string
	err    error // of the next Send, which sends nothing
}

func (q *inbox) Send(_ context.Context, bodies []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.err
	if q.err = nil; err == nil {
		q.bodies = append(q.bodies, bodies...)
	}
	return err
}

func newStage(t *testing.T, rules ...rule.Stored) *stage {
	s := &stage{
		t: t, clock: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC),
		ledger: &storetest.Ledger{}, runs: &storetest.Runs{}, tickets: &storetest.Tickets{}, events: &inbox{},
		storage: rule.Default().Storage,
	}
	s.storage.Buckets = map[string]rule.Bucket{"a": {}, "b": {}, "c": {}}
	s.runs.Ledger = s.ledger
	s.configure(rules...)
	s.handler = s.newHandler()
	return s
}

func (s *stage) newHandler() *schedule.Handler {
	now := func() time.Time { return s.clock }
	return &schedule.Handler{
		Catalogs: s.ledger,
		Jobs:     s.runs,
		Runs:     run.New(s.runs, s.tickets, now),
		Failures: s.ledger,
		Queue:    s.events,
		Metrics:  telemetry.NewMetrics("Test", &s.metrics, now),
		Log:      slog.New(slog.NewJSONHandler(&s.log, nil)),
		Now:      now,
	}
}

// configure replaces the rules.
func (s *stage) configure(rules ...rule.Stored) {
	s.ledger.SetCatalog(rule.Catalog{Storage: s.storage, Rules: rules})
}

// named is an enabled rule from a to b.
func named(name string, with ...func(*rule.Stored)) rule.Stored {
	r := rule.Stored{Rule: rule.DefaultRule()}
	r.Rule.Name = name
	r.Rule.Source.Bucket, r.Rule.Destination.Bucket = "a", "b"
	for _, change := range with {
		change(&r)
	}
	return r
}

func isPaused(r *rule.Stored)     { r.Paused = true }
func isOff(r *rule.Stored)        { r.Rule.Enabled = false }
func toC(r *rule.Stored)          { r.Rule.Destination.Bucket = "c" }
func atNight(r *rule.Stored)      { r.Rule.Limits.Window = "22:00-06:00" }
func duringTheDay(r *rule.Stored) { r.Rule.Limits.Window = "09:00-17:00" }

// tick ticks once, and wants no error.
func (s *stage) tick() {
	s.t.Helper()
	if err := s.handler.Tick(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// wait ticks every minute for so long, and wants no error.
func (s *stage) wait(d time.Duration) {
	s.t.Helper()
	for until := s.clock.Add(d); s.clock.Before(until); {
		s.clock = s.clock.Add(time.Minute)
		s.tick()
	}
}

func (s *stage) job(name string) run.Job {
	s.t.Helper()
	jobs, err := s.runs.Jobs(ctx, []string{name})
	if err != nil {
		s.t.Fatal(err)
	}
	return jobs[name]
}

func (s *stage) run(name string, id int64) run.Run {
	s.t.Helper()
	r, err := s.runs.Run(ctx, name, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// finish brings the rule's active run to its end, as one worker would that finds
// nothing to do; where the text is not empty, one that gives up.
func (s *stage) finish(name, problem string) {
	s.t.Helper()
	s.finishOf(name, name, problem)
}

// finishOf is finish for the run or the verification that is kept under a name.
func (s *stage) finishOf(ruleName, name, problem string) {
	s.t.Helper()
	job := s.job(name)
	a := s.active(ruleName)
	runs := run.New(s.runs, s.tickets, func() time.Time { return s.clock })
	_, shard, err := runs.Claim(ctx, run.Ticket{Rule: name, Run: job.ActiveRun, Shard: "1", Phase: run.Copying}, "worker")
	if err == nil {
		shard.Error = problem
		_, err = runs.End(ctx, a, shard)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.tickets.Take()
}

func (s *stage) active(name string) *rule.Active {
	s.t.Helper()
	c, err := s.ledger.Catalog(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	rules, err := rule.Compile(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return rules.Rule(name)
}

// wantTickets compares the tickets sent since the last call, "rule run shard"
// each.
func (s *stage) wantTickets(want ...string) {
	s.t.Helper()
	var got []string
	for _, t := range s.tickets.Take() {
		got = append(got, fmt.Sprintf("%s %d %s", t.Rule, t.Run, t.Shard))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.t.Errorf("tickets %q, want %q", got, want)
	}
}

// retried empties the events queue and lists the keys in it.
func (s *stage) retried() []string {
	s.t.Helper()
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	var keys []string
	for _, body := range s.events.bodies {
		decoded, err := event.Decode(body, object.AWS)
		if err != nil || len(decoded.Changes) != 1 || decoded.Changes[0].Kind != object.Due {
			s.t.Fatalf("%s became %+v, %v", body, decoded, err)
		}
		keys = append(keys, decoded.Changes[0].Ref.Key)
	}
	s.events.bodies = nil
	slices.Sort(keys)
	return keys
}

func (s *stage) wantRetried(want ...string) {
	s.t.Helper()
	if got := s.retried(); !slices.Equal(got, want) {
		s.t.Errorf("at %s tried again: %q, want %q", s.clock.Format(time.TimeOnly), got, want)
	}
}

// fail records a failure of the key, to be retried after a wait.
func (s *stage) fail(ruleName, key string, wait time.Duration) {
	s.t.Helper()
	f := object.Failure{
		Rule: ruleName, Source: object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "a"}, Key: key},
		OccurredAt: s.clock, RetryAt: s.clock.Add(wait),
	}
	if err := s.ledger.Fail(ctx, f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) counted(metric string) bool {
	return strings.Contains(s.metrics.String(), `"`+metric+`":`)
}

func TestARunBeginsWhenItIsDue(t *testing.T) {
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		before rule.Stored   // whose run has ended well, if it has a name
		after  time.Duration // since that run began
		rule   rule.Stored
		want   bool
	}{
		"of a new rule, at once":                 {rule: named("r"), want: true},
		"of a new rule, but paused":              {rule: named("r", isPaused)},
		"of a new rule, but switched off":        {rule: named("r", isOff)},
		"of a new rule, within its window":       {rule: named("r", duringTheDay), want: true},
		"of a new rule, outside its window":      {rule: named("r", atNight)},
		"not again at once":                      {before: named("r"), after: 9 * time.Minute, rule: named("r")},
		"once more after a rule's first":         {before: named("r"), after: 10 * time.Minute, rule: named("r"), want: true},
		"again, but paused":                      {before: named("r"), after: day, rule: named("r", isPaused)},
		"again, but outside its window":          {before: named("r"), after: day, rule: named("r", atNight)},
		"at once where the rule leads elsewhere": {before: named("r"), after: time.Minute, rule: named("r", toC), want: true},
		"elsewhere, but not outside its window":  {before: named("r"), after: time.Minute, rule: named("r", toC, atNight)},
		"elsewhere, but not while it is paused":  {before: named("r"), after: time.Minute, rule: named("r", toC, isPaused)},
		"not because something else changed":     {before: named("r"), after: time.Minute, rule: named("r", duringTheDay)},
		"not while the rule is switched off":     {before: named("r"), after: day, rule: named("r", isOff)},
		"again, when its interval is over":       {before: named("r", toC), after: 2 * day, rule: named("r", toC), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			last := int64(0)
			if c.before.Rule.Name != "" {
				s.configure(c.before)
				s.tick()
				s.finish("r", "")
				s.clock = s.clock.Add(c.after)
				last = 1
			}
			s.configure(c.rule)
			s.tick()
			job := s.job("r")
			if began := job.ActiveRun == last+1 && job.LastRun == last+1; began != c.want {
				t.Errorf("the job is %+v, a run began: %t, want %t", job, began, c.want)
			}
			if !c.want {
				s.wantTickets()
				if s.log.Len() > 0 && last == 0 {
					t.Errorf("each tick would log %s", s.log.String())
				}
				return
			}
			s.wantTickets(fmt.Sprintf("r %d 1", last+1))
			if got := s.run("r", last+1).Trigger; got != run.BySchedule {
				t.Errorf("the run was started by %s", got)
			}
			if !s.counted(telemetry.RunsStarted) {
				t.Error("it was not counted")
			}
		})
	}
}

func TestNothingBeginsWhileReplicationIsSwitchedOff(t *testing.T) {
	s := newStage(t)
	s.storage.Replication.Enabled = false
	s.configure(named("r"))
	s.tick()
	s.wantTickets()
}

func TestARunThatFailedIsTriedAgain(t *testing.T) {
	s := newStage(t, named("r"))
	s.tick()
	s.finish("r", "the source could not be listed")
	s.wait(59 * time.Minute)
	s.wantTickets()
	s.wait(time.Minute)
	s.wantTickets("r 2 1")
	if got := s.run("r", 2).Trigger; got != run.ByRetry {
		t.Errorf("the run was started by %s", got)
	}
}

func TestOfTwoTicksAtTheSameTimeOneStartsTheRun(t *testing.T) {
	s := newStage(t, named("r"))
	other := s.newHandler()
	s.runs.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "runs.begin" {
			s.runs.Hook = nil
			if err := other.Tick(ctx); err != nil {
				t.Error(err)
			}
		}
		return storetest.None, nil
	}
	s.tick()
	s.wantTickets("r 1 1")
	if job := s.job("r"); job.LastRun != 1 {
		t.Errorf("the job is %+v, want one run", job)
	}
}

func TestARunWhoseTicketsWereLostIsRevived(t *testing.T) {
	s := newStage(t, named("r"))
	s.tick()
	s.wantTickets("r 1 1")
	s.wait(5 * time.Minute)
	s.wantTickets()
	s.wait(time.Minute)
	s.wantTickets("r 1 1")
	if !s.counted(telemetry.ShardsRevived) {
		t.Error("it was not counted")
	}
}

func TestARunWaitsForItsWindow(t *testing.T) {
	s := newStage(t, named("r", duringTheDay))
	s.tick()
	s.wantTickets("r 1 1")
	s.clock = s.clock.Add(5 * time.Hour) // it is 17:00, and nobody came for the ticket
	s.wait(8 * time.Hour)
	s.wantTickets()
	s.clock = time.Date(2026, 1, 2, 8, 58, 0, 0, time.UTC)
	s.wait(2 * time.Minute)
	s.wantTickets("r 1 1")
}

func TestARunWhoseLastWorkerDiedIsFinished(t *testing.T) {
	s := newStage(t, named("r"))
	s.tick()
	s.runs.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "runs.heal" {
			return storetest.FailBefore, errors.New("the worker died")
		}
		return storetest.None, nil
	}
	_, shard, err := s.handler.Runs.Claim(ctx, run.Ticket{Rule: "r", Run: 1, Shard: "1", Phase: run.Copying}, "worker")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.handler.Runs.End(ctx, s.active("r"), shard); err == nil {
		t.Fatal("the worker finished the run")
	}
	s.runs.Hook = nil
	s.wait(time.Minute)
	if got := s.run("r", 1); got.State != run.Succeeded || s.job("r").ActiveRun != 0 {
		t.Errorf("the run is %s, the job %+v", got.State, s.job("r"))
	}
}

func TestARunIsCancelledWhenItsRule(t *testing.T) {
	for name, c := range map[string]struct {
		becomes  rule.Stored
		off      bool // all of replication
		thenRuns bool // at the next tick
	}{
		"is paused":                 {named("r", isPaused), false, false},
		"is switched off":           {named("r", isOff), false, false},
		"is switched off with all":  {named("r"), true, false},
		"leads elsewhere":           {named("r", toC), false, true},
		"is paused and elsewhere":   {named("r", toC, isPaused), false, false},
		"leads elsewhere, at night": {named("r", toC, atNight), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, named("r"))
			s.tick()
			s.wantTickets("r 1 1")
			s.storage.Replication.Enabled = !c.off
			s.configure(c.becomes)
			s.tick()
			if got := s.run("r", 1); got.State != run.Cancelled || s.job("r").ActiveRun != 0 {
				t.Errorf("the run is %s, the job %+v", got.State, s.job("r"))
			}
			s.wantTickets()
			if !s.counted(telemetry.RunsCancelled) || !strings.Contains(s.log.String(), `"msg":"run cancelled"`) {
				t.Error("nobody is told")
			}
			s.tick()
			if c.thenRuns {
				s.wantTickets("r 2 1")
			} else {
				s.wantTickets()
			}
		})
	}
}

func TestARuleThatWasSwitchedOffBeginsAsANewOne(t *testing.T) {
	for name, during := range map[string]func(*stage){
		"while it rested": func(s *stage) { s.finish("r", "") },
		"during a run":    func(*stage) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, named("r"))
			s.tick()
			during(s)
			s.tickets.Take()
			s.configure(named("r", isOff))
			s.wait(5 * time.Minute)
			if n := s.runs.Counts()["runs.setjob"]; n != 1 {
				t.Errorf("the job was set %d times in 5 ticks, want once", n)
			}
			s.configure(named("r"))
			s.wait(time.Minute)
			s.wantTickets("r 2 1")
			s.finish("r", "")
			s.wait(10 * time.Minute)
			s.wantTickets("r 3 1") // the second sweep of a new rule
		})
	}
}

func TestAFailureIsTriedAgainWhenItIsDue(t *testing.T) {
	s := newStage(t, named("r"), named("paused", isPaused), named("off", isOff))
	s.fail("r", "soon", 2*time.Minute)
	s.fail("r", "later", time.Hour)
	s.fail("r", "never", 0)
	s.fail("paused", "in a pause", 0)
	s.fail("off", "switched off", 0)
	never := object.Failure{Rule: "r", Source: object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "a"}, Key: "never"}, OccurredAt: s.clock}
	if err := s.ledger.Fail(ctx, never); err != nil {
		t.Fatal(err)
	}
	s.wait(time.Minute)
	s.wantRetried()
	s.wait(time.Minute)
	s.wantRetried("soon")
	s.wait(29 * time.Minute)
	s.wantRetried()
	s.wait(time.Minute) // nobody told that it succeeded, so its message was lost
	s.wantRetried("soon")
	if !s.counted(telemetry.FailuresRetried) {
		t.Error("it was not counted")
	}
}

func TestWhatFailsTooOftenIsTriedHourly(t *testing.T) {
	s := newStage(t, named("r"))
	var tries []string
	failed := s.clock
	for range 7 {
		s.fail("r", "k", 15*time.Minute)
		for len(s.events.bodies) == 0 {
			s.wait(time.Minute)
		}
		s.wantRetried("k")
		tries = append(tries, s.clock.Sub(failed).String())
		failed = s.clock
	}
	if want := slices.Concat(slices.Repeat([]string{"15m0s"}, 4), slices.Repeat([]string{"1h0m0s"}, 3)); !slices.Equal(tries, want) {
		t.Errorf("tried after %q, want %q", tries, want)
	}
}

func TestOfTwoTicksAtTheSameTimeOneRetries(t *testing.T) {
	s := newStage(t, named("r"))
	for i := range 5 {
		s.fail("r", fmt.Sprint(i), 0)
	}
	other := s.newHandler()
	s.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "ledger.postpone" {
			s.ledger.Hook = nil
			if err := other.Tick(ctx); err != nil {
				t.Error(err)
			}
		}
		return storetest.None, nil
	}
	s.tick()
	s.wantRetried("0", "1", "2", "3", "4")
}

func TestOneTickRetriesSoMany(t *testing.T) {
	s := newStage(t)
	s.storage.Replication.MaxFailuresRetained = 250
	s.configure(named("r"))
	for i := range 250 {
		s.fail("r", fmt.Sprint(i), 0)
	}
	for _, want := range []int{100, 100, 50, 0} {
		s.tick()
		if got := s.retried(); len(got) != want {
			t.Errorf("%d were tried again, want %d", len(got), want)
		}
	}
}

func TestARetryThatCouldNotBeSentIsSentLater(t *testing.T) {
	s := newStage(t, named("r"))
	s.fail("r", "k", 0)
	s.events.err = errors.New("throttled")
	if err := s.handler.Tick(ctx); err == nil {
		t.Error("the tick did not fail")
	}
	s.wait(29 * time.Minute)
	s.wantRetried()
	s.wait(time.Minute)
	s.wantRetried("k")
}

func TestARetryThatCouldNotBeClaimedIsNotSent(t *testing.T) {
	s := newStage(t, named("r"))
	s.fail("r", "k1", 0)
	s.fail("r", "k2", 0)
	s.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "ledger.postpone" && c.Ref.Key == "k1" {
			return storetest.FailBefore, errors.New("throttled")
		}
		return storetest.None, nil
	}
	if err := s.handler.Tick(ctx); err == nil {
		t.Error("the tick did not fail")
	}
	s.wantRetried("k2")
	s.ledger.Hook = nil
	s.tick()
	s.wantRetried("k1")
}

func TestSoManyFailuresAreKept(t *testing.T) {
	s := newStage(t)
	s.storage.Replication.MaxFailuresRetained = 3
	s.configure(named("r"))
	for round := range 2 { // the second an hour later
		for i := range 5 {
			s.clock = s.clock.Add(time.Second)
			s.fail("r", fmt.Sprint(round, i), 24*time.Hour)
		}
		s.wait(time.Hour)
		var kept []string
		for _, f := range s.ledger.AllFailures() {
			kept = append(kept, f.Source.Key)
		}
		if want := []string{fmt.Sprint(round, 2), fmt.Sprint(round, 3), fmt.Sprint(round, 4)}; !slices.Equal(kept, want) {
			t.Errorf("kept %q, want %q", kept, want)
		}
	}
}

func TestOneRulesProblemIsItsOwn(t *testing.T) {
	for name, problem := range map[string]func(){
		"an error": func() {},
		"a panic":  func() { panic("a defect") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, named("r1"), named("r2"), named("r3"))
			for _, r := range []string{"r1", "r2", "r3"} {
				s.fail(r, r, 0)
			}
			s.runs.Hook = func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == "runs.begin" && strings.HasPrefix(c.Ref.Key, "r2/") {
					problem()
					return storetest.FailBefore, errors.New("throttled")
				}
				return storetest.None, nil
			}
			err := s.handler.Tick(ctx)
			if err == nil || !strings.Contains(err.Error(), "rule r2: ") || strings.Contains(err.Error(), "rule r1") {
				t.Errorf("the tick answered %v", err)
			}
			if !strings.Contains(s.log.String(), `"rule":"r2"`) {
				t.Errorf("the log does not name the rule: %s", s.log.String())
			}
			s.wantTickets("r1 1 1", "r3 1 1")
			if got := s.retried(); name == "an error" && !slices.Equal(got, []string{"r1", "r2", "r3"}) {
				t.Errorf("tried again: %q", got)
			}
		})
	}
}

func TestNothingBeginsWhenTimeIsUp(t *testing.T) {
	s := newStage(t, named("r1"), named("r2"))
	short, cancel := context.WithCancel(ctx)
	s.runs.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "runs.jobs" {
			cancel()
		}
		return storetest.None, nil
	}
	err := s.handler.Tick(short)
	if err == nil || !strings.Contains(err.Error(), "rule r1: out of time") || !strings.Contains(err.Error(), "rule r2: out of time") {
		t.Errorf("the tick answered %v", err)
	}
	s.runs.Hook = nil
	s.tick()
	s.wantTickets("r1 1 1", "r2 1 1")
}

func TestThereIsTimeLeftToReport(t *testing.T) {
	s := newStage(t, named("r"))
	short, cancel := context.WithTimeout(ctx, 4*time.Second) // less than what is kept in reserve
	defer cancel()
	if err := s.handler.Tick(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the tick answered %v", err)
	}
	s.wantTickets()
}

// Ticks are the larger part of what an idle deployment costs.
func TestAnIdleTickOverAHundredRules(t *testing.T) {
	var rules []rule.Stored
	for i := range 100 {
		rules = append(rules, named(fmt.Sprintf("r%02d", i)))
	}
	s := newStage(t, rules...)
	s.tick()
	for _, r := range rules {
		s.finish(r.Rule.Name, "")
	}
	s.clock = s.clock.Add(time.Minute)
	before := s.bill()
	s.tick()
	cost := s.bill()
	for op, n := range before {
		if cost[op] -= n; cost[op] == 0 {
			delete(cost, op)
		}
	}
	if want := map[string]int{"catalog.read": 1, "runs.jobs": 1, "ledger.due": 100}; !maps.Equal(cost, want) {
		t.Errorf("requests %v, want %v", cost, want)
	}
}

// bill is every request so far.
func (s *stage) bill() map[string]int {
	all := s.ledger.Counts()
	maps.Copy(all, s.runs.Counts())
	return all
}

// Whatever call of a tick is lost, before or after it took effect, the ticks
// that follow make it good.
func TestATickMayBreakOffAnywhere(t *testing.T) {
	lost := errors.New("the answer was lost")
	for _, fault := range []storetest.Fault{storetest.FailBefore, storetest.ApplyThenFail} {
		for nth := 1; ; nth++ {
			s := newStage(t, named("due"), named("gone"), named("elsewhere"))
			for _, name := range []string{"gone", "elsewhere"} {
				if _, err := s.handler.Runs.Start(ctx, s.active(name), run.BySchedule, run.Asked{}); err != nil {
					t.Fatal(err)
				}
			}
			s.configure(named("due"), named("gone", isOff), named("elsewhere", toC))
			s.fail("due", "k", 0)
			s.tickets.Take()

			left, broke := nth, ""
			var one sync.Mutex // the calls of different rules come at the same time
			hook := func(c storetest.Call) (storetest.Fault, error) {
				one.Lock()
				defer one.Unlock()
				if left--; left != 0 {
					return storetest.None, nil
				}
				broke = fmt.Sprintf("%s %s, fault %d", c.Op, c.Ref.Key, fault)
				return fault, lost
			}
			s.ledger.Hook, s.runs.Hook, s.tickets.Hook = hook, hook, hook
			err := s.handler.Tick(ctx)
			s.ledger.Hook, s.runs.Hook, s.tickets.Hook = nil, nil, nil
			if left > 0 {
				if err != nil {
					t.Fatal(err)
				}
				break // it has no nth call
			}
			s.wait(31 * time.Minute)
			for name, want := range map[string]run.Job{
				"due":       {LastRun: 1, ActiveRun: 1},
				"gone":      {LastRun: 1},
				"elsewhere": {LastRun: 2, ActiveRun: 2},
			} {
				if got := s.job(name); got.LastRun != want.LastRun || got.ActiveRun != want.ActiveRun || name == "gone" && got.Scope != "" {
					t.Errorf("%s: the job is %+v", broke, got)
				}
			}
			var sent []string
			for _, ticket := range s.tickets.Take() {
				sent = append(sent, fmt.Sprint(ticket.Rule, ticket.Run))
			}
			if !slices.Contains(sent, "due1") || !slices.Contains(sent, "elsewhere2") {
				t.Errorf("%s: tickets for %q", broke, sent)
			}
			if got := s.retried(); len(got) == 0 {
				t.Errorf("%s: the failure was not tried again", broke)
			}
		}
	}
}
