package replicate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// maxLooks bounds how often one delivery looks again after a premise was lost.
// Losing it this often means that others are busy with the very key: the queue
// tries later.
const maxLooks = 5

// errContended is the error of a delivery that lost its premise maxLooks times.
var errContended = errors.New("the object kept changing under this attempt")

// A task brings one destination up to date for one rule, after one change of
// the source, or because a sweep came by.
type task struct {
	*Replicator
	rules *rule.Set
	match rule.Match
	// change that led here; of a sweep it only has the source's address.
	change object.Change
	// sight is what a sweep's listings show; nil on the event path.
	sight *sight
	// message and delivery name the holder of a lease: every delivery takes
	// its own, and is not held up by one that an earlier delivery of the same
	// message left behind.
	message  string
	delivery int
	// landing is a transfer that is to be completed, in place of a copy.
	landing *Landing
	// patient: the message was put back before, so it waits no more for a
	// recording that may be under way.
	patient bool

	wrote      Result             // what took effect so far; empty: nothing
	why        decide.Reason      // of that
	bytes      int64              // copied by that
	lost       []string           // of the source's properties, by that
	counted    bool               // as a delete of this hour
	unrecorded *object.Provenance // a copy of ours that the ledger did not take yet
}

// run decides and acts until the destination is what the decision says, given
// what the batch read of the ledger. fresh is false where that is known to be
// out of date.
func (t *task) run(ctx context.Context, base, sourceBase object.Provenance, fresh bool) Outcome {
	r := t.match.Rule
	switch {
	case r.Paused:
		return t.skipped(decide.Paused)
	case t.match.TooLong && !t.match.Excluded && t.change.Kind.Removes():
		return t.skipped(decide.Gone) // there never was a replica
	case t.match.TooLong && !t.match.Excluded:
		return t.stopped(t.tooLong())
	case fresh && base.Rule == r.Name && t.carried(base):
		return t.skipped(decide.InSync)
	case t.change.Kind == object.Retagged && r.ReplicateTags && !t.match.Excluded && !t.match.Outranked && t.closed():
		// No run makes up for what only an event tells.
		opens, _ := r.Limits.Opens(t.now())
		return t.stopped(&limit.Held{Rule: r.Name, For: opens.Sub(t.now())})
	}

	in := t.input(base, sourceBase)
	var known bool
	if t.sight != nil {
		known = t.sight.trusted(&in, t.match.NeedsTags())
	} else {
		known = fresh && t.assume(&in)
	}
	var lost error
	for range maxLooks {
		if !known {
			if err := t.look(ctx, &in); err != nil {
				return t.stopped(err)
			}
			if t.heldUp(in.Base) || t.heldUp(in.SourceBase) {
				return t.outcome(Deferred, "")
			}
		}
		plan := t.weigh(&in)
		switch {
		case !known && t.mine(in):
			// The copy landed, its recording lost a race; it is still there.
			lost = t.record(ctx, *t.unrecorded, in.Base.Revision)
		case known && !t.proven(in, plan):
			known = false
			continue
		case t.landing != nil && !t.landing.wanted(in, plan):
			return t.done(plan)
		case !known && !t.patient && t.recordingUnderWay(in, plan):
			return t.outcome(Deferred, "")
		case plan.Action == decide.Delete && t.sight != nil && !t.sight.deletes:
			return t.outcome(Candidate, plan.Reason)
		case moves(plan.Action) && t.closed():
			if t.sight != nil {
				return t.stopped(limit.ErrClosed)
			}
			return t.skipped(decide.Closed)
		case plan.Action == decide.Delete && t.sight == nil:
			if within, err := t.countDelete(ctx); err != nil {
				return t.stopped(err)
			} else if !within {
				return t.skipped(decide.Held)
			}
			lost = t.act(ctx, in, plan)
		default:
			lost = t.act(ctx, in, plan)
		}
		if lost == nil {
			return t.done(plan)
		}
		if object.ClassOf(lost) != object.Premise || t.landing != nil && t.landing.spent {
			return t.stopped(lost)
		}
		known = false
	}
	return t.stopped(&object.Error{Class: object.Retryable, Op: "replicate", Ref: t.match.Dest,
		Code: "Contended", Err: fmt.Errorf("%w: %w", errContended, lost)})
}

// proven reports whether a plan may be carried out that rests on what nobody
// looked at. A copy's own conditions prove what it rests on, and everything else
// an event assumes takes a look. A completed listing proves its skips too, and
// enough to call an object a candidate for a later delete.
func (t *task) proven(in decide.Input, plan decide.Plan) bool {
	switch {
	case in.Excluded, in.Outranked:
		return true
	case plan.Action == decide.Copy:
		return !t.large(in)
	case t.sight == nil:
		return false
	default:
		return plan.Action == decide.Skip || plan.Action == decide.Park ||
			plan.Action == decide.Delete && !t.sight.deletes
	}
}

// carried reports whether the fact in the ledger already covers the change.
func (t *task) carried(base object.Provenance) bool {
	switch t.change.Kind {
	case object.Created:
		return base.Carries(t.change)
	case object.Retagged: // the version is the same before and after
		return t.change.RequestID != "" && t.change.RequestID == base.Source.RequestID
	default:
		return false
	}
}

