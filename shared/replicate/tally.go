package replicate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"bucket-replicator/shared/object"
)

// tallyTime bounds the writing of a tally: nobody waits long for a plot.
const tallyTime = 2 * time.Second

// Tally is what one invocation did, by rule. It goes to the ledger in one write
// per rule, and none where nothing was done.
type Tally map[string]object.Hour

// Hours counts what was done for a rule.
type Hours interface {
	CountHour(ctx context.Context, rule string, h object.Hour) error
}

func (t Tally) add(o Outcome) {
	h := t[o.Rule]
	switch o.Result {
	case Copied:
		h.Copied++
		h.Bytes += o.Bytes
		if o.Latency > 0 {
			h.Lag.Observe(o.Latency)
		}
	case Deleted:
		h.Deleted++
	case Failed:
		h.Failed++
	default:
		return
	}
	t[o.Rule] = h
}

// TallyOf is what one outcome adds up to.
func TallyOf(o Outcome) Tally {
	t := Tally{}
	t.add(o)
	return t
}

// Write counts in the hour of now. What cannot be counted is logged and nothing
// else: the work is done, and to do it again would count it twice.
func (t Tally) Write(ctx context.Context, hours Hours, now time.Time, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, tallyTime)
	defer cancel()
	var writes sync.WaitGroup
	for rule, h := range t {
		if !h.Counted() {
			continue
		}
		h.Begin = now.UTC().Truncate(time.Hour)
		writes.Go(func() {
			if err := hours.CountHour(ctx, rule, h); err != nil {
				log.WarnContext(ctx, "not counted", "rule", rule, "error", err)
			}
		})
	}
	writes.Wait()
}
