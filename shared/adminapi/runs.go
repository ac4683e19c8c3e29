package adminapi

import (
	"context"
	"net/http"
	"time"

	"bucket-replicator/shared/run"
)

const (
	// patience is how long run-now waits for the end of the run: API Gateway
	// gives up after 29 seconds.
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
	patience = 20 * time.Second
	// reserve is kept before the function's deadline for the answer.
	reserve = 3 * time.Second
	// firstLook at the run comes so soon, the next ones after twice as long
	// each, up to lastLook.
	firstLook = 250 * time.Millisecond
	lastLook  = time.Second

	defaultLimit = 20
	maxRuns      = 100
	maxFailures  = 1000
)

// runBody is a run; the totals of one under way are those so far.
type runBody struct {
	RunID   int64     `json:"run_id"`
	Status  run.State `json:"status"`
	Scanned int64     `json:"objects_scanned"` // keys that either side has
	Copied  int64     `json:"objects_copied"`
	Skipped int64     `json:"objects_skipped"`
	Deleted int64     `json:"objects_deleted"`
	Bytes   int64     `json:"bytes_copied"`
	Errors  int64     `json:"errors"` // objects that failed

	Trigger   run.Trigger      `json:"trigger"`
	Existing  bool             `json:"existing"`
	Adopt     bool             `json:"adopt"`
	Compare   *run.Mode        `json:"compare"` // null: it does not
	StartedAt *time.Time       `json:"started_at"`
	EndedAt   *time.Time       `json:"ended_at"` // null: under way
	ByReason  map[string]int64 `json:"skipped_by_reason"`
	// DeletesHeld wait for an approval; DeletesSample are some of them.
	DeletesHeld   int64     `json:"deletes_held,omitempty"`
	DeletesSample []destKey `json:"deletes_sample,omitempty"`
	Error         *string   `json:"error"` // why it failed
	// LargeObjects that it found and that are under way still.
	LargeObjects *largeObjectsBody `json:"large_objects,omitempty"`
}

func bodyOf(r run.Run) runBody {
	b := runBody{
		RunID: r.ID, Status: r.State,
		Scanned: r.Scanned, Copied: r.Copied, Skipped: r.SkippedSum(), Deleted: r.Deleted, Bytes: r.Bytes, Errors: r.Errors,
		Trigger: r.Trigger, Existing: r.Existing, Adopt: r.Adopt, StartedAt: instant(r.StartedAt), EndedAt: instant(r.EndedAt),
		ByReason: r.Totals.Skipped,
	}
	if r.Compare != "" {
		b.Compare = &r.Compare
	}
	if b.ByReason == nil {
		b.ByReason = map[string]int64{}
	}
	if r.State == run.DeletesHeld {
		b.DeletesHeld = r.Held
		for _, key := range r.Sample {
			b.DeletesSample = append(b.DeletesSample, destKeyOf(key))
		}
	}
	if r.Error != "" {
		b.Error = &r.Error
	}
	return b
}

// accepted is the answer with a run that goes on, or was made to stop.
func accepted(r run.Run) answer { return answer{status: http.StatusAccepted, body: bodyOf(r)} }

type runsBody struct {
	Runs []runBody `json:"runs"`
	// NextCursor asks for the page that follows; null: there is none.
	NextCursor *string `json:"next_cursor"`
}

func (h *Handler) runs(ctx context.Context, r *request) (answer, error) {
	limit := int(r.integer("limit", defaultLimit, 1, maxRuns))
	before := r.cursor("cursor")
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	stored, err := h.known(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	runs, err := h.Store.Runs(ctx, r.rule, before, limit+1)
	if err != nil {
		return answer{}, err
	}
	page := runsBody{Runs: []runBody{}}
	if len(runs) > limit {
		runs = runs[:limit]
		next := cursor(runs[limit-1].ID)
		page.NextCursor = &next
	}
	if err := h.progress(ctx, runs); err != nil {
		return answer{}, err
	}
	large, err := h.moving(ctx)
	if err != nil {
		return answer{}, err
	}
	for _, r := range runs {
		b := bodyOf(r)
		b.LargeObjects = large.sum(r.Rule, r.ID, stored.Paused, h.Now())
		page.Runs = append(page.Runs, b)
	}
	return answer{status: http.StatusOK, body: page}, nil
}

// runNow starts a run and waits for its end for a while. A run that cannot get
// its first ticket now gets it from the schedule, and nobody waits for that.
func (h *Handler) runNow(ctx context.Context, r *request) (answer, error) {
	asked := run.Asked{
		Existing: r.boolean("existing"), Adopt: r.boolean("adopt"), Compare: run.Mode(r.word("compare", "", texts(run.Modes))),
	}
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	a, err := h.enabled(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	begun, err := h.Runs.Start(ctx, a, run.ByRunNow, asked)
	if err != nil {
		return h.unsent(ctx, begun, err)
	}
	last := h.await(ctx, begun)
	if last.State.Active() {
		return accepted(last), nil
	}
	return answer{status: http.StatusOK, body: bodyOf(last)}, nil
}

// unsent is the answer where a run was to begin, or to go on, and err came of
// it: if only the tickets could not be sent, it did all the same.
func (h *Handler) unsent(ctx context.Context, begun run.Run, err error) (answer, error) {
	if begun.ID == 0 {
		return answer{}, err
	}
	h.Log.WarnContext(ctx, "tickets not sent: the schedule will", "rule", begun.Rule, "run", begun.ID, "error", err)
	return accepted(begun), nil
}

// until is when something that may take so long is given up, so that there is
// time left to answer.
func (h *Handler) until(ctx context.Context, d time.Duration) time.Time {
	until := h.Now().Add(d)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-reserve).Before(until) {
		until = deadline.Add(-reserve)
	}
	return until
}

// await looks at a run until it ends or patience does, and answers what it saw
// last. The run goes on whatever happens here, so that is no error.
func (h *Handler) await(ctx context.Context, begun run.Run) run.Run {
	until := h.until(ctx, patience)
	last := begun
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		left := until.Sub(h.Now())
		if left <= 0 || h.Sleep(ctx, min(pause, left)) != nil {
			break
		}
		now, err := h.Store.Run(ctx, begun.Rule, begun.ID)
		if err != nil {
			h.Log.WarnContext(ctx, "look at run", "rule", begun.Rule, "run", begun.ID, "error", err)
			continue
		}
		if last = now; !last.State.Active() {
			return last
		}
	}
	now, err := h.Runs.Progress(ctx, last)
	if err != nil {
		h.Log.WarnContext(ctx, "look at run", "rule", begun.Rule, "run", begun.ID, "error", err)
		return last
	}
	return now
}
