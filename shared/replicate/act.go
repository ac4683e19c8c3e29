package replicate

import (
	"context"
	"fmt"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// recordingTime bounds the recording of a copy. It fits into what the handler
// keeps in reserve before the function's deadline.
const recordingTime = 3 * time.Second

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
	copied, err := t.move(ctx, in, plan)
	if err != nil {
		if leased && object.ClassOf(err) != object.Retryable {
			t.release(ctx, in, revision)
		}
		return err
	}
	t.wrote, t.why, t.bytes, t.lost = Copied, plan.Reason, in.Source.Size, copied.Lost
	return t.record(ctx, object.Provenance{
		Rule: in.Rule.Name,
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

// adopt records the destination that was looked at as the rule's own, if the
// ledger is as it was read before. Nothing is copied.
func (t *task) adopt(ctx context.Context, in decide.Input, plan decide.Plan) error {
	s, d := in.Source, in.Dest
	_, err := t.ledger.Put(ctx, in.To, object.Provenance{
		Revision: in.Base.Revision, Rule: in.Rule.Name, Run: t.runID(), Adopted: true,
		Source: object.Source{ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID},
		Dest:   object.DestOf(d),
		Origin: plan.Origin,
	})
	return err
}

// forget drops the item that was read. Where it changed since, somebody wrote
// to the destination: the premise is lost.
func (t *task) forget(ctx context.Context, in decide.Input) error {
	if in.Base.Revision == 0 {
		return nil
	}
	return t.ledger.Forget(ctx, in.To, in.Base.Revision)
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
