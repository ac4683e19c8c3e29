package replicate

import (
	"context"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// startSkew is how far the clocks of a store and of workers may be apart.
const startSkew = time.Minute

// Landing is a transfer all of whose parts are there.
type Landing struct {
	Transfer object.Transfer
	// ETag that the replica will have; empty where nobody knows.
	ETag string
	// Again: somebody tried before. The replica may be there, not recorded.
	Again bool
	// Complete makes the replica of the parts, if the destination still has this
	// tag; empty: if there is none. It fails with an *object.Error.
	Complete func(ctx context.Context, destETag string) (object.Copied, error)
	// Pending reports whether the upload is not over, so that nobody completed it.
	// It is asked only Again, and fails with an *object.Error.
	Pending func(ctx context.Context) (bool, error)

	spent bool // the upload is over, or cannot be completed
}

// Land completes a transfer by the same decision, under the same lease and with
// the same recording as a copy: if what the rule wants now still is a copy of the
// very source that the parts are of. The outcome is Copied, or Skipped or Parked
// with the reason why the transfer is of no use any more. moved reports that the
// source changed while its replica became visible, so that it has to be looked at
// again. holder and attempt name the holder of a lease as a Sweep's do.
func (r *Replicator) Land(ctx context.Context, rules *rule.Set, l Landing, holder string, attempt int) (o Outcome, moved bool) {
	tr := l.Transfer
	a := rules.Rule(tr.Rule)
	if tr.Existing {
		resync := *a
		resync.ExistingObjects = true
		a = &resync
	}
	t := &task{
		Replicator: r, rules: rules, match: rules.MatchOf(a, tr.From.Key),
		change: object.Change{
			Ref: tr.From, Kind: object.Created, Time: tr.EventAt,
			Sequencer: tr.Source.Sequencer, RequestID: tr.Source.RequestID,
		},
		message: holder, delivery: attempt, patient: true, landing: &l,
	}
	if a.SourceBucket != tr.From.Bucket || t.match.Dest != tr.To {
		return t.skipped(decide.Excluded), false // the rule leads elsewhere now
	}
	if l.Again {
		if err := t.findLanded(ctx); err != nil {
			return t.stopped(err), false
		}
	}
	o = t.guarded(ctx, object.Provenance{}, object.Provenance{}, false)
	if o.Result != Copied {
		return o, false
	}
	found, err := r.objects.Head(ctx, tr.From, a.ReplicateTags)
	if err != nil || !tr.Copies(found) || !a.ReplicateTags {
		return o, err != nil || !tr.Copies(found)
	}
	// The upload has the tags of when it began, and an event that told of others
	// meanwhile found the transfer under way.
	replica, err := r.objects.Head(ctx, tr.To, true)
	return o, err != nil || !maps.Equal(found.Tags, replica.Tags) && !slices.Contains(o.Lost, object.LostTags)
}

// findLanded looks for the replica of an attempt whose answer was lost or that
// died before it could record it. The tag tells it: it follows from those of all
// parts, and from how the object was cut. Somebody's upload of the same bytes and
// cut has the same tag, but leaves ours pending.
func (t *task) findLanded(ctx context.Context) error {
	if t.landing.ETag == "" {
		return nil
	}
	tr := t.landing.Transfer
	found, err := t.objects.Head(ctx, tr.To, false)
	if err != nil || found.Presence != object.Present || found.ETag != t.landing.ETag ||
		found.LastModified.Before(tr.BegunAt.Add(-startSkew)) {
		return err
	}
	base, err := t.item(ctx, tr.To)
	if err != nil || base.Describes(found) {
		return err
	}
	if pending, err := t.landing.Pending(ctx); err != nil || pending {
		return err
	}
	sourceBase := object.Provenance{}
	if t.rules.IsDestination(tr.From.Bucket) {
		if sourceBase, err = t.item(ctx, tr.From); err != nil {
			return err
		}
	}
	source := object.State{Presence: object.Present, ETag: tr.Source.ETag, LastModified: tr.Source.LastModified}
	t.wrote, t.why, t.bytes = Copied, decide.Changed, tr.Size
	t.unrecorded = &object.Provenance{
		Rule: tr.Rule, Run: tr.Run, Source: tr.Source,
		Dest:   object.DestOf(found),
		Origin: sourceBase.OriginOf(tr.From, source, t.leaseTTL).Through(tr.From.Bucket),
		Lost:   tr.Upload.Lost,
	}
	return nil
}

// complete completes the upload. Where that can never succeed it is spent, which
// is said as long as the task goes on.
func (l *Landing) complete(ctx context.Context, destETag string) (object.Copied, error) {
	copied, err := l.Complete(ctx, destETag)
	switch object.CodeOf(err) {
	case "NoSuchUpload", "InvalidPart", "ConditionalRequestConflict":
		l.spent = true
	}
	return copied, err
}

// wanted reports whether the plan is the copy that the transfer was begun for.
func (l *Landing) wanted(in decide.Input, plan decide.Plan) bool {
	return plan.Action == decide.Copy && l.Transfer.Copies(in.Source)
}

// large reports whether the source is to be copied by parts.
func (t *task) large(in decide.Input) bool {
	return t.Transfers != nil && in.Source.Size >= t.ByParts
}

// transfer hands the copy over.
func (t *task) transfer(ctx context.Context, in decide.Input) error {
	want := object.Transfer{
		Rule: in.Rule.Name, Run: t.runID(), From: in.From, To: in.To,
		Source: object.Source{
			ETag: in.Source.ETag, LastModified: in.Source.LastModified, VersionID: in.Source.VersionID,
			Sequencer: t.change.Sequencer, RequestID: t.change.RequestID,
		},
		EventAt: t.change.Time, Size: in.Source.Size,
	}
	if in.Damaged {
		want.Damaged = object.DestOf(in.Dest)
	}
	if t.sight != nil {
		want.Existing = in.Rule.ExistingObjects && !t.rules.Rule(in.Rule.Name).ExistingObjects
	}
	if err := t.Transfers.Begin(ctx, want); err != nil {
		return err
	}
	t.wrote, t.why = Skipped, decide.Transferring
	return nil
}
