package replicate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
)

// mutations each take one rule of how provenance is kept away,
// at the ports of a worker. The model must then find a history that breaks; a
// rule without which nothing breaks is not needed, and has no place in the code.
var mutations = []struct {
	rule     string // what is no longer true
	scenario *scenario
	mutate   func(ports) ports
}{
	{"a copy proves that the destination is what was assumed", &mirror, loosening(func(l *loose) { l.copyDest = true })},
	{"a copy proves that the source is what was decided on", &versionedMirror, loosening(func(l *loose) { l.copySource = true })},
	{"a delete takes only what was looked at", &sharedMirror, loosening(func(l *loose) { l.delete = true })},
	{"the ledger is written after the copy, from its response", &mirror, func(p ports) ports {
		return p.objectsWith(func(o *mutant) {
			o.copy = func(ctx context.Context, c object.Copy) (object.Copied, error) {
				foretold := p.w.ledger.Item(c.To)
				foretold.Rule = "a-b"
				foretold.Dest = object.Dest{ETag: c.SourceETag, LastModified: p.w.clock}
				if _, err := p.Ledger.Put(ctx, c.To, foretold); err != nil {
					return object.Copied{}, err
				}
				return p.Objects.Copy(ctx, c)
			}
		})
	}},
	{"a recording replaces only what was read", &rewrittenMirror, loosening(func(l *loose) { l.put = true })},
	{"the note of a tagging replaces only what was read", &calmTagged, loosening(func(l *loose) { l.put = true })},
	{"forgetting takes only what was read", &calmMirror, loosening(func(l *loose) { l.forget = true })},
	{"ours has the time of our write", &mirror, func(p ports) ports {
		return p.reading(func(_ object.Ref, item *object.Provenance) { item.Dest.LastModified = time.Time{} })
	}},
	{"a look reads the ledger first and the source last", &calmMirror, func(p ports) ports {
		seen := map[object.Ref]object.State{}
		backwards := p.ledgerWith(func(l *mutant) {
			l.read = func(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error) {
				if len(at) == 1 && consistent {
					for _, r := range []object.Ref{ref("a"), at[0]} {
						s, err := p.Objects.Head(ctx, r, false)
						if err != nil {
							return nil, 0, err
						}
						seen[r] = s
					}
				}
				return p.Ledger.Read(ctx, at, consistent)
			}
		})
		return backwards.objectsWith(func(o *mutant) {
			o.head = func(_ context.Context, at object.Ref, _ bool) (object.State, error) { return seen[at], nil }
		})
	}},
	{"a look reads the source's item after the source", &calmPair, func(p ports) ports {
		early := map[object.Ref]object.Provenance{}
		return p.ledgerWith(func(l *mutant) {
			l.read = func(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error) {
				if len(at) != 1 {
					return p.Ledger.Read(ctx, at, consistent)
				}
				if item, ok := early[at[0]]; ok {
					clear(early)
					return map[object.Ref]object.Provenance{at[0]: item}, 0, nil
				}
				other := ref("a")
				if at[0] == other {
					other = ref("b")
				}
				items, revision, err := p.Ledger.Read(ctx, []object.Ref{at[0], other}, true)
				early[other] = items[other]
				return items, revision, err
			}
		})
	}},
	{"a message waits once for a recording under way", &calmMirror, func(p ports) ports {
		p.patient = true
		return p
	}},
	{"a lease goes ahead of a copy into a source", &calmPair, func(p ports) ports {
		return p.ledgerWith(func(l *mutant) {
			l.put = func(ctx context.Context, at object.Ref, item object.Provenance) (int64, error) {
				if item.Pending.Holder != "" {
					return item.Revision, nil
				}
				return p.Ledger.Put(ctx, at, item)
			}
		})
	}},
	{"one steps back from another's young lease", &calmPair, func(p ports) ports {
		return p.reading(func(at object.Ref, item *object.Provenance) {
			for _, k := range p.w.workers {
				if k != nil && item.Pending.Holder != "" {
					item.Pending.Holder = k.id + "#0" // as if it were one's own
				}
			}
		})
	}},
	{"a lease that matches explains an echo", &ring, func(p ports) ports {
		return p.reading(func(_ object.Ref, item *object.Provenance) { item.Pending.ETag = "nothing" })
	}},
	{"a lease that matches owns nothing", &pair, func(p ports) ports {
		return p.reading(func(at object.Ref, item *object.Provenance) {
			found, ok := p.w.objects.Get(at)
			if item.Pending.Explains(found.State, leaseTTL) && ok && !item.Landed() {
				item.Rule = "a-b"
				item.Source.ETag, item.Source.LastModified = item.Pending.ETag, item.Pending.Since
				item.Dest = object.Dest{ETag: found.State.ETag, LastModified: found.State.LastModified}
				item.Origin = item.Pending.Origin
			}
		})
	}},
	{"a lease runs out", &pair, func(p ports) ports {
		p.ttl = 1_000_000 * time.Second
		return p
	}},
	{"a lease is given back by every ending but a crash", &pair, func(p ports) ports {
		leased := map[object.Ref]bool{}
		return p.ledgerWith(func(l *mutant) {
			l.put = func(ctx context.Context, at object.Ref, item object.Provenance) (int64, error) {
				if item.Pending.Holder == "" && leased[at] && !p.w.history[written{at, item.Dest}].ours {
					return item.Revision, nil
				}
				leased[at] = leased[at] || item.Pending.Holder != ""
				return p.Ledger.Put(ctx, at, item)
			}
			l.forget = func(ctx context.Context, at object.Ref, revision int64) error {
				if leased[at] {
					return nil
				}
				return p.Ledger.Forget(ctx, at, revision)
			}
		})
	}},
	{"what passed a bucket does not come back", &calmPair, func(p ports) ports {
		return p.reading(func(_ object.Ref, item *object.Provenance) {
			item.Origin.Chain, item.Pending.Origin.Chain = nil, nil
		})
	}},
	{"the times compared are those at which people wrote", &ring, func(p ports) ports {
		return p.reading(func(_ object.Ref, item *object.Provenance) {
			item.Origin.LastModified = item.Dest.LastModified
		})
	}},
}

