package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

// Runs is the store of jobs, runs and shards in memory, with the conditions of
// the real one. The zero value is empty and ready.
type Runs struct {
	// Hook decides the fate of each operation; nil lets all of them run.
	Hook Hook
	// Ledger holds the failures that Heal removes; nil: there are none.
	Ledger *Ledger

	calls

	jobs   map[string]run.Job
	runs   map[runKey]run.Run
	shards map[shardKey]run.Shard
	lives  map[string]run.Lifetime
}

type runKey struct {
	rule string
	id   int64
}

func (k runKey) String() string { return fmt.Sprintf("%s/%d", k.rule, k.id) }

type shardKey struct {
	runKey
	id string
}

func (k shardKey) String() string { return fmt.Sprintf("%s/%s", k.runKey, k.id) }

func keyOfRun(r run.Run) runKey       { return runKey{r.Rule, r.ID} }
func keyOfShard(s run.Shard) shardKey { return shardKey{runKey{s.Rule, s.Run}, s.ID} }

// errCondition stands for a Premise until the call knows what to name.
var errCondition = errors.New("a condition does not hold")

func (r *Runs) call(ctx context.Context, op, key string, apply func() error) error {
	at := Call{Op: op, Ref: object.Ref{Key: key}}
	return r.calls.call(ctx, r.Hook, at, func() error {
		if r.jobs == nil {
			r.jobs = map[string]run.Job{}
			r.runs = map[runKey]run.Run{}
			r.shards = map[shardKey]run.Shard{}
			r.lives = map[string]run.Lifetime{}
		}
		err := apply()
		if errors.Is(err, errCondition) {
			return premise(op, at.Ref)
		}
		return err
	})
}

// What is stored shares nothing with the caller's, and its times are as precise
// as the real store's.

