package storetest

import (
	"context"
	"maps"
	"time"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
)

// Limits is a fake of what the workers of a rule share of its limits, in memory.
// The zero value is empty.
type Limits struct {
	// Hook decides the fate of "limits.draw" and "limits.swap"; nil lets both run.
	Hook Hook

	calls

	until  map[string]time.Time
	claims map[string]limit.Claims
}

// Draw reserves the next span of a rule's time.
func (l *Limits) Draw(ctx context.Context, rule string, span time.Duration, now, latest time.Time) (from time.Time, drawn bool, err error) {
	err = l.call(ctx, "limits.draw", rule, func() {
		from = now.Add(-limit.Burst)
		if until := l.until[rule]; !until.Before(from) {
			from = until
		} else {
			l.counts["limits.draw"]++ // a table takes another write to begin anew
		}
		if drawn = !from.After(latest); drawn {
			if l.until == nil {
				l.until = map[string]time.Time{}
			}
			l.until[rule] = from.Add(span)
		}
	})
	return from, drawn && err == nil, err
}

// Swap replaces the claims on a rule's places, if they still are those seen.
func (l *Limits) Swap(ctx context.Context, rule string, seen, next limit.Claims) (now limit.Claims, swapped bool, err error) {
	err = l.call(ctx, "limits.swap", rule, func() {
		if swapped = maps.Equal(l.claims[rule], seen); swapped {
			if l.claims == nil {
				l.claims = map[string]limit.Claims{}
			}
			l.claims[rule] = maps.Clone(next)
		}
		now = maps.Clone(l.claims[rule])
	})
	return now, swapped && err == nil, err
}

func (l *Limits) call(ctx context.Context, op, rule string, apply func()) error {
	return l.calls.call(ctx, l.Hook, Call{Op: op, Ref: object.Ref{Key: rule}}, func() error {
		apply()
		return nil
	})
}
