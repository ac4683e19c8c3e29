// Package replicate is the event path: one change in, one outcome per rule out.
// It converges on the state that is there now, so that a duplicate, a late or
// a lost event does no harm.
package replicate

import (
	"context"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Objects is what the use case needs of the object stores on both sides. Every
// method fails with an *object.Error; calls may be made concurrently. A failed
// write may have taken effect unless its class is Premise or Permanent.
type Objects interface {
	// Head looks at the current version, strongly consistent. Absent and
	// Hidden are answers, not errors; a 403 is an error. Tags are fetched
	// only where withTags.
	Head(ctx context.Context, at object.Ref, withTags bool) (object.State, error)
	// Copy copies under both conditions at once. Premise where either does
	// not hold, or the source is gone or cannot be read from its archive.
	Copy(ctx context.Context, c object.Copy) (object.Copied, error)
	// Retag replaces the tags of the version that was looked at. Premise where
	// it is gone. Where the bucket has no versions the tags go to what is there
	// by then, and if that is another object the answer is Premise.
	Retag(ctx context.Context, r object.Retag) error
	// Delete removes the current version if its tag is etag; on a versioned
	// bucket it puts a delete marker. Premise where the tag differs or
	// nothing is there.
	Delete(ctx context.Context, at object.Ref, etag string) error
}

// Ledger remembers provenance. Every method fails with an *object.Error.
type Ledger interface {
	// Read is one batched read of the provenance at each address, and of the
	// catalog's revision, which is always consistent. Provenance is
	// eventually consistent unless asked otherwise. Addresses may be named
	// more than once; those without an item are missing in the map.
	Read(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error)
	// Put stores p and returns its new revision. It replaces the revision
	// that p names (0: there is no item); Premise otherwise. A revision never
	// comes back, also where the item was forgotten and made anew.
	Put(ctx context.Context, at object.Ref, p object.Provenance) (int64, error)
	// Forget removes the item if it still has this revision; Premise
	// otherwise. Nothing to remove is success.
	Forget(ctx context.Context, at object.Ref, revision int64) error
	// CountDeletes adds n to the deletes that events made for a rule in the
	// hour that begins at hour, and answers the sum.
	CountDeletes(ctx context.Context, rule string, hour time.Time, n int) (int64, error)
	// CountHour adds what was done for a rule to the hour that it was done in.
	CountHour(ctx context.Context, rule string, h object.Hour) error
	// Fail records f and counts its attempts.
	Fail(ctx context.Context, f object.Failure) error
	// Healed removes what is recorded of a rule and a source, if anything is.
	Healed(ctx context.Context, rule string, source object.Ref) error
}

// Transfers copy large objects by parts.
type Transfers interface {
	// Begin begins a transfer, unless the same source is being copied there
	// already; another one is replaced. Premise where somebody else began one at
	// the same time. After an error that is Retryable it may have begun.
	Begin(ctx context.Context, want object.Transfer) error
}

// Catalogs loads the rules, strongly consistent.
type Catalogs interface {
	Catalog(ctx context.Context) (rule.Catalog, error)
}

// Queue puts messages back.
type Queue interface {
	// Defer sends the message again as a new one after delay, its body
	// untouched and its deferrals counted, so that the wait is no try.
	Defer(ctx context.Context, m event.Message, delay time.Duration) error
	// Backoff makes the message visible again after delay.
	Backoff(ctx context.Context, m event.Message, delay time.Duration) error
}
