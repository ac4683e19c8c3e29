package run_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// A world has some keys, in order, of which some are to be deleted, and workers
// that walk them as the real ones do: they keep their place every few keys, note
// ahead what they delete, and give ranges of the first shard away.
type world struct {
	*stage
	keys    []string
	gone    map[string]bool // from the source
	deleted map[string]bool // from the destination
	queue   []run.Ticket    // sent, and not taken by a worker
	workers int
	// loses: a ticket whose worker died is lost, not delivered again.
	loses bool
}

func newWorld(t *testing.T) *world {
	w := &world{stage: newStage(t), gone: map[string]bool{}, deleted: map[string]bool{}}
	for c := 'a'; c <= 'x'; c++ {
		w.keys = append(w.keys, string(c))
	}
	for _, key := range []string{"b", "c", "j", "x"} {
		w.gone[key] = true
	}
	return w
}

// hook decides the fate of every call from now on.
func (w *world) hook(h storetest.Hook) { w.store.Hook, w.tickets.Hook = h, h }

// minute passes: every ticket goes to a worker, and the schedule ticks.
func (w *world) minute() {
	w.clock = w.clock.Add(time.Minute)
	w.queue = append(w.queue, w.tickets.Take()...)
	for len(w.queue) > 0 {
		ticket := w.queue[0]
		w.queue = w.queue[1:]
		w.workers++
		if err := w.work(ticket, fmt.Sprint("worker ", w.workers)); err != nil && !run.IsOver(err) && !w.loses {
			// The queue shows it again, to somebody else.
			defer func() { w.queue = append(w.queue, ticket) }()
		}
		w.queue = append(w.queue, w.tickets.Take()...)
	}
	_ = w.tick() // what it could not do it does the next time
}

// tick is what the schedule does for the rule: its first run, and no other.
func (w *world) tick() error {
	jobs, err := w.store.Jobs(ctx, []string{"r"})
	if err != nil {
		return err
	}
	switch job := jobs["r"]; {
	case job.LastRun == 0:
		_, err = w.runs.Start(ctx, w.rule, run.BySchedule, run.Asked{})
	case job.ActiveRun != 0:
		active, failed := w.store.Run(ctx, "r", job.ActiveRun)
		if failed != nil {
			return failed
		}
		_, err = w.runs.Revive(ctx, w.rule, active)
	}
	return err
}

// work is one worker with one ticket. It dies of any error.
func (w *world) work(t run.Ticket, owner string) error {
	_, s, err := w.runs.Claim(ctx, t, owner)
	if err != nil {
		return err
	}
	if s.ID == "1" && s.Phase == run.Copying && s.Children == 0 {
		if err := w.runs.Share(ctx, &s, []keyspace.Range{{After: "g", Until: "p"}, {After: "p"}}); err != nil {
			return err
		}
	}
	noted := s.Intent
	for _, key := range w.keys {
		if key <= s.Cursor || !s.Range.Contains(key) {
			continue
		}
		if s.Phase.Deletes() {
			if err := w.deleteOne(&s, key, noted); err != nil {
				return err
			}
		} else {
			s.Scanned++
			if w.gone[key] {
				s.Candidates++
			} else {
				s.Sources++
				s.Copied++
			}
		}
		s.Cursor = key
		if key > "d" && key < "w" { // else several keys are left to the End
			if _, err := w.runs.Save(ctx, &s); err != nil {
				return err
			}
		}
	}
	_, err = w.runs.End(ctx, w.rule, s)
	return err
}

func (w *world) deleteOne(s *run.Shard, key string, noted []string) error {
	switch {
	case !w.gone[key]:
		return nil
	case !w.deleted[key]:
		s.Intent = []string{key}
		if _, err := w.runs.Save(ctx, s); err != nil {
			return err
		}
		w.deleted[key] = true
	case !slices.Contains(noted, key):
		return nil // it never was there
	}
	s.Deleted++
	return nil
}

// settle lets minutes pass until the run is over, and checks what it did.
func (w *world) settle(about func() string) {
	w.t.Helper()
	for range 100 {
		w.minute()
		hook := w.store.Hook
		w.hook(nil) // a look from outside is no call
		if job := w.job(); job.LastRun > 0 && job.ActiveRun == 0 {
			w.check(about())
			return
		}
		w.hook(hook)
	}
	w.hook(nil)
	w.t.Errorf("%s: after 100 minutes the run is %+v, its shards %+v", about(), w.run(1), w.shards(1))
}

func (w *world) check(about string) {
	w.t.Helper()
	job, got := w.job(), w.run(1)
	all, gone := int64(len(w.keys)), int64(len(w.gone))
	if job.LastRun != 1 || got.State != run.Succeeded || got.Open != 0 || got.Shards != 3 {
		w.t.Errorf("%s: the job is %+v, the run %+v", about, job, got)
	}
	if got.Scanned != all || got.Copied != all-gone || got.Candidates != gone || got.Deleted != gone || int64(len(w.deleted)) != gone {
		w.t.Errorf("%s: %d keys were deleted, and the totals are %+v", about, len(w.deleted), got.Totals)
	}
	for _, s := range w.shards(1) {
		if !s.Ended || s.Owner != "" {
			w.t.Errorf("%s: a shard is left: %+v", about, s)
		}
	}
}

// Whatever one call fails, before or after it took effect or because somebody
// else was there, the run comes to its end, sees every key once, and counts it
// once.
func TestARunSurvivesAnyOneFault(t *testing.T) {
	for name, c := range map[string]struct {
		fault storetest.Fault
		class object.Class
		loses bool
	}{
		"a call fails":                             {storetest.FailBefore, object.Retryable, false},
		"a call fails, the ticket is lost":         {storetest.FailBefore, object.Retryable, true},
		"an answer is lost":                        {storetest.ApplyThenFail, object.Retryable, false},
		"an answer is lost, the ticket is lost":    {storetest.ApplyThenFail, object.Retryable, true},
		"a condition does not hold for one moment": {storetest.FailBefore, object.Premise, true},
	} {
		t.Run(name, func(t *testing.T) {
			nth := 1
			for about := "at first"; about != ""; nth++ {
				w := newWorld(t)
				w.loses = c.loses
				calls := 0
				about = ""
				w.hook(func(call storetest.Call) (storetest.Fault, error) {
					if calls++; calls != nth {
						return storetest.None, nil
					}
					about = fmt.Sprintf("call %d, %s %s", nth, call.Op, call.Ref.Key)
					return c.fault, &object.Error{Class: c.class, Op: call.Op, Code: "Lost", Err: errors.New("by the test")}
				})
				w.settle(func() string { return about })
			}
			if nth < 50 {
				t.Errorf("the run took %d calls, want more", nth)
			}
		})
	}
}

// The same with many faults, until they stop.
func TestARunSurvivesAStormOfFaults(t *testing.T) {
	for range 300 {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t)
		w.loses = random.IntN(2) == 0
		often := random.Float64() / 3
		w.hook(func(c storetest.Call) (storetest.Fault, error) {
			if random.Float64() > often {
				return storetest.None, nil
			}
			return storetest.Fault(1 + random.IntN(2)), &object.Error{Op: c.Op, Code: "Lost", Err: errors.New("by the test")}
		})
		for range 1 + random.IntN(60) {
			w.minute()
		}
		w.hook(nil)
		w.settle(func() string { return fmt.Sprint("seed ", seed) })
		if t.Failed() {
			return
		}
	}
}
