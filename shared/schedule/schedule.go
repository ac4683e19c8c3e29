// Package schedule does what is due: once a minute it starts runs, looks after
// those that are under way, has recorded failures tried again, and invites workers
// to transfers that nobody is at any more. Each tick goes by what is stored now, so
// one that was lost, repeated or cut short is made good by the next.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/telemetry"
)

const (
	// reserve is kept before the function's deadline to report what was done.
	reserve = 5 * time.Second
	// concurrency bounds how many rules are worked on at a time.
	concurrency = 8
	// retries of one rule that one tick sends.
	retries = 100
	// retryLost is when a failure is sent again that nobody reported about: the
	// message was lost, or the event function died with it.
	retryLost = 30 * time.Minute
	// trimEvery is how often failures are counted, which means to read them.
	trimEvery = time.Hour
)

// Why runs are cancelled.
const (
	disabled     = "disabled"
	paused       = "paused"
	scopeChanged = "scope_changed"
)

// Handler does the work of each tick. Its ticks must not overlap; those of
// several handlers may.
type Handler struct {
	Catalogs Catalogs
	Jobs     Jobs
	Runs     *run.Runs
	Failures Failures
	Queue    Queue // of the events
	// Transfers whose workers fell silent are brought on. Nil: there are none.
	Transfers Transfers
	Metrics   *telemetry.Metrics
	Log       *slog.Logger
	Now       func() time.Time

	trimmed time.Time // when failures were last trimmed
}

// Tick does what is due for every rule. What fails for one rule does not keep
// the others waiting; the errors are logged, and returned together.
func (h *Handler) Tick(ctx context.Context) error {
	err := h.tick(ctx)
	if err := h.Metrics.Flush(); err != nil {
		h.Log.ErrorContext(ctx, "metrics", "error", err)
	}
	return err
}

func (h *Handler) tick(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	catalog, err := h.Catalogs.Catalog(ctx)
	if err != nil {
		return err
	}
	rules, err := rule.Compile(catalog)
	if err != nil {
		return fmt.Errorf("rules at revision %d: %w", catalog.Revision, err)
	}
	names := make([]string, len(catalog.Rules))
	var wanted []string
	for i, stored := range catalog.Rules {
		names[i] = stored.Rule.Name
		wanted = append(wanted, names[i], run.Verifications(names[i]))
	}
	jobs, err := h.Jobs.Jobs(ctx, wanted)
	if err != nil {
		return err
	}
	keep := 0
	if now := h.Now(); now.Sub(h.trimmed) >= trimEvery {
		h.trimmed, keep = now, catalog.Storage.Replication.MaxFailuresRetained
	}
	errs := make([]error, len(names))
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, name := range names {
		group.Go(func() error {
			if err := h.guarded(ctx, rules.Rule(name), jobs[name], jobs[run.Verifications(name)], keep); err != nil {
				errs[i] = fmt.Errorf("rule %s: %w", name, err)
				h.Log.ErrorContext(ctx, "tick", "rule", name, "error", err)
			}
			return nil
		})
	}
	_ = group.Wait() // no member returns an error
	return errors.Join(errors.Join(errs...), h.transfers(ctx, rules))
}

// transfers brings on those whose workers fell silent.
func (h *Handler) transfers(ctx context.Context, rules *rule.Set) error {
	if h.Transfers == nil {
		return nil
	}
	n, err := h.Transfers.Revive(ctx, rules)
	if n > 0 {
		h.Metrics.Count(telemetry.TransfersRevived, float64(n))
		h.Log.WarnContext(ctx, "transfers revived", "transfers", n)
	}
	if err != nil {
		h.Log.ErrorContext(ctx, "tick", "error", err)
		return fmt.Errorf("transfers: %w", err)
	}
	return nil
}

// guarded does what is due for one rule, and turns its panic into an error. The
// rule is nil where it is switched off. What does not begin in time is left to
// the next tick.
func (h *Handler) guarded(ctx context.Context, a *rule.Active, job, verification run.Job, keep int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("out of time before the rule's turn: %w", err)
	}
	verified := h.verification(ctx, a, verification)
	if a == nil {
		return errors.Join(h.switchOff(ctx, job), verified)
	}
	err = errors.Join(h.attend(ctx, a, job), verified)
	if !a.Paused {
		err = errors.Join(err, h.retry(ctx, a))
	}
	if keep > 0 {
		_, failed := h.Failures.Trim(ctx, a.Name, keep)
		err = errors.Join(err, failed)
	}
	return err
}

// switchOff ends what is under way for a rule that is switched off, and makes
// it begin as a new one when it is switched on again: its events are not
// replicated meanwhile.
func (h *Handler) switchOff(ctx context.Context, job run.Job) error {
	if job.ActiveRun != 0 {
		if err := h.cancel(ctx, job, disabled); err != nil {
			return err
		}
		job.ActiveRun = 0
	}
	if job.Scope == "" {
		return nil
	}
	return h.unlessLost(ctx, job.Rule, h.Jobs.SetJob(ctx, job, run.Job{Rule: job.Rule, LastRun: job.LastRun}))
}

