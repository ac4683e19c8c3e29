package replicate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// maxLooks bounds how often one delivery looks again after a premise was lost.
// Losing it this often means that others are busy with the very key: the queue
// tries later.
const maxLooks = 5

// recordingTime bounds the recording of a copy. It fits into what the handler
// keeps in reserve before the function's deadline.
const recordingTime = 3 * time.Second

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

// countDelete counts a delete that an event asks for, and reports whether it is
// within what the rule allows in an hour. What is over it is left to the next
// run, which has a limit of its own, and tells.
func (t *task) countDelete(ctx context.Context) (bool, error) {
	if t.counted {
		return true, nil
	}
	n, err := t.ledger.CountDeletes(ctx, t.match.Rule.Name, t.now().Truncate(time.Hour), 1)
	t.counted = err == nil
	return n <= int64(t.match.Rule.MaxDeletes.Count), err
}

// act carries out the plan. Premise: look and decide again.
func (t *task) act(ctx context.Context, in decide.Input, plan decide.Plan) error {
	if t.sight != nil && t.sight.dry {
		if plan.Action == decide.Copy {
			t.wrote, t.why, t.bytes = Copied, plan.Reason, in.Source.Size
		}
		return nil
	}
	byParts := plan.Action == decide.Copy && t.large(in)
	if moves(plan.Action) && !byParts && t.landing == nil {
		size := int64(0)
		if plan.Action == decide.Copy {
			size = in.Source.Size
		}
		leave, err := t.Limits.Enter(ctx, in.Rule.Name, in.Rule.Limits, size)
		if err != nil {
			return err
		}
		defer leave()
	}
	switch plan.Action {
	case decide.Copy:
		if t.landing == nil && byParts {
			return t.transfer(ctx, in)
		}
		return t.copy(ctx, in, plan)
	case decide.Retag:
		return t.retag(ctx, in, plan)
	case decide.Delete:
		if err := t.objects.Delete(ctx, in.To, plan.DestETag); err != nil {
			return err
		}
		t.wrote, t.why = Deleted, plan.Reason
		return t.forget(ctx, in)
	case decide.Forget:
		return t.forget(ctx, in)
	case decide.Adopt:
		return t.adopt(ctx, in, plan)
	case decide.Skip:
		if plan.Remember {
			expired := in.Base
			expired.Expired = true
			_, err := t.ledger.Put(ctx, in.To, expired)
			return err
		}
	}
	return nil
}

// moves reports whether the action does something to the destination.
func moves(a decide.Action) bool {
	return a == decide.Copy || a == decide.Retag || a == decide.Delete
}

// closed reports whether the rule's window keeps the task from moving anything. A
// copy by parts that was begun is brought to its end.
func (t *task) closed() bool {
	limits, now := t.match.Rule.Limits, t.now()
	switch {
	case t.landing != nil:
		return false
	case t.sight != nil:
		return !t.sight.dry && !limits.Open(now)
	default:
		return limits.Shut(now)
	}
}

// forget drops the item that was read. Where it changed since, somebody wrote
// to the destination: the premise is lost.
func (t *task) forget(ctx context.Context, in decide.Input) error {
	if in.Base.Revision == 0 {
		return nil
	}
	return t.ledger.Forget(ctx, in.To, in.Base.Revision)
}

// copy copies, under a lease where the destination's bucket is itself a source,
// and records what landed.
func (t *task) copy(ctx context.Context, in decide.Input, plan decide.Plan) error {
	revision := in.Base.Revision
	leased := t.rules.IsSource(in.To.Bucket)
	if leased {
		lease := in.Base
		lease.Pending = object.Pending{Holder: fmt.Sprintf("%s#%d", t.message, t.delivery), Since: t.now(), ETag: in.Source.ETag, Origin: plan.Origin}
		if t.landing != nil {
			lease.Pending.Began = t.landing.Transfer.BegunAt
			if t.landing.ETag != "" {
				lease.Pending.ETag = t.landing.ETag
			}
		}
		var err error
		if revision, err = t.ledger.Put(ctx, in.To, lease); err != nil {
			return err
		}
	}
	r := in.Rule
	copied, err := t.move(ctx, in, plan)
	if err != nil {
		if leased && object.ClassOf(err) != object.Retryable {
			t.release(ctx, in, revision)
		}
		return err
	}
	t.wrote, t.why, t.bytes, t.lost = Copied, plan.Reason, in.Source.Size, copied.Lost
	return t.record(ctx, object.Provenance{
		Rule: r.Name,
		Run:  t.runID(),
		Source: object.Source{
			ETag: in.Source.ETag, LastModified: in.Source.LastModified, VersionID: copied.SourceVersionID,
			Sequencer: t.change.Sequencer, RequestID: t.change.RequestID,
		},
		Dest:   copied.Dest,
		Origin: plan.Origin,
		Lost:   copied.Lost,
	}, revision)
}

