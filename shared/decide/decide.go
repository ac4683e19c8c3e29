// Package decide holds the decision of the whole product: given what a rule
// says, what is at the source, what is at the destination, and what we know of
// our own last write there, what is to be done. It is one pure function, called
// by the event path and by the reconcile walk alike, so both give the same
// answer for the same object. The table it implements is in
// infra/decisions/4-three-way-decision.md.
package decide

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Input is everything the decision depends on. The states are what somebody
// saw, or what is assumed and will be proven by the conditions of the write;
// an error is neither, and has no place here.
type Input struct {
	Rule *rule.Active
	// Excluded and Outranked are what rule.Match said of the source's key.
	Excluded  bool
	Outranked bool
	// Rival ranks the rule that Base names against Rule.
	Rival rule.Rank

	From, To     object.Ref
	Source, Dest object.State
	// Base is the ledger's item at To, SourceBase the one at From; zero where
	// there is none.
	Base, SourceBase object.Provenance
	// Mirrored: the rule that SourceBase names copies from To to From, so that
	// the source was a replica of the destination.
	Mirrored bool

	// Cause of the source's absence, as the event told it.
	Cause object.Cause
	// Adopt: what another replication left at the destination is taken over.
	Adopt bool
	// Touched: the source's object tags changed, or may have, as an event said.
	// That shows neither in its entity tag nor in its time.
	Touched bool
	// Damaged: both sides were compared, and the destination is not what the
	// source is, whatever their tags and times say. To what is not our replica
	// of this very source it makes no difference.
	Damaged bool
	// Locks: retention and legal holds of both sides were looked at.
	Locks bool
	// LeaseTTL bounds how long a write that was announced by a lease may take.
	LeaseTTL time.Duration
}

// Action is what is to be done.
type Action uint8

const (
	// Look: the states given do not suffice. Nobody may act on this.
	Look Action = iota
	// Skip: nothing is written anywhere (but see Plan.Remember).
	Skip
	// Copy the source over the destination, under both conditions.
	Copy
	// Delete the destination, if it is still what was seen. On a versioned
	// bucket this puts a delete marker.
	Delete
	// Forget the ledger's item: neither side has the object.
	Forget
	// Park until the source can be read again.
	Park
	// Adopt the destination: it is recorded as the replica of the source that
	// it is.
	Adopt
	// Retag gives the destination, if it is still the version that was seen,
	// the tags of the source.
	Retag
)

var actions = [...]string{"look", "skip", "copy", "delete", "forget", "park", "adopt", "retag"}

