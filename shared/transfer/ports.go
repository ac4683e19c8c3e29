// Package transfer copies large objects by parts. There is nobody who hands them
// out: a message invites a worker to a transfer, and each worker takes one part
// after the other from the pool, under a lease with a fence, until none is left.
// Whoever finds all of them done completes the upload. A worker that dies loses
// the part it was at.
package transfer

import (
	"context"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

// Part is what is known of one part of a transfer.
type Part struct {
	Number            int
	object.PartCopied        // ETag empty: it is not done
	Owner             string // holds it until LeasedUntil; empty: nobody does
	LeasedUntil       time.Time
	// Fence counts the claims. What is written under an older one fails.
	Fence int64
}

// Done reports whether the part has been copied.
func (p Part) Done() bool { return p.ETag != "" }

// Completing is the number of the part that is no part: whoever holds it
// completes the upload.
const Completing = 0

// Touch is a sign of life.
type Touch struct {
	AliveUntil time.Time
	Held       bool
	// Anew sets Tries to 0 and LastError to none.
	Anew bool
	// ProgressAt and Counted stay as they are where these have no time.
	ProgressAt time.Time
	Counted    object.Counted
}

// Count counts, at a time, what is done of a transfer whose parts are known. A part
// that is done stays so.
func Count(tr object.Transfer, known []Part, at time.Time) object.Counted {
	layout, c := Layout(tr), object.Counted{At: at}
	for _, p := range known {
		if p.Number != Completing && p.Done() {
			first, last := layout.Bytes(p.Number)
			c.Parts++
			c.Bytes += last - first + 1
		}
	}
	return c
}

// Store keeps transfers and their parts. Every method fails with an
// *object.Error: Premise where a condition of a write does not hold, and nothing
// was written then. Reads are consistent but for Silent. What the SDK repeats
// because an answer was lost must not fail for having taken effect before.
type Store interface {
	// Transfer answers the transfer to an address, the zero one where there is
	// none.
	Transfer(ctx context.Context, to object.Ref) (object.Transfer, error)
	// PutTransfer stores next in place of seen, if that still has its ID and
	// Revision, and answers the Revision that next has then. A zero seen stands
	// for none.
	PutTransfer(ctx context.Context, seen, next object.Transfer) (int64, error)
	// TouchTransfer writes the touch, and answers the transfer as it is then. The
	// revision stays. Premise where it is gone, or another one has taken its place.
	TouchTransfer(ctx context.Context, tr object.Transfer, touch Touch) (object.Transfer, error)
	// RemoveTransfer removes the transfer, whatever its revision. Success where
	// it is gone or another one is there.
	RemoveTransfer(ctx context.Context, tr object.Transfer) error
	// SilentTransfers lists up to limit transfers whose AliveUntil is before a
	// time, the longest silent first; 0: all.
	SilentTransfers(ctx context.Context, before time.Time, limit int) ([]object.Transfer, error)

	// Parts lists those parts that somebody claimed, in the order of their
	// numbers.
	Parts(ctx context.Context, tr object.Transfer) ([]Part, error)
	// ClaimPart takes the lease on a part for owner until the time given, raises
	// its fence and answers it. Premise where it is done, or leased by another
	// owner at now.
	ClaimPart(ctx context.Context, tr object.Transfer, number int, owner string, now, until time.Time) (Part, error)
	// FinishPart writes what was copied, and ends the lease, under the part's
	// fence. An ETag that is empty gives the part back.
	FinishPart(ctx context.Context, tr object.Transfer, p Part) error
}

// Objects is what a worker needs of the object stores. Every method fails with
// an *object.Error; what each may leave behind is said at s3store.Store.
type Objects interface {
	Head(ctx context.Context, at object.Ref, withTags bool) (object.State, error)
	Begin(ctx context.Context, c object.Copy) (object.Upload, error)
	CopyPart(ctx context.Context, p object.Part) (object.PartCopied, error)
	Complete(ctx context.Context, c object.Completion) (object.Copied, error)
	Abort(ctx context.Context, u object.Upload) error
	Uploads(ctx context.Context, at object.Ref) ([]object.Begun, error)
}

// Queue sends messages: tickets to the workers, and retries to the event
// function. After an error some may have been sent.
type Queue interface {
	Send(ctx context.Context, bodies []string) error
}

// Messages puts tickets back.
type Messages interface {
	Backoff(ctx context.Context, m event.Message, delay time.Duration) error
}

// Failures records what failed, and forgets what is well again; both fail with
// an *object.Error.
type Failures interface {
	Fail(ctx context.Context, f object.Failure) error
	Healed(ctx context.Context, rule string, source object.Ref) error
}