// attend starts the rule's run if it is due, and looks after it while it is
// active.
func (h *Handler) attend(ctx context.Context, a *rule.Active, job run.Job) error {
	now := h.Now()
	sameScope := job.Scope == run.ScopeOf(a)
	switch {
	case job.ActiveRun != 0 && a.Paused:
		return h.cancel(ctx, job, paused)
	case job.ActiveRun != 0 && !sameScope:
		return h.cancel(ctx, job, scopeChanged)
	case job.ActiveRun != 0 && !a.Limits.Open(now):
		return nil // what is left waits for the window
	case job.ActiveRun != 0:
		return h.revive(ctx, a, job)
	case a.Paused, !a.Limits.Open(now), sameScope && job.NextDue.After(now):
		return nil
	default:
		return h.start(ctx, a, job)
	}
}

// verification looks after the rule's verification while one is active. It may
// go on while the rule is paused.
func (h *Handler) verification(ctx context.Context, a *rule.Active, job run.Job) error {
	switch {
	case job.ActiveRun == 0:
		return nil
	case a == nil:
		return h.cancel(ctx, job, disabled)
	case job.Scope != run.ScopeOf(a):
		return h.cancel(ctx, job, scopeChanged)
	default:
		return h.revive(ctx, a, job)
	}
}

func (h *Handler) start(ctx context.Context, a *rule.Active, job run.Job) error {
	by := run.BySchedule
	if job.Retry {
		by = run.ByRetry
	}
	begun, err := h.Runs.Start(ctx, a, by, run.Asked{})
	if begun.ID != 0 { // stored, whether its ticket was sent or not
		h.Metrics.Count(telemetry.RunsStarted, 1, telemetry.Rule, a.Name)
		h.Log.InfoContext(ctx, "run started", "rule", a.Name, "run", begun.ID, "trigger", by)
	}
	return h.unlessLost(ctx, a.Name, err)
}

func (h *Handler) revive(ctx context.Context, a *rule.Active, job run.Job) error {
	active, err := h.Jobs.Run(ctx, job.Rule, job.ActiveRun)
	if err != nil {
		return err
	}
	sent, err := h.Runs.Revive(ctx, a, active)
	if sent > 0 {
		h.Metrics.Count(telemetry.ShardsRevived, float64(sent), telemetry.Rule, a.Name)
		h.Log.WarnContext(ctx, "shards revived", "rule", a.Name, "run", active.ID, "shards", sent)
	}
	return h.unlessLost(ctx, a.Name, err)
}

func (h *Handler) cancel(ctx context.Context, job run.Job, reason string) error {
	_, err := h.Runs.Cancel(ctx, job.Rule, job.ActiveRun)
	if err == nil {
		h.Metrics.Count(telemetry.RunsCancelled, 1, telemetry.Rule, run.RuleOf(job.Rule), telemetry.Reason, reason)
		h.Log.WarnContext(ctx, "run cancelled", "rule", job.Rule, "run", job.ActiveRun, "reason", reason)
	}
	return h.unlessLost(ctx, job.Rule, err)
}

// unlessLost drops the error of a race that somebody else won: another tick, a
// worker or the API. The next tick sees what they made of it.
func (h *Handler) unlessLost(ctx context.Context, ruleName string, err error) error {
	if object.ClassOf(err) != object.Premise {
		return err
	}
	h.Log.InfoContext(ctx, "left to others", "rule", ruleName, "code", object.CodeOf(err))
	return nil
}

// retry sends the rule's due failures to the event function. Each is claimed
// first, by putting off its next retry, so that it is sent once; and one whose
// message is lost is sent again then.
func (h *Handler) retry(ctx context.Context, a *rule.Active) error {
	now := h.Now()
	due, err := h.Failures.Due(ctx, a.Name, now, retries)
	if err != nil {
		return err
	}
	var errs []error
	var bodies []string
	for _, f := range due {
		later := f.Due().After(now) // it failed too often to be tried now
		to := now.Add(retryLost)
		if later {
			to = f.Due()
		}
		switch err := h.Failures.Postpone(ctx, f, to); {
		case object.ClassOf(err) == object.Premise:
		case err != nil:
			errs = append(errs, err)
		case !later:
			bodies = append(bodies, event.Retry(f, now))
		}
	}
	if len(bodies) > 0 {
		h.Metrics.Count(telemetry.FailuresRetried, float64(len(bodies)), telemetry.Rule, a.Name)
		errs = append(errs, h.Queue.Send(ctx, bodies))
	}
	return errors.Join(errs...)
}