func storedTime(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func storedTotals(t run.Totals) run.Totals {
	t.Skipped = maps.Clone(t.Skipped)
	if len(t.Skipped) == 0 {
		t.Skipped = nil
	}
	t.Sample = storedKeys(t.Sample)
	t.Found = maps.Clone(t.Found)
	if len(t.Found) == 0 {
		t.Found = nil
	}
	t.Findings = append([]run.Finding(nil), t.Findings...)
	return t
}

func storedKeys(keys []string) []string { return append([]string(nil), keys...) }

func storedJob(j run.Job) run.Job {
	j.NextDue = storedTime(j.NextDue)
	return j
}

func storedRun(r run.Run) run.Run {
	r.StartedAt, r.EndedAt = storedTime(r.StartedAt), storedTime(r.EndedAt)
	r.Totals = storedTotals(r.Totals)
	return r
}

func storedShard(s run.Shard) run.Shard {
	s.Intent = storedKeys(s.Intent)
	s.Partial = append([]run.Partial(nil), s.Partial...)
	s.Totals = storedTotals(s.Totals)
	s.LeasedUntil, s.SavedAt, s.SentAt = storedTime(s.LeasedUntil), storedTime(s.SavedAt), storedTime(s.SentAt)
	return s
}

// Jobs answers the jobs of these rules.
func (r *Runs) Jobs(ctx context.Context, rules []string) (map[string]run.Job, error) {
	found := map[string]run.Job{}
	err := r.call(ctx, "runs.jobs", "", func() error {
		for _, name := range rules {
			if j, ok := r.jobs[name]; ok {
				found[name] = j
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Overview reads the revision of Ledger's catalog, the jobs of these rules, and
// some runs. It counts as one operation however many there are.
func (r *Runs) Overview(ctx context.Context, rules []string, runs map[string]int64) (run.Overview, error) {
	o := run.Overview{Jobs: map[string]run.Job{}, Lifetimes: map[string]run.Lifetime{}, Runs: map[string]run.Run{}}
	err := r.call(ctx, "runs.overview", "", func() error {
		if r.Ledger != nil {
			r.Ledger.mu.Lock()
			o.Catalog = r.Ledger.catalog.Revision
			r.Ledger.mu.Unlock()
		}
		for _, name := range rules {
			if j, ok := r.jobs[name]; ok {
				o.Jobs[name] = j
			}
			if life, ok := r.lives[name]; ok {
				o.Lifetimes[name] = life
			}
		}
		for name, id := range runs {
			if stored, ok := r.runs[runKey{name, id}]; ok {
				o.Runs[name] = storedRun(stored)
			}
		}
		return nil
	})
	if err != nil {
		return run.Overview{}, err
	}
	return o, nil
}

// setJob replaces the job if it is still as seen. A job that says nothing is
// none.
func (r *Runs) setJob(seen, next run.Job) error {
	if j := r.jobs[next.Rule]; j.LastRun != seen.LastRun || j.ActiveRun != seen.ActiveRun || j.Scope != seen.Scope {
		return errCondition
	}
	if next == (run.Job{Rule: next.Rule}) {
		delete(r.jobs, next.Rule)
	} else {
		r.jobs[next.Rule] = storedJob(next)
	}
	return nil
}

// SetJob replaces the job if it is still as seen.
func (r *Runs) SetJob(ctx context.Context, seen, next run.Job) error {
	return r.call(ctx, "runs.setjob", next.Rule, func() error { return r.setJob(seen, next) })
}

// Begin stores the run and its first shard, and replaces the job.
func (r *Runs) Begin(ctx context.Context, seen, next run.Job, begun run.Run, root run.Shard) error {
	return r.call(ctx, "runs.begin", keyOfRun(begun).String(), func() error {
		if _, exists := r.runs[keyOfRun(begun)]; exists {
			return errCondition
		}
		if err := r.setJob(seen, next); err != nil {
			return err
		}
		r.runs[keyOfRun(begun)] = storedRun(begun)
		r.shards[keyOfShard(root)] = storedShard(root)
		return nil
	})
}

// Run answers one run.
func (r *Runs) Run(ctx context.Context, ruleName string, id int64) (run.Run, error) {
	key := runKey{ruleName, id}
	var found run.Run
	err := r.call(ctx, "runs.run", key.String(), func() error {
		stored, ok := r.runs[key]
		if !ok {
			return &object.Error{Class: object.Permanent, Op: "runs.run", Ref: object.Ref{Key: key.String()}, Code: run.CodeNotFound, Err: errors.New("there is no such run")}
		}
		found = storedRun(stored)
		return nil
	})
	if err != nil {
		return run.Run{}, err
	}
	return found, nil
}

// Runs lists up to limit runs below before, newest first.
func (r *Runs) Runs(ctx context.Context, ruleName string, before int64, limit int) ([]run.Run, error) {
	var found []run.Run
	err := r.call(ctx, "runs.list", ruleName, func() error {
		for k, stored := range r.runs {
			if k.rule == ruleName && (before == 0 || k.id < before) {
				found = append(found, storedRun(stored))
			}
		}
		slices.SortFunc(found, func(a, b run.Run) int { return cmp.Compare(b.ID, a.ID) })
		found = found[:min(len(found), limit)]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Shards lists a run's shards in the order of their ranges.
func (r *Runs) Shards(ctx context.Context, ruleName string, id int64) ([]run.Shard, error) {
	key := runKey{ruleName, id}
	var found []run.Shard
	err := r.call(ctx, "runs.shards", key.String(), func() error {
		for k, stored := range r.shards {
			if k.runKey == key {
				found = append(found, storedShard(stored))
			}
		}
		// A shard that gave all of its range away is as far as its first child,
		// whose name is longer.
		slices.SortFunc(found, func(a, b run.Shard) int {
			return cmp.Or(cmp.Compare(a.Range.After, b.Range.After), cmp.Compare(a.ID, b.ID))
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Turn writes what the life of a run changes.
func (r *Runs) Turn(ctx context.Context, was, next run.Run, job run.Job) error {
	key := keyOfRun(next)
	return r.call(ctx, "runs.turn", key.String(), func() error {
		stored, ok := r.runs[key]
		cancel := next.State == run.Cancelled
		switch {
		case !ok,
			cancel && !stored.State.Active(),
			!cancel && (stored.State != was.State || stored.Phase != was.Phase || stored.Open != was.Open):
			return errCondition
		}
		if begins := next.State.Active(); begins != was.State.Active() {
			j := r.jobs[key.rule]
			before, after := key.id, int64(0)
			if begins {
				before, after = after, before
			}
			if j.ActiveRun != before || begins && j.LastRun != key.id {
				return errCondition
			}
			j.Rule, j.ActiveRun, j.NextDue, j.Retry = key.rule, after, job.NextDue, job.Retry
			r.jobs[key.rule] = storedJob(j)
			if !begins {
				life := r.lives[key.rule].Ends(was, next)
				life.Since = storedTime(life.Since)
				r.lives[key.rule] = life
			}
		}
		stored.State, stored.Phase, stored.EndedAt = next.State, next.Phase, next.EndedAt
		stored.Approved, stored.Error, stored.Totals = next.Approved, next.Error, next.Totals
		if !cancel {
			stored.Open = next.Open
		}
		r.runs[key] = storedRun(stored)
		return nil
	})
}

// Claim takes the lease on the ticket's shard.
func (r *Runs) Claim(ctx context.Context, t run.Ticket, owner string, now, until time.Time) (run.Shard, error) {
	key := shardKey{runKey{t.Rule, t.Run}, t.Shard}
	var claimed run.Shard
	err := r.call(ctx, "runs.claim", key.String(), func() error {
		s, ok := r.shards[key]
		leased := s.Owner != "" && s.Owner != owner && s.LeasedUntil.After(storedTime(now))
		switch {
		case !ok, leased:
			return errCondition
		case s.Phase == t.Phase && !s.Ended:
		case s.Phase < t.Phase && s.Ended:
			s = s.Open(t.Phase)
		default:
			return errCondition
		}
		s.Owner, s.LeasedUntil = owner, until
		s.Fence++
		s.Tries++
		r.shards[key] = storedShard(s)
		claimed = storedShard(s)
		return nil
	})
	if err != nil {
		return run.Shard{}, err
	}
	return claimed, nil
}

// held reports whether the shard is open and has s's fence.
func (r *Runs) held(s run.Shard) bool {
	stored, ok := r.shards[keyOfShard(s)]
	return ok && stored.Fence == s.Fence && !stored.Ended
}

// Save writes all of s under its fence.
func (r *Runs) Save(ctx context.Context, s run.Shard) error {
	return r.call(ctx, "runs.save", keyOfShard(s).String(), func() error {
		if !r.held(s) {
			return errCondition
		}
		r.shards[keyOfShard(s)] = storedShard(s)
		return nil
	})
}

// Share writes s and its new children under the fence of s.
func (r *Runs) Share(ctx context.Context, s run.Shard, children []run.Shard) error {
	return r.call(ctx, "runs.share", keyOfShard(s).String(), func() error {
		of, ok := r.runs[keyOfShard(s).runKey]
		if !ok || !of.State.Active() || !r.held(s) {
			return errCondition
		}
		for _, c := range children {
			if _, exists := r.shards[keyOfShard(c)]; exists {
				return errCondition
			}
		}
		if len(children) > run.MaxChildren {
			return &object.Error{Class: object.Permanent, Op: "runs.share", Code: "ValidationException", Err: errors.New("too many for one transaction")}
		}
		for _, one := range append([]run.Shard{s}, children...) {
			r.shards[keyOfShard(one)] = storedShard(one)
		}
		of.Shards += int64(len(children))
		of.Open += int64(len(children))
		r.runs[keyOfRun(of)] = of
		return nil
	})
}

// End writes s, which has ended, under its fence.
func (r *Runs) End(ctx context.Context, s run.Shard) error {
	return r.call(ctx, "runs.end", keyOfShard(s).String(), func() error {
		of, ok := r.runs[keyOfShard(s).runKey]
		if !ok || !r.held(s) {
			return errCondition
		}
		r.shards[keyOfShard(s)] = storedShard(s)
		of.Open--
		r.runs[keyOfRun(of)] = of
		return nil
	})
}

// Resent notes that another ticket was sent.
func (r *Runs) Resent(ctx context.Context, seen run.Shard, at time.Time) error {
	return r.call(ctx, "runs.resent", keyOfShard(seen).String(), func() error {
		s, ok := r.shards[keyOfShard(seen)]
		if !ok || s.Fence != seen.Fence || !s.SentAt.Equal(storedTime(seen.SentAt)) {
			return errCondition
		}
		s.SentAt = storedTime(at)
		r.shards[keyOfShard(s)] = s
		return nil
	})
}

// Heal removes the failures of a rule that occurred before a time, from Ledger.
func (r *Runs) Heal(ctx context.Context, ruleName string, before time.Time, damaged bool) error {
	return r.call(ctx, "runs.heal", ruleName, func() error {
		if r.Ledger != nil {
			r.Ledger.mu.Lock()
			defer r.Ledger.mu.Unlock()
			r.Ledger.heal(ruleName, before, damaged)
		}
		return nil
	})
}

// Tickets is the shards queue as run.Runs sees it: it keeps what was sent. The
// zero value is empty and ready.
type Tickets struct {
	// Hook decides the fate of Send; nil lets it run.
	Hook Hook

	calls

	sent []run.Ticket
}

// Send keeps the tickets.
func (q *Tickets) Send(ctx context.Context, tickets []run.Ticket) error {
	return q.call(ctx, q.Hook, Call{Op: "tickets.send"}, func() error {
		q.sent = append(q.sent, tickets...)
		return nil
	})
}

// Take answers what was sent since the last Take, in order.
func (q *Tickets) Take() []run.Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	sent := q.sent
	q.sent = nil
	return sent
}
