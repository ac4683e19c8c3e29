package storetest

import (
	"context"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"
)

// CountDeletes adds n to a rule's deletes of the hour and answers their sum.
func (l *Ledger) CountDeletes(ctx context.Context, ruleName string, hour time.Time, n int) (int64, error) {
	var sum int64
	err := l.call(ctx, "ledger.deletes", object.Ref{}, func() error {
		if l.deletes == nil {
			l.deletes = map[string]int64{}
		}
		k := hourKey(ruleName, hour)
		l.deletes[k] += int64(n)
		sum = l.deletes[k]
		return nil
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

func hourKey(ruleName string, t time.Time) string {
	return ruleName + " " + t.UTC().Truncate(time.Hour).Format(time.RFC3339)
}

// CountHour adds what was done to a rule's hour.
func (l *Ledger) CountHour(ctx context.Context, ruleName string, h object.Hour) error {
	return l.call(ctx, "ledger.count", object.Ref{}, func() error {
		if l.hours == nil {
			l.hours = map[string]object.Hour{}
		}
		k := hourKey(ruleName, h.Begin)
		sum := l.hours[k]
		sum.Begin = h.Begin.UTC().Truncate(time.Hour)
		sum.Copied += h.Copied
		sum.Bytes += h.Bytes
		sum.Deleted += h.Deleted
		sum.Failed += h.Failed
		sum.Lag.Sum += h.Lag.Sum.Truncate(time.Millisecond)
		for i, n := range h.Lag.Within {
			sum.Lag.Within[i] += n
		}
		l.hours[k] = sum
		return nil
	})
}

// Hours lists a rule's hours that begin at from or later, oldest first.
func (l *Ledger) Hours(ctx context.Context, ruleName string, from time.Time) ([]object.Hour, error) {
	var found []object.Hour
	err := l.call(ctx, "ledger.hours", object.Ref{}, func() error {
		for k, h := range l.hours {
			if strings.HasPrefix(k, ruleName+" ") && k >= hourKey(ruleName, from) && h.Counted() {
				found = append(found, h)
			}
		}
		slices.SortFunc(found, func(a, b object.Hour) int { return a.Begin.Compare(b.Begin) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
