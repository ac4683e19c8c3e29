package adminapi

import (
	"context"
	"net/http"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// maxDeletes bounds what approve-deletes can be asked for: no bucket has more.
const maxDeletes = 1e15

// pause stops the rule, and the run that is under way. It does so again where
// the rule is paused already, so that one whose run could not be stopped the
// first time needs no other request.
func (h *Handler) pause(ctx context.Context, r *request) (answer, error) {
	if _, _, err := h.find(ctx, r.rule); err != nil {
		return answer{}, err
	}
	if err := h.Catalogs.SetPaused(ctx, r.rule, true); err != nil {
		return answer{}, err
	}
	if _, err := h.stop(ctx, r.rule); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// stop cancels the run under way, if there is one, and answers the job without
// it.
func (h *Handler) stop(ctx context.Context, name string) (run.Job, error) {
	jobs, err := h.Store.Jobs(ctx, []string{name})
	if err != nil {
		return run.Job{}, err
	}
	job := jobs[name]
	if job.ActiveRun == 0 {
		return job, nil
	}
	_, err = h.Runs.Cancel(ctx, name, job.ActiveRun)
	if err != nil && object.ClassOf(err) != object.Premise { // else it ended by itself
		return run.Job{}, err
	}
	job.ActiveRun = 0
	return job, nil
}

// resume lets the rule go on, with a full run to make up for what it missed.
// Where it is not paused, or is disabled, there is nothing to make up for.
//
// The run is due before the rule goes on, so that the schedule starts it where
// this function cannot any more.
func (h *Handler) resume(ctx context.Context, r *request) (answer, error) {
	c, stored, err := h.find(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	if !stored.Paused {
		return answer{status: http.StatusNoContent}, nil
	}
	set, err := rule.Compile(c)
	if err != nil {
		return answer{}, err
	}
	job, err := h.stop(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	if !job.NextDue.IsZero() {
		due := job
		due.NextDue, due.Retry = time.Time{}, false
		if err := h.Store.SetJob(ctx, job, due); err != nil {
			return answer{}, err
		}
	}
	if err := h.Catalogs.SetPaused(ctx, r.rule, false); err != nil {
		return answer{}, err
	}
	a := set.Rule(r.rule)
	if a == nil {
		return answer{status: http.StatusNoContent}, nil
	}
	a.Paused = false
	begun, err := h.Runs.Start(ctx, a, run.ByResume, run.Asked{})
	switch {
	case err == nil:
		return accepted(begun), nil
	case object.CodeOf(err) == run.CodeActive:
		return h.underWay(ctx, r.rule)
	case begun.ID != 0:
		return h.unsent(ctx, begun, err)
	}
	f := refusalOf(err)
	f.message, f.cause = "the rule is resumed; its run could not be started now, and begins by itself", err
	return answer{}, f
}

// underWay is the answer with the run that somebody else started just now.
func (h *Handler) underWay(ctx context.Context, name string) (answer, error) {
	active, err := h.activeRun(ctx, name)
	if err != nil || active == 0 {
		return answer{status: http.StatusNoContent}, err
	}
	of, err := h.Store.Run(ctx, name, active)
	if err != nil {
		return answer{}, err
	}
	if of, err = h.Runs.Progress(ctx, of); err != nil {
		return answer{}, err
	}
	return accepted(of), nil
}

// kill cancels the run that is under way.
func (h *Handler) kill(ctx context.Context, r *request) (answer, error) {
	if _, _, err := h.find(ctx, r.rule); err != nil {
		return answer{}, err
	}
	active, err := h.activeRun(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	if active == 0 {
		return answer{}, conflict(run.CodeNotActive, "rule %s: no run is active", r.rule)
	}
	cancelled, err := h.Runs.Cancel(ctx, r.rule, active)
	if err != nil {
		return answer{}, err
	}
	return accepted(cancelled), nil
}

// approveDeletes lets go the deletes that the last run holds. With their number
// it does so only if they are as many, so that nobody approves more than was
// seen.
func (h *Handler) approveDeletes(ctx context.Context, r *request) (answer, error) {
	deletes := r.integer("deletes", 0, 1, maxDeletes)
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	a, err := h.enabled(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	approved, err := h.Runs.Approve(ctx, a, deletes)
	if err != nil {
		return h.unsent(ctx, approved, err)
	}
	return accepted(approved), nil
}

// enabled is the rule of this name if it may have runs: it is neither disabled
// nor paused.
func (h *Handler) enabled(ctx context.Context, name string) (*rule.Active, error) {
	c, stored, err := h.find(ctx, name)
	if err != nil {
		return nil, err
	}
	set, err := rule.Compile(c)
	if err != nil {
		return nil, err
	}
	switch a := set.Rule(name); {
	case a == nil:
		return nil, conflict(codeRuleDisabled, "rule %s is disabled in the configuration", name)
	case stored.Paused:
		return nil, conflict(run.CodePaused, "rule %s is paused: resume it first", name)
	default:
		return a, nil
	}
}

// activeRun is the id of the run under way, 0 for none.
func (h *Handler) activeRun(ctx context.Context, name string) (int64, error) {
	jobs, err := h.Store.Jobs(ctx, []string{name})
	return jobs[name].ActiveRun, err
}