// adopt records the destination that was looked at as the rule's own, if the
// ledger is as it was read before. Nothing is copied.
func (t *task) adopt(ctx context.Context, in decide.Input, plan decide.Plan) error {
	s, d := in.Source, in.Dest
	_, err := t.ledger.Put(ctx, in.To, object.Provenance{
		Revision: in.Base.Revision, Rule: in.Rule.Name, Run: t.runID(), Adopted: true,
		Source: object.Source{ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID},
		Dest:   object.Dest{ETag: d.ETag, LastModified: d.LastModified, VersionID: d.VersionID},
		Origin: plan.Origin,
	})
	return err
}

// move makes the replica: by one request, or by completing the transfer that
// brought its parts.
func (t *task) move(ctx context.Context, in decide.Input, plan decide.Plan) (object.Copied, error) {
	if t.landing != nil {
		return t.landing.complete(ctx, plan.DestETag)
	}
	c := CopyOf(in.Rule, in.From, in.To, in.Source.ETag)
	c.DestETag = plan.DestETag
	return t.objects.Copy(ctx, c)
}

// CopyOf is the copy that a rule asks for, without the condition on the
// destination.
func CopyOf(r *rule.Active, from, to object.Ref, sourceETag string) object.Copy {
	return object.Copy{
		From: from, To: to, SourceETag: sourceETag,
		Tags: r.ReplicateTags, StorageClass: r.StorageClass, SSE: r.SSE.Mode, KMSKey: r.SSE.KMSKey,
		BucketKey: r.SSE.BucketKey, OwnerOverride: r.OwnerOverride,
		ObjectLock: r.ReplicateObjectLock, WebsiteRedirect: r.ReplicateWebsiteRedirects,
	}
}

// retag gives a replica of ours the tags of its source, and notes the change that
// did. The note is what keeps two workers in order, since S3 has no condition on
// tags: whoever read older ones finds the note of the other, and looks again.
func (t *task) retag(ctx context.Context, in decide.Input, plan decide.Plan) error {
	d := in.Dest
	err := t.objects.Retag(ctx, object.Retag{
		At: in.To, ETag: d.ETag, LastModified: d.LastModified, VersionID: d.VersionID, Tags: in.Source.Tags,
	})
	if err != nil {
		return err
	}
	t.wrote, t.why = Retagged, plan.Reason
	note := in.Base
	note.Pending = object.Pending{}
	if t.change.RequestID != "" {
		note.Source.RequestID = t.change.RequestID
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordingTime)
	defer cancel()
	_, err = t.ledger.Put(ctx, in.To, note)
	return err
}

// record puts the fact of a copy that landed into the ledger, also where the
// time for the batch has run out meanwhile: an unrecorded copy is an orphan.
func (t *task) record(ctx context.Context, fact object.Provenance, revision int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordingTime)
	defer cancel()
	fact.Revision = revision
	_, err := t.ledger.Put(ctx, t.match.Dest, fact)
	t.unrecorded = nil
	if object.ClassOf(err) == object.Premise {
		t.unrecorded = &fact
	}
	return err
}

// release puts back what the lease was written over. A copy whose answer was
// lost keeps its lease: it may still land. Where the release itself is lost the
// lease ends by its age, so its error changes nothing.
func (t *task) release(ctx context.Context, in decide.Input, revision int64) {
	if in.Base.Revision == 0 {
		_ = t.ledger.Forget(ctx, in.To, revision)
		return
	}
	before := in.Base
	before.Revision = revision
	_, _ = t.ledger.Put(ctx, in.To, before)
}

// done is the outcome of a plan that was carried out.
func (t *task) done(plan decide.Plan) Outcome {
	switch {
	case t.wrote != "":
		return t.outcome(t.wrote, t.why)
	case plan.Action == decide.Park:
		return t.outcome(Parked, plan.Reason)
	default:
		return t.skipped(plan.Reason)
	}
}

// runID is the run that the task belongs to, 0 on the event path.
func (t *task) runID() int64 {
	switch {
	case t.landing != nil:
		return t.landing.Transfer.Run
	case t.sight != nil:
		return t.sight.run
	default:
		return 0
	}
}

func (t *task) skipped(why decide.Reason) Outcome { return t.outcome(Skipped, why) }

// stopped is the outcome of an error.
func (t *task) stopped(err error) Outcome {
	o := t.outcome(Retried, "")
	if held := (*limit.Held)(nil); errors.As(err, &held) {
		o.Result, o.Reason, o.Wait = Deferred, decide.Limited, held.For
		return o
	}
	if object.ClassOf(err) == object.Permanent {
		o.Result = Failed
	}
	o.Err = err
	return o
}

func (t *task) outcome(result Result, why decide.Reason) Outcome {
	o := Outcome{Rule: t.match.Rule.Name, Source: t.change.Ref, Dest: t.match.Dest, Result: result, Reason: why}
	if result == Copied {
		o.Bytes, o.Lost = t.bytes, t.lost
		if !t.change.Time.IsZero() {
			o.Latency = t.now().Sub(t.change.Time)
		}
	}
	return o
}
