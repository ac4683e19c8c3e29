// Package object holds the words every other package speaks: where an object
// is, what a look at it found, what an event said about it, and what we know
// of our own last write to it. It has types and the few facts that follow from
// them, and no behaviour that could be decided otherwise.
package object

import "time"

// AWS names the backend that a bucket is on when the configuration names none:
// S3 in the account and partition the stack is deployed to.
const AWS = "aws"

// Bucket is a bucket on one backend. Two backends may use the same name.
type Bucket struct {
	Backend string // as in storage.backends, or AWS
	Name    string // the physical name, not the alias
}

// String is "backend/name", the form logs and the ledger's keys use.
func (b Bucket) String() string { return b.Backend + "/" + b.Name }

// Ref addresses an object. The key is raw: never URL-encoded, any bytes that
// S3 allows, up to 1,024 of them.
type Ref struct {
	Bucket Bucket
	Key    string
}

// String is "backend/bucket/key", the partition key of the provenance table.
func (r Ref) String() string { return r.Bucket.String() + "/" + r.Key }

// Presence says what a look found at an address.
type Presence uint8

const (
	// Unknown is the zero value: nobody looked. It is never absence.
	Unknown Presence = iota
	// Absent is believed only after a 404 on the object or a completed
	// listing of its range. An error is never absence.
	Absent
	// Hidden means the current version is a delete marker.
	Hidden
	// Present means there is a current version that is an object.
	Present
)

// Gone says that a reader would be told 404: Absent or Hidden.
func (p Presence) Gone() bool { return p == Absent || p == Hidden }

// State is what is known of an object at one moment, by a look, by a copy's
// own response, or by what an event claims.
type State struct {
	Presence     Presence
	ETag         string            // without quotes; opaque, equal bytes do not imply equal tags
	Size         int64             // bytes
	LastModified time.Time         // UTC; S3 answers in whole seconds
	VersionID    string            // empty on an unversioned bucket; of the marker where Hidden
	Checksum     string            // "ALGORITHM:value" of the full object, empty where unknown
	Archived     bool              // in an archive class and not restored: it cannot be read now
	Tags         map[string]string // nil where nobody asked
	Lock         Lock              // as a look finds it, with the rights to see it
	// Replica: by its own word the backend's replication wrote it, as
	// x-amz-replication-status says to a look. A person's write makes it false.
	Replica bool
}

// Lock is what Object Lock holds of a version, as far as it is in force.
type Lock struct {
	Mode      string    // of the retention: GOVERNANCE or COMPLIANCE
	Until     time.Time // the retention lasts, UTC; zero: there is none
	LegalHold bool
}

// At is what of the lock is in force at a moment.
func (l Lock) At(now time.Time) Lock {
	if !l.Until.After(now) {
		l.Mode, l.Until = "", time.Time{}
	}
	return l
}

// Exceeds reports whether l holds longer or harder than other.
func (l Lock) Exceeds(other Lock) bool {
	return l.LegalHold && !other.LegalHold || l.Until.After(other.Until) ||
		l.Mode == "COMPLIANCE" && other.Mode == "GOVERNANCE"
}

// Kind says what an event reports. The zero value is not a kind.
type Kind uint8

const (
	_ Kind = iota
	// Created: a new current version (put, post, copy, multipart upload).
	Created
	// Deleted: a version was removed for good. It may have been an old one,
	// so it says nothing about the key until somebody looks.
	Deleted
	// MarkerCreated: a delete marker hides the key.
	MarkerCreated
	// Restored: an archived object can be read for a while.
	Restored
	// Retagged: tags were added, changed or deleted.
	Retagged
	// Irrelevant: a known event that changes nothing a replica has
	// (restore initiated or expired, ACL, storage class, access tier).
	Irrelevant
	// Due: a recorded failure is to be tried again. It says nothing about the
	// object until somebody looks.
	Due
)

// Removes reports whether the change took something away.
func (k Kind) Removes() bool { return k == Deleted || k == MarkerCreated }

// Cause says who made an object go away.
type Cause uint8

const (
	// ByRequest is a person's or a program's request, and the default.
	ByRequest Cause = iota
	// ByLifecycle is a lifecycle rule of the bucket.
	ByLifecycle
)

// Change is one notification: where to look and why, never what to do. The
// handler converges on the state that is there when it looks.
type Change struct {
	Ref       Ref
	Kind      Kind
	Cause     Cause
	Time      time.Time // of the event, UTC
	ETag      string    // without quotes; empty for deletes
	Size      int64     // bytes; 0 for deletes
	VersionID string    // of the version or the marker; empty where the sender has none
	// Sequencer orders the events of one key: hexadecimal, compared by
	// Newer. Empty or constant on some backends.
	Sequencer string
	RequestID string // of the request that made the change
	Damaged   Dest   // of the failure that is Due; zero otherwise
}

// Newer reports whether sequencer a is known to be newer than b. They are
// hexadecimal numbers of any length, comparable within one key only; where
// either is missing nothing is known and the answer is false.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func Newer(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if len(a) < len(b) {
		a = pad(a, len(b))
	} else {
		b = pad(b, len(a))
	}
	return a > b
}

func pad(s string, n int) string {
	b := make([]byte, n)
	for i := range n - len(s) {
		b[i] = '0'
	}
	copy(b[n-len(s):], s)
	return string(b)
}