func (a Action) String() string {
	if int(a) < len(actions) {
		return actions[a]
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Reason says why, in the words that metrics, run totals and the API use.
type Reason string

// Why nothing is done.
const (
	Excluded      Reason = "excluded"       // outside the rule's prefix, globs, tags or sizes, or a directory marker
	Existing      Reason = "existing"       // older than the rule, which takes only newer ones
	LowerPriority Reason = "lower_priority" // a rule of higher priority owns the destination key
	Echo          Reason = "echo"           // a replica whose content already passed the destination's bucket
	Archived      Reason = "archived"       // must be restored before it can be read
	DeletedThere  Reason = "deleted_there"  // deleted on the other side of a pair, which is not undone
	InSync        Reason = "in_sync"        // the destination holds our copy of this very source
	Identical     Reason = "identical"      // not ours, but the same content and no older
	DestNewer     Reason = "dest_newer"     // not ours, and written later
	DestExists    Reason = "dest_exists"    // the rule never overwrites
	TagsDiffer    Reason = "tags_differ"    // in sync but for tags, and nothing says that the source's are the newer ones
	DeletesOff    Reason = "deletes_off"    // the source is gone; the rule keeps replicas
	NotOurs       Reason = "not_ours"       // the source is gone; we did not write what is there, or somebody changed it
	Lifecycle     Reason = "lifecycle"      // a lifecycle rule removed the source; the rule keeps replicas then
	Paused        Reason = "paused"         // the rule is paused; resuming it starts a full run
	Closed        Reason = "closed"         // the rule's window is closed, outside of which nothing moves; a run begins with the next one
	Limited       Reason = "limited"        // the rule's limits let no more through for now; it is tried again by itself
	Busy          Reason = "busy"           // another worker is at it at this moment, and will finish it
	Transferring  Reason = "transferring"   // large: it is being copied by parts, and will be there when all are
	Reappeared    Reason = "reappeared"     // to be deleted by a sweep, and none to be deleted any more at the second look
	Held          Reason = "held"           // too many deletes at once; the next run decides, under its limit
)

// Why something is done.
const (
	Missing  Reason = "missing"   // the destination has no such object
	Changed  Reason = "changed"   // the source moved on since our copy
	Newer    Reason = "newer"     // the source is newer than a foreign object
	Forced   Reason = "forced"    // the rule lets the source win
	Priority Reason = "priority"  // takes over from a rule of lower priority
	Damaged  Reason = "damaged"   // in sync by tags and times, and yet not what the source is
	LockOnly Reason = "lock_only" // in sync but for Object Lock, of which the source has more
	TagsOnly Reason = "tags_only" // in sync but for the tags, and the source's count
	Adopted  Reason = "adopted"   // another replication left this replica, and it is the rule's own now
	Removed  Reason = "removed"   // the source is gone, and what is there is ours
	Gone     Reason = "gone"      // neither side has it
)

// Plan is the decision.
type Plan struct {
	Action Action
	Reason Reason
	// DestETag is the tag that the destination must still have when the
	// write arrives. Empty on a Copy: it must not exist.
	DestETag string
	// Origin is what the provenance of a Copy, or of what it adopts, will say.
	Origin object.Origin
	// Remember asks that the ledger keeps the reason of this Skip: the
	// source was removed by a lifecycle rule, which no later look can tell.
	Remember bool
}

// Decide is the three-way decision. It never acts on an unknown state: with one
// of the two sides not looked at it answers Look, unless the rule alone decides.
func Decide(in Input) Plan {
	if in.Excluded {
		return skip(Excluded)
	}
	if in.Outranked {
		return skip(LowerPriority)
	}
	if in.Source.Presence == object.Unknown || in.Dest.Presence == object.Unknown {
		return Plan{Action: Look}
	}
	if in.Source.Presence == object.Present {
		return present(in)
	}
	return gone(in)
}

// Listed is the decision that two listings allow by themselves: what needs neither
// the ledger nor a look is skipped. False where more has to be known. The states
// must be Present or Absent.
//
// Equal tags and sizes prove that nothing is to be copied where the destination
// is no older: whatever wrote the source was over when the destination was
// written. Whether the object there is ours makes no difference then, so that
// a sweep of what is in step costs no more than its listings; to one that adopts
// it makes one.
func Listed(in Input) (Plan, bool) {
	r, s, d := in.Rule, in.Source, in.Dest
	switch {
	case in.Excluded:
		return skip(Excluded), true
	case in.Outranked:
		return skip(LowerPriority), true
	case s.Presence != object.Present:
		return skip(DeletesOff), !r.ReplicateDeletes && !r.DeleteMarkers
	case !r.AdmitsSize(s.Size):
		return skip(Excluded), true
	case !r.ExistingObjects && s.LastModified.Before(r.Since) && !in.Adopt:
		return skip(Existing), true
	default:
		return skip(InSync), !in.Adopt && d.Presence == object.Present && sameContent(s, d) && !d.LastModified.Before(s.LastModified)
	}
}

// present decides for a source that is there.
func present(in Input) Plan {
	r, s, d := in.Rule, in.Source, in.Dest
	held := in.Base.Describes(d)
	ours := held && in.Base.Rule == r.Name
	origin := in.SourceBase.OriginOf(in.From, s, in.LeaseTTL)
	adopts := in.Adopt && !held && adoptable(in, origin)

	switch {
	case !r.Admits(s):
		return skip(Excluded)
	case !r.ExistingObjects && s.LastModified.Before(r.Since) && !adopts:
		return skip(Existing)
	case held && in.Rival == rule.Higher:
		return skip(LowerPriority)
	case origin.Passed(in.To.Bucket):
		return skip(Echo)
	}

	reflected := in.Base.Rule == r.Name && in.Base.Source.Reflects(s)
	var why Reason
	switch {
	case d.Presence == object.Hidden && reflected && r.OppositeMarkers:
		return skip(DeletedThere)
	case d.Presence.Gone():
		why = Missing
	case ours && reflected && !in.Damaged && !(in.Locks && r.ReplicateObjectLock && s.Lock.Exceeds(d.Lock)):
		return tags(in)
	case adopts:
		return Plan{Action: Adopt, Reason: Adopted, Origin: origin.Through(in.From.Bucket)}
	case r.Conflict == rule.SkipIfDestExists && in.Rival != rule.Lower:
		return skip(DestExists)
	case ours && reflected && in.Damaged:
		why = Damaged
	case ours && reflected:
		why = LockOnly
	case ours:
		why = Changed
	default:
		if why = contest(in, held, origin); why != Newer && why != Forced && why != Priority {
			return skip(why)
		}
	}
	if s.Archived {
		return Plan{Action: Park, Reason: Archived}
	}
	return Plan{Action: Copy, Reason: why, DestETag: etag(d), Origin: origin.Through(in.From.Bucket)}
}

// tags decides about a replica of ours whose content is in step. Tags have no
// time of their own, so only an event tells that the source's are the newer ones.
// Where none does, a person may have tagged the replica: what is there counts
// unless the rule lets the source win, or nothing is there. Tags that nobody
// looked at are taken to be in step, as a listing has none.
func tags(in Input) Plan {
	r, s, d := in.Rule, in.Source, in.Dest
	switch known := s.Tags != nil && d.Tags != nil; {
	case !r.ReplicateTags, slices.Contains(in.Base.Lost, object.LostTags): // it keeps none
		return skip(InSync)
	case !known && in.Touched:
		return Plan{Action: Look}
	case !known, maps.Equal(s.Tags, d.Tags):
		return skip(InSync)
	case r.Conflict == rule.SkipIfDestExists:
		return skip(DestExists)
	case in.Touched, r.Conflict == rule.SourceWins, len(d.Tags) == 0:
		return Plan{Action: Retag, Reason: TagsOnly, DestETag: d.ETag}
	default:
		return skip(TagsDiffer)
	}
}

// contest decides between a source and a destination that is not ours; held
// says that it is some other rule's.
func contest(in Input, held bool, origin object.Origin) Reason {
	s, d := in.Source, in.Dest
	newer := newer(in, origin)
	switch {
	case held && in.Rival == rule.Lower:
		return Priority
	case sameContent(s, d) && !newer:
		return Identical
	case in.Rule.Conflict == rule.SourceWins:
		return Forced
	case newer:
		return Newer
	default:
		return DestNewer
	}
}

// newer compares the times at which people wrote, not those of copies: else an
// older write could beat a newer one by taking the longer way round a ring.
func newer(in Input, origin object.Origin) bool {
	return origin.LastModified.After(in.Base.OriginOf(in.To, in.Dest, in.LeaseTTL).LastModified)
}

// adoptable reports whether a destination that no rule of ours wrote is another
// replication's replica of this source: by the word of its backend, which no
// person can give, and by its tag. What a person wrote is not, whatever its
// bytes.
func adoptable(in Input, origin object.Origin) bool {
	s, d := in.Source, in.Dest
	return d.Presence == object.Present && d.Replica && d.ETag == s.ETag && d.Size == s.Size && !newer(in, origin)
}

// gone decides for a source that is absent or hidden by a delete marker.
func gone(in Input) Plan {
	r, d := in.Rule, in.Dest
	ours := in.Base.Rule == r.Name && in.Base.Describes(d)
	expired := (in.Cause == object.ByLifecycle || in.Base.Expired) && !r.ReplicateLifecycleDeletes
	marks := r.DeleteMarkers && in.Source.Presence == object.Hidden && d.VersionID != ""

	switch {
	case d.Presence.Gone():
		return Plan{Action: Forget, Reason: Gone}
	case !r.ReplicateDeletes && !marks:
		return skip(DeletesOff)
	case !ours && !(marks && twin(in)):
		return skip(NotOurs)
	case expired:
		return Plan{Action: Skip, Reason: Lifecycle, Remember: ours && !in.Base.Expired}
	default:
		return Plan{Action: Delete, Reason: Removed, DestETag: d.ETag}
	}
}

// twin reports whether the destination is the very object that the hidden
// source was a replica of: then a delete on one side of a pair reaches the
// other, as a marker that anybody can undo.
func twin(in Input) bool {
	was := in.SourceBase.Source
	return in.Mirrored && in.SourceBase.Landed() && was.Reflects(in.Dest)
}

// sameContent is true only where it is certain: tags of encrypted or multipart
// objects differ for the same bytes, which proves nothing.
func sameContent(s, d object.State) bool {
	if s.Size != d.Size {
		return false
	}
	return s.ETag == d.ETag || s.Checksum != "" && s.Checksum == d.Checksum
}

// etag is the condition that a write over d carries.
func etag(d object.State) string {
	if d.Presence != object.Present {
		return ""
	}
	return d.ETag
}

func skip(why Reason) Plan { return Plan{Action: Skip, Reason: why} }
