package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/object"
)

// failureKey names a failure as the real ledger does: by the source's key.
type failureKey struct{ rule, sourceKey string }

// Fail replaces the failure of this rule and source, and counts its attempts.
func (l *Ledger) Fail(ctx context.Context, f object.Failure) error {
	return l.call(ctx, "ledger.fail", f.Source, func() error {
		if l.failures == nil {
			l.failures = map[failureKey]object.Failure{}
		}
		k := failureKey{f.Rule, f.Source.Key}
		f.Attempts = l.failures[k].Attempts + 1
		l.failures[k] = f
		return nil
	})
}

// Failure answers what is recorded of one source under a rule.
func (l *Ledger) Failure(ctx context.Context, ruleName string, source object.Ref) (object.Failure, bool, error) {
	var f object.Failure
	var ok bool
	err := l.call(ctx, "ledger.failure", source, func() error {
		f, ok = l.failures[failureKey{ruleName, source.Key}]
		return nil
	})
	if err != nil {
		return object.Failure{}, false, err
	}
	return f, ok, nil
}

// Failures lists up to limit failures of a rule, newest first; 0: all.
func (l *Ledger) Failures(ctx context.Context, ruleName string, limit int) ([]object.Failure, error) {
	var found []object.Failure
	err := l.call(ctx, "ledger.failures", object.Ref{}, func() error {
		found = l.failuresOf(ruleName)
		if limit > 0 {
			found = found[:min(len(found), limit)]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// FailurePage lists up to limit failures of a rule that come after a place,
// newest first.
func (l *Ledger) FailurePage(ctx context.Context, ruleName string, after object.FailurePlace, limit int) ([]object.Failure, error) {
	var found []object.Failure
	err := l.call(ctx, "ledger.failurePage", object.Ref{}, func() error {
		for _, f := range l.failuresOf(ruleName) {
			p := f.Place()
			if after.ID == "" || p.OccurredAt.Before(after.OccurredAt) || p.OccurredAt.Equal(after.OccurredAt) && p.ID > after.ID {
				found = append(found, f)
			}
		}
		found = found[:min(len(found), limit)]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// failuresOf lists a rule's failures, newest first.
func (l *Ledger) failuresOf(ruleName string) []object.Failure {
	var found []object.Failure
	for k, f := range l.failures {
		if k.rule == ruleName {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b object.Failure) int {
		return cmp.Or(b.OccurredAt.Compare(a.OccurredAt), cmp.Compare(a.ID(), b.ID()))
	})
	return found
}

// Due lists up to limit failures of a rule that are to be tried again by now,
// the longest due first; 0: all.
func (l *Ledger) Due(ctx context.Context, ruleName string, now time.Time, limit int) ([]object.Failure, error) {
	var found []object.Failure
	err := l.call(ctx, "ledger.due", object.Ref{}, func() error {
		for _, f := range l.failuresOf(ruleName) {
			if !f.RetryAt.IsZero() && !f.RetryAt.After(now) {
				found = append(found, f)
			}
		}
		slices.SortStableFunc(found, func(a, b object.Failure) int { return a.RetryAt.Compare(b.RetryAt) })
		if limit > 0 {
			found = found[:min(len(found), limit)]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Postpone puts the retry of a failure off, if it is still as f says.
func (l *Ledger) Postpone(ctx context.Context, f object.Failure, to time.Time) error {
	return l.call(ctx, "ledger.postpone", f.Source, func() error {
		k := failureKey{f.Rule, f.Source.Key}
		stored, ok := l.failures[k]
		if !ok || instant(stored.RetryAt) != instant(f.RetryAt) || instant(stored.OccurredAt) != instant(f.OccurredAt) {
			return premise("postpone", f.Source)
		}
		stored.RetryAt = to
		l.failures[k] = stored
		return nil
	})
}

// Healed removes the failure of one source.
func (l *Ledger) Healed(ctx context.Context, ruleName string, source object.Ref) error {
	return l.call(ctx, "ledger.healed", source, func() error {
		delete(l.failures, failureKey{ruleName, source.Key})
		return nil
	})
}

// Heal removes the failures of a rule that occurred before a time.
func (l *Ledger) Heal(ctx context.Context, ruleName string, before time.Time, damaged bool) error {
	return l.call(ctx, "ledger.heal", object.Ref{}, func() error {
		l.heal(ruleName, before, damaged)
		return nil
	})
}

func (l *Ledger) heal(ruleName string, before time.Time, damaged bool) {
	maps.DeleteFunc(l.failures, func(k failureKey, f object.Failure) bool {
		return k.rule == ruleName && f.OccurredAt.Before(before) && (f.Damaged.ETag == "" || damaged)
	})
}

// Trim removes all but the newest failures of a rule.
func (l *Ledger) Trim(ctx context.Context, ruleName string, keep int) (int, error) {
	removed := 0
	err := l.call(ctx, "ledger.trim", object.Ref{}, func() error {
		all := l.failuresOf(ruleName)
		for _, f := range all[min(len(all), max(keep, 0)):] {
			delete(l.failures, failureKey{ruleName, f.Source.Key})
			removed++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// AllFailures lists what was recorded, by rule and then source. It counts as no
// operation.
func (l *Ledger) AllFailures() []object.Failure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.failures), func(a, b object.Failure) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Source.String(), b.Source.String()))
	})
}
