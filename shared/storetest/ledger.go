package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

	calls

	items    map[object.Ref]object.Provenance
	previous map[object.Ref]object.Provenance // Revision 0: there was none
	failures map[failureKey]object.Failure
	deletes  map[string]int64       // by rule and hour
	hours    map[string]object.Hour // the same
	catalog  rule.Catalog

	capabilities map[object.Endpoint]object.Capabilities

	made int64 // items so far, the forgotten ones too
}

func (l *Ledger) call(ctx context.Context, op string, ref object.Ref, apply func() error) error {
	return l.calls.call(ctx, l.Hook, Call{Op: op, Ref: ref}, apply)
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
