package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Ledger is the ledger in memory: provenance, failures and rules, with the
// conditions of the real one. The zero value is empty and ready; what it has
// not been asked to hold costs nothing, so that a model checker can build one
// per state.
type Ledger struct {
	// Hook decides the fate of each operation; nil lets all of them run.
	Hook Hook
	// Stale says that an eventually consistent read of this address answers
	// what was there before the item's last change. Nil: never.
	Stale func(at object.Ref) bool

	mu       sync.Mutex
	items    map[object.Ref]object.Provenance
	previous map[object.Ref]object.Provenance // Revision 0: there was none
	failures map[failureKey]object.Failure
	deletes  map[string]int64       // by rule and hour
	hours    map[string]object.Hour // the same
	catalog  rule.Catalog

	capabilities map[object.Endpoint]object.Capabilities

	made   int64 // items so far, the forgotten ones too
	counts map[string]int
}

// failureKey names a failure as the real ledger does: by the source's key.
type failureKey struct{ rule, sourceKey string }

// call counts the operation and runs apply under the lock, as the hook
// allows.
func (l *Ledger) call(ctx context.Context, op string, ref object.Ref, apply func() error) error {
	if err := ctx.Err(); err != nil {
		return &object.Error{Class: object.Retryable, Op: op, Ref: ref, Code: "RequestCanceled", Err: err}
	}
	l.mu.Lock()
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[op]++
	l.mu.Unlock()
	return l.Hook.run(Call{Op: op, Ref: ref}, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		return apply()
	})
}

