package adminapi

import (
	"context"
	"net/http"
	"time"

	"bucket-replicator/shared/object"
)

// day is how many hours are told, the one under way included.
const day = 24

// hoursBody is what was done for a rule in each of the last 24 hours, for a plot.
type hoursBody struct {
	Rule string `json:"rule"`
	// Approximate: a worker that died counts nothing, and work that is done
	// again counts again. The totals of runs are exact.
	Approximate bool `json:"approximate"`
	// Hours in UTC, oldest first, each of them there. The last is not over yet.
	Hours []hourBody `json:"hours"`
}

// hourBody is one hour, of events and of runs.
type hourBody struct {
	BeginsAt time.Time `json:"begins_at"`
	Copied   int64     `json:"objects_copied"`
	Bytes    int64     `json:"bytes_copied"`
	Deleted  int64     `json:"objects_deleted"`
	Failed   int64     `json:"failures"` // attempts that ended as a recorded failure
	Lag      *lagBody  `json:"lag"`      // null: no event's copy was counted
}

// lagBody is how long copies took from their event, in milliseconds. All but the
// mean are upper bounds, as the copies are counted in classes of lags; null:
// longer than an hour.
type lagBody struct {
	Objects int64  `json:"objects"`
	Mean    int64  `json:"mean_ms"`
	Half    *int64 `json:"p50_ms"`
	Most    *int64 `json:"p99_ms"`
	Max     *int64 `json:"max_ms"`
}

func (h *Handler) hours(ctx context.Context, r *request) (answer, error) {
	if _, err := h.known(ctx, r.rule); err != nil {
		return answer{}, err
	}
	first := h.Now().UTC().Truncate(time.Hour).Add(-(day - 1) * time.Hour)
	counted, err := h.Hours.Hours(ctx, r.rule, first)
	if err != nil {
		return answer{}, err
	}
	body := hoursBody{Rule: r.rule, Approximate: true, Hours: make([]hourBody, day)}
	for i := range body.Hours {
		body.Hours[i].BeginsAt = first.Add(time.Duration(i) * time.Hour)
	}
	for _, c := range counted {
		// A writer whose clock is ahead may have begun another hour already.
		if i := int(c.Begin.Sub(first) / time.Hour); i >= 0 && i < day {
			body.Hours[i] = hourBodyOf(c)
		}
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func hourBodyOf(h object.Hour) hourBody {
	b := hourBody{BeginsAt: h.Begin, Copied: h.Copied, Bytes: h.Bytes, Deleted: h.Deleted, Failed: h.Failed}
	if n := h.Lag.Count(); n > 0 {
		within := func(share float64) *int64 {
			bound, ok := h.Lag.Bound(share)
			if !ok {
				return nil
			}
			ms := bound.Milliseconds()
			return &ms
		}
		b.Lag = &lagBody{Objects: n, Mean: h.Lag.Mean().Milliseconds(), Half: within(0.5), Most: within(0.99), Max: within(1)}
	}
	return b
}
