package transfer

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/telemetry"
)

// complete completes the upload, if nobody else does, by the decision that the
// event path and a run would make now.
func (e *effort) complete(ctx context.Context, known []Part) error {
	now := e.Transfers.Now()
	turn, err := e.store.ClaimPart(ctx, e.tr, Completing, e.owner, now, now.Add(completeTime))
	if object.ClassOf(err) == object.Premise {
		return nil
	}
	if err != nil {
		return err
	}
	// That the parts are there is no progress of those who cannot complete them.
	touch := e.sign(ctx, false)
	touch.AliveUntil, touch.Counted = now.Add(completeTime), Count(e.tr, known, now)
	if _, err := e.store.TouchTransfer(ctx, e.tr, touch); err != nil {
		return err
	}
	if err := e.goOn(ctx); err != nil {
		_ = e.store.FinishPart(ctx, e.tr, turn) // else the lease ends by its time
		return err
	}
	completion := object.Completion{Copy: e.copyOf(), Upload: e.tr.Upload, Size: e.tr.Size, PartSize: e.tr.PartSize}
	var tags []string
	for _, p := range known {
		if p.Number != Completing {
			completion.Parts, tags = append(completion.Parts, p.PartCopied), append(tags, p.ETag)
		}
	}
	landing := replicate.Landing{
		Transfer: e.tr, Again: turn.Fence > 1,
		Complete: func(ctx context.Context, destETag string) (object.Copied, error) {
			completion.DestETag = destETag
			return e.Objects.Complete(ctx, completion)
		},
		Pending: func(ctx context.Context) (bool, error) {
			uploads, err := e.Objects.Uploads(ctx, e.tr.To)
			return slices.ContainsFunc(uploads, func(u object.Begun) bool { return u.ID == e.tr.Upload.ID }), err
		},
	}
	landing.ETag, _ = parts.ETag(tags)
	o, moved := e.Replicator.Land(ctx, e.rules, landing, "transfer/"+e.tr.ID, int(turn.Fence))
	return e.landed(ctx, o, moved, turn)
}

// landed brings the transfer to its end after an attempt to complete it.
func (e *effort) landed(ctx context.Context, o replicate.Outcome, moved bool, turn Part) error {
	switch {
	case o.Result == replicate.Copied:
		e.report(ctx, o)
		if err := e.Failures.Healed(ctx, e.tr.Rule, e.tr.From); err != nil {
			e.log.WarnContext(ctx, "heal", "error", err)
		}
		if moved { // while it was completed
			if err := e.again(ctx); err != nil {
				return err
			}
		}
		return e.store.RemoveTransfer(ctx, e.tr)
	case o.Result == replicate.Skipped && o.Reason == decide.InSync:
		return e.abandon(ctx, string(o.Reason), false) // somebody else completed it
	case o.Err == nil && o.Result == replicate.Deferred:
		_ = e.store.FinishPart(ctx, e.tr, turn) // else the lease ends by its time
		return errBusy
	case o.Err == nil:
		return e.abandon(ctx, string(o.Reason), true)
	default:
		if object.ClassOf(o.Err) == object.Retryable {
			_ = e.store.FinishPart(ctx, e.tr, turn)
		}
		return o.Err
	}
}

// overtaken ends a transfer that met something else than it went by. If that is
// the source, the event function looks what is to be done now. If it is not, the
// upload is over, or its parts are not those that were copied: to begin anew at
// once could go on forever, so that is a failure, which is retried less and less
// often.
func (e *effort) overtaken(ctx context.Context, met error) error {
	if mine, err := e.ending(ctx); !mine {
		return err
	}
	found, err := e.Objects.Head(ctx, e.tr.From, false)
	switch {
	case object.ClassOf(err) == object.Permanent && err != nil:
		return e.fail(ctx, err)
	case err != nil:
		return err
	case e.tr.Copies(found) && !found.Archived:
		return e.fail(ctx, &object.Error{Class: object.Retryable, Op: "copy by parts", Ref: e.tr.To, Code: object.CodeOf(met), Err: met})
	default:
		return e.abandon(ctx, object.CodeOf(met), true)
	}
}

// again has the event function look what is to be done.
func (e *effort) again(ctx context.Context) error {
	due := object.Failure{Rule: e.tr.Rule, Source: e.tr.From, Damaged: e.tr.Damaged}
	return e.Events.Send(ctx, []string{event.Retry(due, e.Transfers.Now())})
}

// abandon ends a transfer that is not to be completed. With again the event
// function looks what is to be done instead.
func (e *effort) abandon(ctx context.Context, why string, again bool) error {
	if mine, err := e.ending(ctx); !mine {
		return err
	}
	if again {
		if err := e.again(ctx); err != nil {
			return err
		}
	}
	e.Metrics.Count(telemetry.TransfersAbandoned, 1, telemetry.Rule, e.tr.Rule)
	e.log.WarnContext(ctx, "transfer given up", "reason", why)
	return e.remove(ctx)
}

// fail records that the object could not be copied, where people find it.
func (e *effort) fail(ctx context.Context, err error) error {
	if mine, lost := e.ending(ctx); !mine {
		return lost
	}
	o := replicate.Outcome{Rule: e.tr.Rule, Source: e.tr.From, Dest: e.tr.To, Result: replicate.Failed, Err: err, Damaged: e.tr.Damaged}
	f := replicate.FailureOf(o, e.Transfers.Now())
	f.Run = e.tr.Run
	if lost := e.Failures.Fail(ctx, f); lost != nil {
		return errors.Join(err, lost)
	}
	e.report(ctx, o)
	return e.remove(ctx)
}

// ending takes the turn to end the transfer, so that of many workers who meet the
// same one does. False where there is nothing left to end, or somebody else is at
// it. A part that was copied after another transfer took this one's place is not
// left behind.
func (e *effort) ending(ctx context.Context) (bool, error) {
	now, err := e.store.Transfer(ctx, e.tr.To)
	if err != nil {
		return false, err
	}
	if now.ID != e.tr.ID {
		return false, e.abort(ctx, e.tr.Upload.ID)
	}
	e.tr = now
	at := e.Transfers.Now()
	_, err = e.store.ClaimPart(ctx, e.tr, Completing, e.owner, at, at.Add(completeTime))
	if object.ClassOf(err) == object.Premise {
		return false, nil
	}
	return err == nil, err
}

// remove frees what the upload holds, and forgets the transfer. Only once the
// uploads are gone nobody needs to know of them. Where we may not abort them, as
// the rights on a bucket go with its last rule, nobody ever could: a lifecycle
// rule has to, and the log says so.
func (e *effort) remove(ctx context.Context) error {
	for _, id := range append(slices.Clone(e.tr.Leftovers), e.tr.Upload.ID) {
		err := e.abort(ctx, id)
		if err != nil && object.ClassOf(err) != object.Permanent {
			return err
		}
		if err != nil {
			e.log.ErrorContext(ctx, "an upload is left behind, whose parts take space", "upload", id, "error", err)
		}
	}
	return e.store.RemoveTransfer(ctx, e.tr)
}

func (e *effort) abort(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	return e.Objects.Abort(ctx, object.Upload{To: e.tr.To, ID: id})
}

// report tells what became of the object.
func (e *effort) report(ctx context.Context, o replicate.Outcome) {
	replicate.Report(ctx, e.log, e.Metrics, o, slog.String("transfer", e.tr.ID))
	replicate.TallyOf(o).Write(ctx, e.Hours, e.Transfers.Now(), e.log)
}