// Read answers the items at these addresses and the catalog's revision; it
// counts as one operation however many there are.
func (l *Ledger) Read(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error) {
	var ref object.Ref
	if len(at) == 1 {
		ref = at[0]
	}
	var found map[object.Ref]object.Provenance
	var revision int64
	err := l.call(ctx, "ledger.read", ref, func() error {
		found = make(map[object.Ref]object.Provenance, len(at))
		for _, r := range at {
			p, ok := l.items[r]
			if !consistent && l.Stale != nil && l.Stale(r) {
				if old, changed := l.previous[r]; changed {
					p, ok = old, old.Revision != 0
				}
			}
			if ok {
				found[r] = p
			}
		}
		revision = l.catalog.Revision
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return found, revision, nil
}

// Put replaces the revision p names. What is stored already is stored: repeating
// a Put whose answer was lost succeeds while nothing else came after it. An item
// that is made anew begins at a revision that the address never had.
func (l *Ledger) Put(ctx context.Context, at object.Ref, p object.Provenance) (int64, error) {
	var revision int64
	err := l.call(ctx, "ledger.put", at, func() error {
		stored := l.items[at]
		if stored.Revision != p.Revision {
			if (p.Revision == 0 || stored.Revision == p.Revision+1) && sameContent(stored, p) {
				revision = stored.Revision
				return nil
			}
			return premise("record", at)
		}
		if p.Revision++; p.Revision == 1 {
			p.Revision = l.made<<20 + 1
			l.made++
		}
		p.Origin.Chain = slices.Clone(p.Origin.Chain)
		p.Pending.Origin.Chain = slices.Clone(p.Pending.Origin.Chain)
		l.set(at, p)
		revision = p.Revision
		return nil
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// sameContent compares all but the revision. Times are compared as instants.
func sameContent(a, b object.Provenance) bool {
	a.Revision, b.Revision = 0, 0
	return fingerprint(a) == fingerprint(b)
}

// Forget removes the item at this revision.
func (l *Ledger) Forget(ctx context.Context, at object.Ref, revision int64) error {
	return l.call(ctx, "ledger.forget", at, func() error {
		stored, ok := l.items[at]
		if !ok {
			return nil
		}
		if stored.Revision != revision {
			return premise("forget", at)
		}
		l.set(at, object.Provenance{})
		return nil
	})
}

// set stores p, or removes the item where p has no revision, and remembers
// what was there for stale reads.
func (l *Ledger) set(at object.Ref, p object.Provenance) {
	if l.items == nil {
		l.items = map[object.Ref]object.Provenance{}
		l.previous = map[object.Ref]object.Provenance{}
	}
	l.previous[at] = l.items[at]
	if p.Revision == 0 {
		delete(l.items, at)
		return
	}
	l.items[at] = p
}

func premise(op string, at object.Ref) error {
	return &object.Error{
		Class: object.Premise, Op: op, Ref: at,
		Code: "ConditionalCheckFailedException", Err: errors.New("the conditional request failed"),
	}
}

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
func (l *Ledger) Heal(ctx context.Context, ruleName string, before time.Time) error {
	return l.call(ctx, "ledger.heal", object.Ref{}, func() error {
		l.heal(ruleName, before)
		return nil
	})
}

func (l *Ledger) heal(ruleName string, before time.Time) {
	maps.DeleteFunc(l.failures, func(k failureKey, f object.Failure) bool {
		return k.rule == ruleName && f.OccurredAt.Before(before)
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

// Catalog answers the rules.
func (l *Ledger) Catalog(ctx context.Context) (rule.Catalog, error) {
	var c rule.Catalog
	err := l.call(ctx, "catalog.read", object.Ref{}, func() error {
		c = l.catalog
		c.Rules = slices.Clone(c.Rules)
		return nil
	})
	if err != nil {
		return rule.Catalog{}, err
	}
	return c, nil
}

// SetCatalog replaces storage and rules at the next revision, which it
// returns. It counts as no operation.
func (l *Ledger) SetCatalog(c rule.Catalog) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Revision = l.catalog.Revision + 1
	l.catalog = c
	return c.Revision
}

// SetPaused changes a rule's pause state, which is no part of its revision.
func (l *Ledger) SetPaused(ctx context.Context, name string, paused bool) error {
	return l.call(ctx, "catalog.pause", object.Ref{}, func() error {
		rules := slices.Clone(l.catalog.Rules)
		i := slices.IndexFunc(rules, func(s rule.Stored) bool { return s.Rule.Name == name })
		if i < 0 {
			return &object.Error{Class: object.Permanent, Op: "pause rule " + name, Code: "RuleNotFound", Err: errors.New("there is no rule of this name")}
		}
		if rules[i].Paused == paused {
			return nil
		}
		rules[i].Paused = paused
		l.catalog.Rules = rules
		l.catalog.Revision++
		return nil
	})
}

// PutRule stores a rule of the API, as its conditions allow.
func (l *Ledger) PutRule(ctx context.Context, r rule.Rule, seen, catalog int64, now time.Time) (int64, error) {
	err := l.call(ctx, "catalog.put", object.Ref{}, func() error {
		rules := slices.Clone(l.catalog.Rules)
		i := slices.IndexFunc(rules, func(s rule.Stored) bool { return s.Rule.Name == r.Name })
		switch {
		case l.catalog.Revision != catalog, (i >= 0) != (seen != 0), i >= 0 && (rules[i].Deployed || rules[i].Revision != seen):
			return premise("store rule", object.Ref{})
		case i >= 0:
			rules[i].Rule, rules[i].Revision = r, catalog+1
		default:
			rules = append(rules, rule.Stored{Rule: r, Revision: catalog + 1, CreatedAt: now})
		}
		slices.SortFunc(rules, func(a, b rule.Stored) int { return cmp.Compare(a.Rule.Name, b.Rule.Name) })
		l.catalog.Rules = rules
		l.catalog.Revision++
		return nil
	})
	if err != nil {
		return 0, err
	}
	return catalog + 1, nil
}

// RemoveRule removes a rule of the API, as its conditions allow.
func (l *Ledger) RemoveRule(ctx context.Context, name string, seen, catalog int64) error {
	return l.call(ctx, "catalog.remove", object.Ref{}, func() error {
		i := slices.IndexFunc(l.catalog.Rules, func(s rule.Stored) bool { return s.Rule.Name == name })
		if l.catalog.Revision != catalog || i < 0 || l.catalog.Rules[i].Deployed || l.catalog.Rules[i].Revision != seen {
			return premise("remove rule", object.Ref{})
		}
		l.catalog.Rules = slices.Delete(slices.Clone(l.catalog.Rules), i, i+1)
		l.catalog.Revision++
		return nil
	})
}

// Deploy makes the deployed rules those of the configuration. Rules made
// through the API stay, and no pause state changes.
func (l *Ledger) Deploy(ctx context.Context, c rule.Config, now time.Time) error {
	return l.call(ctx, "catalog.deploy", object.Ref{}, func() error {
		stored := map[string]rule.Stored{}
		for _, s := range l.catalog.Rules {
			stored[s.Rule.Name] = s
		}
		var next []rule.Stored
		var problems []error
		for _, r := range c.Storage.Replication.Rules {
			s, ok := stored[r.Name]
			delete(stored, r.Name)
			switch {
			case !ok:
				s = rule.Stored{Rule: r, Revision: 1, Deployed: true, CreatedAt: now}
			case !s.Deployed:
				problems = append(problems, fmt.Errorf("rule %q: made through the API", r.Name))
			case !reflect.DeepEqual(s.Rule, r):
				s.Rule = r
				s.Revision++
			}
			next = append(next, s)
		}
		if len(problems) > 0 {
			return &object.Error{Class: object.Permanent, Op: "deploy rules", Code: "RuleExists", Err: errors.Join(problems...)}
		}
		for _, s := range stored {
			if s.Deployed {
				continue
			}
			for _, alias := range []string{s.Rule.Source.Bucket, s.Rule.Destination.Bucket} {
				if _, ok := c.Storage.Buckets[alias]; !ok {
					return &object.Error{Class: object.Permanent, Op: "deploy rules", Code: "BucketInUse", Err: fmt.Errorf("rule %q: bucket %q", s.Rule.Name, alias)}
				}
			}
			next = append(next, s)
		}
		slices.SortFunc(next, func(a, b rule.Stored) int { return cmp.Compare(a.Rule.Name, b.Rule.Name) })
		storage := c.Storage
		storage.Replication.Rules = nil
		if l.catalog.Revision > 0 && reflect.DeepEqual(next, l.catalog.Rules) && reflect.DeepEqual(storage, l.catalog.Storage) {
			return nil
		}
		l.catalog = rule.Catalog{Revision: l.catalog.Revision + 1, Storage: storage, Rules: next}
		return nil
	})
}

// Item is the provenance at an address, Revision 0 where there is none. It
// counts as no operation.
func (l *Ledger) Item(at object.Ref) object.Provenance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.items[at]
}

// Items is a copy of all provenance. It counts as no operation.
func (l *Ledger) Items() map[object.Ref]object.Provenance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.items)
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

// Counts says how often each operation was called, by the names of Call.Op,
// whatever became of it.
func (l *Ledger) Counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counts)
}

// Fingerprint is equal for two ledgers that no later call can tell apart. It
// does not cover counts.
func (l *Ledger) Fingerprint() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := make([]string, 0, len(l.items)+len(l.failures)+1)
	for at, p := range l.items {
		lines = append(lines, at.String()+" "+fingerprint(p))
	}
	if l.Stale != nil {
		for at, p := range l.previous {
			lines = append(lines, "before "+at.String()+" "+fingerprint(p))
		}
	}
	for k, f := range l.failures {
		lines = append(lines, fmt.Sprintf("failure %s %q %s %d %d", k.rule, k.sourceKey, f.Code, f.Attempts, f.Run))
	}
	for k, n := range l.deletes {
		lines = append(lines, fmt.Sprintf("deletes %s %d", k, n))
	}
	for k, h := range l.hours {
		lines = append(lines, fmt.Sprintf("hour %s %+v", k, h))
	}
	slices.Sort(lines)
	return fmt.Sprintf("catalog %d\n%s", l.catalog.Revision, strings.Join(lines, "\n"))
}

func fingerprint(p object.Provenance) string {
	s, d, n := p.Source, p.Dest, p.Pending
	return fmt.Sprintf("%d %q %d S[%q %d %q %q %q] D[%q %d %q] %s %t P[%q %d %q %s]",
		p.Revision, p.Rule, p.Run,
		s.ETag, instant(s.LastModified), s.VersionID, s.Sequencer, s.RequestID,
		d.ETag, instant(d.LastModified), d.VersionID,
		fingerprintOrigin(p.Origin), p.Expired,
		n.Holder, instant(n.Since), n.ETag, fingerprintOrigin(n.Origin))
}

func fingerprintOrigin(o object.Origin) string {
	return fmt.Sprintf("O[%q %d %q]", o.Ref.String(), instant(o.LastModified), o.Chain)
}

// instant is the time in milliseconds, the ledger's precision; 0 for none.
func instant(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
