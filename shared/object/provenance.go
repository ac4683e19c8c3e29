package object

import (
	"slices"
	"time"
)

// Provenance is what we know of the last write of ours at an address: "B" of
// the three-way decision. It is a fact recorded after the write, from the
// write's own response, and never a forecast. One item per replica, at the
// replica's address. See infra/decisions/3-provenance-as-facts.md.
type Provenance struct {
	// Revision changes with the item, counting up, and never comes back: an
	// item that was forgotten and made anew begins elsewhere. Zero: there is
	// none.
	Revision int64
	// Rule that wrote. Empty where nothing of ours is known to have landed
	// (the item then only carries a Pending).
	Rule   string
	Source Source
	Dest   Dest
	// Origin is the object that a person wrote. It is Source itself unless
	// that was a replica too. Never zero where a write of ours landed.
	Origin Origin
	// Run is the run of Rule that made the copy, or adopted it; 0: an event did.
	Run int64
	// Adopted: the write was not ours but another replication's, of the same
	// source, and somebody told us to take it over.
	Adopted bool
	// Lost names what the replica could not be given: see Copied.
	Lost []string
	// Expired remembers that a lifecycle rule removed the source and that the
	// replica was kept on purpose.
	Expired bool
	Pending Pending
}

// Source is the source object as it was copied.
type Source struct {
	ETag         string
	LastModified time.Time // as a look gave it, else the event's time
	VersionID    string
	Sequencer    string // of the event that led to the copy; empty for a sweep
	RequestID    string
}

// Dest is the replica as the copy's response described it.
type Dest struct {
	ETag         string
	LastModified time.Time // zero where the backend's answer has no time
	VersionID    string
}

// DestOf names the object that was found at a destination.
func DestOf(found State) Dest {
	return Dest{ETag: found.ETag, LastModified: found.LastModified, VersionID: found.VersionID}
}

// Origin is where a replica's content was first written, and by what way it
// came.
type Origin struct {
	Ref          Ref
	LastModified time.Time
	// Chain lists the buckets passed, the origin's first, without the one
	// that holds the replica.
	Chain []Bucket
}

// Through is the origin of a copy of this content made from bucket b.
func (o Origin) Through(b Bucket) Origin {
	o.Chain = append(slices.Clip(o.Chain), b)
	return o
}

// Passed reports whether content of this origin has been in bucket b.
func (o Origin) Passed(b Bucket) bool { return slices.Contains(o.Chain, b) }

// Pending is a short lease on an address, written ahead of a copy where the
// destination's bucket is itself a source of some rule, so that the echo of the
// copy finds an explanation even when it overtakes the recording.
type Pending struct {
	Holder string // unique per attempt; empty: no lease
	Since  time.Time
	// Began is when the upload was begun that the write completes, zero where
	// there is none: S3 takes that for the time of an object of parts.
	Began  time.Time
	ETag   string // of the source, thus expected of the replica; a hint only
	Origin Origin // never zero while Holder is set
}

// Explains reports whether the object found at the address looks like the write
// that the lease was taken for: its tag, at its time. That is good enough to
// recognise an echo and an origin, and never to own the object. ttl bounds how
// long such a write can take, and how far clocks may be apart.
func (p Pending) Explains(d State, ttl time.Duration) bool {
	earliest := p.Since
	if !p.Began.IsZero() {
		earliest = p.Began
	}
	return p.Holder != "" && d.Presence == Present && p.ETag == d.ETag &&
		d.LastModified.After(earliest.Add(-ttl)) && d.LastModified.Before(p.Since.Add(ttl))
}

// Held reports whether somebody holds the lease, and took it less than ttl ago.
func (p Pending) Held(now time.Time, ttl time.Duration) bool {
	return p.Holder != "" && now.Sub(p.Since) < ttl
}

// Landed reports whether p carries a fact.
func (p Provenance) Landed() bool { return p.Rule != "" }

// Describes reports whether the object found at the address is still the very
// write p speaks of. A person who rewrites a replica, even with the same
// bytes, makes it false: the time differs, or the version where the backend's
// answer had no time.
func (p Provenance) Describes(d State) bool {
	return p.Landed() && p.Dest.Is(d)
}

// Is reports whether the object found at the address is still this one.
func (d Dest) Is(found State) bool {
	if found.Presence != Present || d.ETag != found.ETag {
		return false
	}
	if d.LastModified.IsZero() || found.LastModified.IsZero() {
		return d.VersionID == found.VersionID
	}
	return d.LastModified.Equal(found.LastModified)
}

// Reflects reports whether the source found now is what was copied: the same
// tag, and not written again since.
func (s Source) Reflects(found State) bool {
	return found.Presence == Present && s.ETag == found.ETag && !found.LastModified.After(s.LastModified)
}

// OriginOf is where the content of the object found at an address comes from,
// by what the ledger holds for that address: a write of ours, one that was on
// its way when its worker died, or else the object itself, written by a person.
func (p Provenance) OriginOf(at Ref, found State, ttl time.Duration) Origin {
	switch {
	case p.Describes(found):
		return p.Origin
	case p.Pending.Explains(found, ttl):
		return p.Pending.Origin
	default:
		return Origin{Ref: at, LastModified: found.LastModified}
	}
}

// Carries reports whether the write p speaks of already holds what the creation
// c reports, so that a duplicate or an older event is finished without a look.
// Where neither a version, a request nor a sequencer can tell, an event that
// names the same content and is not younger than what was copied is carried. An
// equal sequencer proves nothing: some senders have a constant one.
func (p Provenance) Carries(c Change) bool {
	if !p.Landed() {
		return false
	}
	s := p.Source
	same := c.ETag == s.ETag
	switch {
	case same && c.VersionID != "" && c.VersionID == s.VersionID,
		same && c.RequestID != "" && c.RequestID == s.RequestID:
		return true
	case Newer(s.Sequencer, c.Sequencer):
		return true
	case Newer(c.Sequencer, s.Sequencer):
		return false
	default:
		return same && !c.Time.After(s.LastModified)
	}
}
