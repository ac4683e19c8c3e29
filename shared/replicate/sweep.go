package replicate

import (
	"context"
	"errors"
	"sync"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// ErrRulesChanged says that a sweep goes by rules that are no longer the ones.
var ErrRulesChanged = errors.New("the rules changed meanwhile")

// Sighting is one key of a rule, as completed listings of both sides show it.
type Sighting struct {
	Match  rule.Match
	Source object.Ref
	// From and To are the two sides, each Present or Absent.
	From, To object.State
	// Damaged: a comparison showed that To is not what From is, whatever their
	// tags and times say.
	Damaged bool
}

// Sweep brings the objects up to date that a walk over a rule's keys came by.
type Sweep struct {
	Replicator *Replicator
	Rules      *rule.Set
	Revision   int64 // of the rules
	Rule       *rule.Active
	Run        int64
	// Holder and Attempt name the holder of a lease. Another attempt of the
	// same holder is not held up by what this one leaves behind.
	Holder  string
	Attempt int
	// Suspicious takes no listing's word: every object is looked at.
	Suspicious bool
	// Adopt takes over what another replication left at the destination.
	Adopt bool
	// Dry carries nothing out: the outcomes are what would be done, as far as
	// it is known without trying.
	Dry bool
	// Slots bounds how many objects are worked on at a time, over all that
	// share it.
	Slots chan struct{}
}

// sight is what a sweep's task has in place of an event.
type sight struct {
	from, to   object.State
	run        int64
	suspicious bool
	deletes    bool
	adopt      bool
	dry        bool
	damaged    object.Dest // zero: nothing is
}

// Settle reads the ledger once for all sightings and brings their destinations
// up to date. With deletes, candidates are looked at once more and deleted;
// without, they are only told. The outcomes come in the order of the sightings.
//
// An object that this run copied or adopted already counts as that: its worker
// died before it could say so.
//
// An error means that nothing was tried: the ledger could not be read, the
// rules are outdated (ErrRulesChanged), or the context ended first.
func (s Sweep) Settle(ctx context.Context, seen []Sighting, deletes bool) ([]Outcome, error) {
	chained := s.Rules.IsDestination(s.Rule.SourceBucket)
	at := make([]object.Ref, 0, 2*len(seen))
	for _, o := range seen {
		if at = append(at, o.Match.Dest); chained {
			at = append(at, o.Source)
		}
	}
	// The source may be a replica: then what explains it must not be missed.
	items, revision, err := s.Replicator.ledger.Read(ctx, at, chained)
	if err != nil {
		return nil, err
	}
	if revision != s.Revision {
		return nil, ErrRulesChanged
	}
	outcomes := make([]Outcome, len(seen))
	var group sync.WaitGroup
	defer group.Wait()
	for i, o := range seen {
		select {
		case s.Slots <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		group.Go(func() {
			defer func() { <-s.Slots }()
			outcomes[i] = s.settle(ctx, o, items[o.Match.Dest], items[o.Source], deletes)
		})
	}
	group.Wait()
	return outcomes, nil
}

func (s Sweep) settle(ctx context.Context, o Sighting, base, sourceBase object.Provenance, deletes bool) Outcome {
	t := &task{
		Replicator: s.Replicator, rules: s.Rules, match: o.Match,
		change:  object.Change{Ref: o.Source},
		message: s.Holder, delivery: s.Attempt, patient: true,
		sight: &sight{from: o.From, to: o.To, run: s.Run, suspicious: s.Suspicious, deletes: deletes, adopt: s.Adopt, dry: s.Dry},
	}
	if o.Damaged {
		t.sight.damaged = object.DestOf(o.To)
	}
	outcome := t.guarded(ctx, base, sourceBase, true)
	if outcome.Reason == decide.InSync && !s.Dry && base.Run == s.Run && base.Rule == o.Match.Rule.Name {
		if base.Adopted {
			outcome.Reason = decide.Adopted
			return outcome
		}
		outcome.Result, outcome.Reason, outcome.Bytes = Copied, decide.Missing, o.From.Size
	}
	return outcome
}

// trusted fills in both sides as they were listed. It reports false where that
// is not enough to decide: the rule asks for more than a listing has; a lease
// says that the destination is not settled; our last copy is not what is listed,
// so a marker may hide it or the listing may be older; a delete marker may be
// what hides the source; or what another replication left is to be adopted, if
// this is that.
func (s *sight) trusted(in *decide.Input, needsTags bool) bool {
	in.Source, in.Dest = s.from, s.to
	if s.suspicious || in.Base.Pending.Holder != "" || in.SourceBase.Pending.Holder != "" {
		return false
	}
	if s.from.Presence == object.Present {
		if s.adopt && s.to.ETag == s.from.ETag && !in.Base.Describes(s.to) {
			return false
		}
		return !needsTags && (!in.Base.Landed() || in.Base.Describes(s.to))
	}
	if s.to.Presence != object.Present {
		return false
	}
	hidden := *in
	hidden.Source.Presence, hidden.Dest.VersionID = object.Hidden, "listed"
	return !in.Rule.DeleteMarkers || decide.Decide(hidden).Action == decide.Skip
}