func (t *task) input(base, sourceBase object.Provenance) decide.Input {
	in := decide.Input{
		Rule:      t.match.Rule,
		Excluded:  t.match.Excluded,
		Outranked: t.match.Outranked,
		From:      t.change.Ref,
		To:        t.match.Dest,
		Cause:     t.change.Cause,
		Touched:   t.touched(),
		Adopt:     t.sight != nil && t.sight.adopt,
		Locks:     t.sight != nil && t.sight.suspicious || t.landing != nil,
		LeaseTTL:  t.leaseTTL,
	}
	t.remembered(&in, base, sourceBase)
	return in
}

// touched reports whether the source's tags changed, or may have: of a failure
// that is due again only what failed is known, and in content that is in step it
// was the tags.
func (t *task) touched() bool {
	return t.match.Rule.ReplicateTags && (t.change.Kind == object.Retagged || t.change.Kind == object.Due)
}

// comparesTags reports whether a look sees the tags of both sides.
func (t *task) comparesTags() bool {
	return t.touched() || t.match.Rule.ReplicateTags && t.sight != nil && t.sight.suspicious
}

// remembered sets what the ledger says, and what follows from it.
func (t *task) remembered(in *decide.Input, base, sourceBase object.Provenance) {
	in.Base, in.SourceBase = base, sourceBase
	in.Rival = t.rules.Rival(t.match.Rule, base.Rule)
	in.Mirrored = false
	if opposite := t.rules.Rule(sourceBase.Rule); opposite != nil {
		from, ok := opposite.SourceOf(in.From.Key)
		in.Mirrored = ok && from == in.To
	}
}

// assume fills in both sides without a look: the source as the event claims,
// the destination as the ledger does. It reports false where a look is needed
// all the same: nothing is claimed about the source, or it may be a replica
// itself, or a lease says that the destination is not settled, or the rule
// wants to know more than an event tells.
func (t *task) assume(in *decide.Input) bool {
	c := t.change
	if c.Kind != object.Created || c.ETag == "" || t.match.NeedsTags() ||
		in.Base.Pending.Holder != "" || in.SourceBase.Pending.Holder != "" ||
		in.SourceBase.Landed() && in.SourceBase.Dest.ETag == c.ETag {
		return false
	}
	in.Source = object.State{
		Presence: object.Present, ETag: c.ETag, Size: c.Size, LastModified: c.Time, VersionID: c.VersionID,
	}
	in.Dest = object.State{Presence: object.Absent}
	if b := in.Base; b.Landed() {
		in.Dest = object.State{
			Presence: object.Present, ETag: b.Dest.ETag, LastModified: b.Dest.LastModified, VersionID: b.Dest.VersionID,
		}
	}
	return true
}

// look sees both sides with consistent reads: what the ledger holds for the
// destination first, then the destination, then the source, so that nothing
// newer than what is acted on is touched. What the ledger holds for the source
// comes last: a lease is older than the replica it announces, so whoever saw
// the replica finds the lease or what became of it.
func (t *task) look(ctx context.Context, in *decide.Input) error {
	base, err := t.item(ctx, in.To)
	if err != nil {
		return err
	}
	if err := t.sides(ctx, in); err != nil {
		return err
	}
	var sourceBase object.Provenance
	if t.rules.IsDestination(in.From.Bucket) {
		if sourceBase, err = t.item(ctx, in.From); err != nil {
			return err
		}
	}
	t.remembered(in, base, sourceBase)
	return nil
}

// sides sees the destination, then the source.
func (t *task) sides(ctx context.Context, in *decide.Input) (err error) {
	if in.Dest, err = t.objects.Head(ctx, in.To, t.comparesTags()); err != nil {
		return err
	}
	in.Source, err = t.objects.Head(ctx, in.From, t.comparesTags() || t.match.NeedsTags())
	return err
}

// item reads one item of the ledger, consistently.
func (t *task) item(ctx context.Context, at object.Ref) (object.Provenance, error) {
	items, _, err := t.ledger.Read(ctx, []object.Ref{at}, true)
	return items[at], err
}

// heldUp reports whether another message's young lease is on the item.
func (t *task) heldUp(p object.Provenance) bool {
	return p.Pending.Held(t.now(), t.leaseTTL) && !strings.HasPrefix(p.Pending.Holder, t.message+"#")
}

// mine reports whether the destination still is the copy that this task made
// and that the ledger does not know.
func (t *task) mine(in decide.Input) bool {
	return t.unrecorded != nil && t.unrecorded.Describes(in.Dest) && !in.Base.Describes(in.Dest)
}

// recordingUnderWay reports whether the plan rests on a destination object that
// is not ours but so young that another delivery may have copied it and be
// about to record it.
func (t *task) recordingUnderWay(in decide.Input, plan decide.Plan) bool {
	switch plan.Reason {
	case decide.Excluded, decide.Existing, decide.LowerPriority, decide.Echo, decide.DeletesOff:
		return false // the destination played no part
	}
	return t.unrecorded == nil && in.Dest.Presence == object.Present && !in.Base.Describes(in.Dest) &&
		t.now().Sub(in.Dest.LastModified) < t.leaseTTL
}
