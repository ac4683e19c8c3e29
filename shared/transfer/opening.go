package transfer

import (
	"context"
	"errors"
	"slices"
	"time"

	"bucket-replicator/shared/object"
)

// clockSkew is how far the clocks of a store and of workers may be apart.
const clockSkew = time.Minute

// open begins the upload; false where somebody else does.
// What went before it leaves nothing behind: the uploads of transfers that this
// one replaced are aborted, and those of workers that died between beginning one
// and recording it.
func (e *effort) open(ctx context.Context) (bool, error) {
	now := e.Transfers.Now()
	if n := len(e.tr.Openings); n > 0 && e.tr.Opener != "" && e.tr.Opener != e.owner && now.Sub(e.tr.Openings[n-1]) < openTime {
		return false, nil
	}
	lost := e.tr.Openings
	opening := e.tr
	opening.Openings = append(slices.Clone(lost), now)
	opening.Opener, opening.AliveUntil = e.owner, now.Add(openTime)
	if ok, err := e.put(ctx, opening); !ok {
		return false, err
	}
	for _, id := range e.tr.Leftovers {
		if err := e.abort(ctx, id); err != nil {
			return false, err
		}
	}
	upload, err := e.Objects.Begin(ctx, e.copyOf())
	if err != nil {
		return false, err
	}
	if len(lost) > 0 {
		if err := e.abortLost(ctx, lost, upload); err != nil {
			return false, errors.Join(err, e.abort(ctx, upload.ID))
		}
	}
	open := e.tr
	open.Upload, open.Openings, open.Leftovers, open.AliveUntil = upload, nil, nil, now.Add(e.Transfers.lease(e.tr))
	if ok, err := e.put(ctx, open); !ok {
		if err == nil {
			err = e.abort(ctx, upload.ID)
		}
		return false, err
	}
	e.log.InfoContext(ctx, "transfer begun", "bytes", e.tr.Size, "parts", Layout(e.tr).Count())
	return true, nil
}

// put writes the transfer, false where another one has taken its place or
// somebody else is opening it.
func (e *effort) put(ctx context.Context, next object.Transfer) (bool, error) {
	revision, err := e.store.PutTransfer(ctx, e.tr, next)
	if object.ClassOf(err) == object.Premise {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	e.tr = next
	e.tr.Revision = revision
	return true, nil
}

// abortLost aborts the uploads that were begun to this key, by whom the store
// takes us for, when a worker had set out to begin one and did not come to record
// it. Nobody else's is touched.
func (e *effort) abortLost(ctx context.Context, openings []time.Time, ours object.Upload) error {
	uploads, err := e.Objects.Uploads(ctx, e.tr.To)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(uploads, func(u object.Begun) bool { return u.ID == ours.ID })
	if i < 0 {
		return nil // a listing that does not know it tells nothing
	}
	for _, u := range uploads {
		within := slices.ContainsFunc(openings, func(at time.Time) bool {
			return !u.At.Before(at.Add(-clockSkew)) && u.At.Before(at.Add(openTime+clockSkew))
		})
		if u.ID == ours.ID || u.By != uploads[i].By || u.By == "" || !within {
			continue
		}
		if err := e.abort(ctx, u.ID); err != nil {
			return err
		}
		e.log.WarnContext(ctx, "an upload was left behind", "upload", u.ID)
	}
	return nil
}
