package object

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Copy asks for one server-side copy of the current version of From. An
// event's version never enters: a late event would bring an old version back.
type Copy struct {
	From, To Ref
	// SourceETag is the tag the source must still have, so that what is
	// copied is what was looked at. Never empty.
	SourceETag string
	// DestETag is the tag the destination must still have. Empty: there must
	// be no object (an absent or hidden key).
	DestETag string
	// Tags false: the replica gets no tags.
	Tags bool
	// What the rule overrides; empty leaves the destination's default.
	StorageClass, SSE, KMSKey string
	// BucketKey makes one request to KMS serve many objects. Only for the SSE
	// mode aws:kms.
	BucketKey bool
	// ObjectLock gives the replica the source's retention, unless that is over,
	// and its legal hold; WebsiteRedirect its redirect. Either takes a look at
	// the source.
	ObjectLock, WebsiteRedirect bool
	// OwnerOverride gives the destination bucket's owner full control.
	OwnerOverride bool
}

// Copied is what the store answered to a Copy that took effect.
type Copied struct {
	Dest            Dest
	SourceVersionID string // empty where the source bucket has no versions
	// Lost names what of the source, and of what the rule says, the replica
	// could not be given: metadata, tags, object_lock, ...
	Lost []string
}

// LostTags is what Lost calls the object's tags.
const LostTags = "tags"

// Retag asks for the tags of one version to be replaced, whatever they were.
type Retag struct {
	At Ref
	// ETag, LastModified and VersionID are the version's, as a look found them.
	ETag         string
	LastModified time.Time
	VersionID    string // empty where the bucket has no versions
	Tags         map[string]string
}

// Failure is an object that could not be replicated, as the API lists it. One
// is kept per rule and source key, replaced by the next attempt's.
type Failure struct {
	Rule       string
	Source     Ref
	Dest       Ref
	OccurredAt time.Time
	Code       string // the service's own, or ours: see the failure advice
	Message    string
	Advice     string // one sentence: what to do
	// Damaged is the replica that was to be copied anew because a comparison found
	// it to be another than the source, which nothing else shows. Zero: that is not
	// why.
	Damaged Dest
	// Run that met the failure; 0: an event did.
	Run int64
	// Attempts in a row, this one included; the ledger counts.
	Attempts int
	// RetryAt is when it is tried again, unless it failed too often for that:
	// see Due. Zero where nothing retries before somebody acts.
	RetryAt time.Time
}

// ID names the failure within its rule: the hexadecimal SHA-256 of the source
// key, which can be too long and too odd for a name.
func (f Failure) ID() string {
	sum := sha256.Sum256([]byte(f.Source.Key))
	return hex.EncodeToString(sum[:])
}

// FailurePlace is where a failure stands among those of its rule, the newest
// first. The zero place is before all of them.
type FailurePlace struct {
	OccurredAt time.Time
	ID         string
}

// Place of the failure.
func (f Failure) Place() FailurePlace { return FailurePlace{f.OccurredAt, f.ID()} }

const (
	// patience is how often an object may fail in a row before it is tried
	// less often.
	patience    = 5
	slowerRetry = time.Hour
)

// Due is when the object is tried again: at RetryAt, and after 5 failures in a
// row at most hourly. Zero: not before somebody acts.
func (f Failure) Due() time.Time {
	if slow := f.OccurredAt.Add(slowerRetry); f.Attempts >= patience && !f.RetryAt.IsZero() && f.RetryAt.Before(slow) {
		return slow
	}
	return f.RetryAt
}