// statesPerMutation suffices for each of them, with some to spare.
const statesPerMutation = 6_000

// TestEveryRuleIsNeeded runs the model with each mutation.
func TestEveryRuleIsNeeded(t *testing.T) {
	for _, m := range mutations {
		t.Run("without: "+m.rule, func(t *testing.T) {
			t.Parallel()
			found := search(m.scenario, m.mutate, statesPerMutation)
			if found.violation == "" {
				t.Fatalf("no history breaks: %s", found)
			}
			t.Logf("%s, after %d states: %s", found.violation, found.states, strings.Join(found.path, ", "))
		})
	}
}

// loosening takes conditions away at the stores, where they are enforced.
func loosening(change func(*loose)) func(ports) ports {
	return func(p ports) ports {
		change(&p.w.loose)
		return p
	}
}

// mutant replaces single calls of a worker's ports.
type mutant struct {
	replicate.Objects
	replicate.Ledger
	head   func(context.Context, object.Ref, bool) (object.State, error)
	copy   func(context.Context, object.Copy) (object.Copied, error)
	delete func(context.Context, object.Ref, string) error
	read   func(context.Context, []object.Ref, bool) (map[object.Ref]object.Provenance, int64, error)
	put    func(context.Context, object.Ref, object.Provenance) (int64, error)
	forget func(context.Context, object.Ref, int64) error
}

func (m *mutant) Head(ctx context.Context, at object.Ref, tags bool) (object.State, error) {
	return m.head(ctx, at, tags)
}

func (m *mutant) Copy(ctx context.Context, c object.Copy) (object.Copied, error) {
	return m.copy(ctx, c)
}

func (m *mutant) Delete(ctx context.Context, at object.Ref, etag string) error {
	return m.delete(ctx, at, etag)
}

func (m *mutant) Read(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error) {
	return m.read(ctx, at, consistent)
}

func (m *mutant) Put(ctx context.Context, at object.Ref, p object.Provenance) (int64, error) {
	return m.put(ctx, at, p)
}

func (m *mutant) Forget(ctx context.Context, at object.Ref, revision int64) error {
	return m.forget(ctx, at, revision)
}

// Fail is of both embedded ports' making, and never mutated.
func (m *mutant) Fail(ctx context.Context, f object.Failure) error { return m.Ledger.Fail(ctx, f) }

func (p ports) mutant() *mutant {
	return &mutant{
		Objects: p.Objects, Ledger: p.Ledger,
		head: p.Objects.Head, copy: p.Objects.Copy, delete: p.Objects.Delete,
		read: p.Ledger.Read, put: p.Ledger.Put, forget: p.Ledger.Forget,
	}
}

func (p ports) objectsWith(change func(*mutant)) ports {
	m := p.mutant()
	change(m)
	p.Objects = m
	return p
}

func (p ports) ledgerWith(change func(*mutant)) ports {
	m := p.mutant()
	change(m)
	p.Ledger = m
	return p
}

// reading changes every item that is read.
func (p ports) reading(change func(object.Ref, *object.Provenance)) ports {
	return p.ledgerWith(func(m *mutant) {
		m.read = func(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error) {
			items, revision, err := p.Ledger.Read(ctx, at, consistent)
			for r, item := range items {
				change(r, &item)
				items[r] = item
			}
			return items, revision, err
		}
	})
}
