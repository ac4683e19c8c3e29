package decide_test

import (
	"testing"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

var (
	here  = object.Bucket{Backend: object.AWS, Name: "here"}
	there = object.Bucket{Backend: object.AWS, Name: "there"}
	third = object.Bucket{Backend: object.AWS, Name: "third"}
	from  = object.Ref{Bucket: here, Key: "a"}
	to    = object.Ref{Bucket: there, Key: "a"}
)

// at is a moment n seconds into the tests' day.
func at(n int) time.Time { return time.Date(2026, 1, 2, 3, 0, n, 0, time.UTC) }

func found(etag string, written int) object.State {
	return object.State{Presence: object.Present, ETag: etag, Size: 3, LastModified: at(written)}
}

// left is a replica of another replication's.
func left(s object.State) object.State { s.Replica = true; return s }

func versioned(s object.State) object.State { s.VersionID = "v"; return s }

var (
	absent = object.State{Presence: object.Absent}
	hidden = object.State{Presence: object.Hidden, VersionID: "marker"}
)

// wrote is the fact that rule name copied source over to the destination.
func wrote(name string, source, dest object.State) object.Provenance {
	return object.Provenance{
		Revision: 1, Rule: name,
		Source: object.Source{ETag: source.ETag, LastModified: source.LastModified},
		Dest:   object.Dest{ETag: dest.ETag, LastModified: dest.LastModified, VersionID: dest.VersionID},
		Origin: object.Origin{Ref: from, LastModified: source.LastModified, Chain: []object.Bucket{here}},
	}
}

// replica is the provenance of a source that is itself a replica, written at
// origin and come through the buckets of the chain.
func replica(s object.State, origin int, chain ...object.Bucket) object.Provenance {
	return object.Provenance{
		Revision: 1, Rule: "other",
		Source: object.Source{ETag: s.ETag, LastModified: at(origin)},
		Dest:   object.Dest{ETag: s.ETag, LastModified: s.LastModified, VersionID: s.VersionID},
		Origin: object.Origin{Ref: object.Ref{Bucket: chain[0], Key: "a"}, LastModified: at(origin), Chain: chain},
	}
}

func policy(change ...func(*rule.Active)) *rule.Active {
	r := &rule.Active{Rule: rule.DefaultRule(), SourceBucket: here, DestBucket: there}
	r.Name = "mine"
	for _, c := range change {
		c(r)
	}
	return r
}

func conflict(c rule.Conflict) func(*rule.Active) { return func(r *rule.Active) { r.Conflict = c } }
func deletes(r *rule.Active)                      { r.ReplicateDeletes = true }
func markers(r *rule.Active)                      { r.DeleteMarkers = true }

func TestTheTable(t *testing.T) {
	original := found("e1", 10)
	copied := found("e1", 20)
	foreign := found("f1", 20)
	base := wrote("mine", original, copied)
	byOther := wrote("other", original, copied)

	for name, c := range map[string]struct {
		in     decide.Input
		action decide.Action
		reason decide.Reason
		etag   string // the destination condition
	}{
		"the key is outside the rule": {
			decide.Input{Rule: policy(), Excluded: true}, decide.Skip, decide.Excluded, ""},
		"the object is too small for the rule": {
			decide.Input{Rule: policy(func(r *rule.Active) { r.MinSize = 4 }), Source: original, Dest: absent}, decide.Skip, decide.Excluded, ""},
		"the object is older than a rule for new objects": {
			decide.Input{Rule: policy(func(r *rule.Active) { r.ExistingObjects, r.Since = false, at(11) }), Source: original, Dest: absent}, decide.Skip, decide.Existing, ""},
		"another replication's replica, to be adopted": {
			decide.Input{Rule: policy(), Adopt: true, Source: original, Dest: left(found("e1", 10))}, decide.Adopt, decide.Adopted, ""},
		"another replication's replica that nobody asked to adopt": {
			decide.Input{Rule: policy(), Source: original, Dest: left(found("e1", 10))}, decide.Skip, decide.Identical, ""},
		"the same bytes, put by a person": {
			decide.Input{Rule: policy(), Adopt: true, Source: original, Dest: found("e1", 12)}, decide.Skip, decide.Identical, ""},
		"another replication's replica of something else": {
			decide.Input{Rule: policy(), Adopt: true, Source: original, Dest: left(found("f1", 12))}, decide.Skip, decide.DestNewer, ""},
		"another replication's replica of an older source with the same bytes": {
			decide.Input{Rule: policy(), Adopt: true, Source: original, Dest: left(found("e1", 9))}, decide.Copy, decide.Newer, "e1"},
		"another replication wrote over ours, to be adopted": {
			decide.Input{Rule: policy(), Adopt: true, Base: base, Source: original, Dest: left(found("e1", 30))}, decide.Adopt, decide.Adopted, ""},
		"the replica of another rule of ours": {
			decide.Input{Rule: policy(), Adopt: true, Base: byOther, Source: original, Dest: left(copied)}, decide.Skip, decide.Identical, ""},
		"another replication's replica, from before a rule for new objects": {
			decide.Input{Rule: policy(func(r *rule.Active) { r.ExistingObjects, r.Since = false, at(11) }), Adopt: true, Source: original, Dest: left(found("e1", 10))}, decide.Adopt, decide.Adopted, ""},
		"another replication's replica, under a rule that never overwrites": {
			decide.Input{Rule: policy(conflict(rule.SkipIfDestExists)), Adopt: true, Source: original, Dest: left(found("e1", 10))}, decide.Adopt, decide.Adopted, ""},
		"another replication's replica of a source that came from there": {
			decide.Input{Rule: policy(), Adopt: true, SourceBase: replica(original, 5, there), Source: original, Dest: left(found("e1", 10))}, decide.Skip, decide.Echo, ""},
		"a higher rule takes the same source": {
			decide.Input{Rule: policy(), Outranked: true, Source: original, Dest: absent}, decide.Skip, decide.LowerPriority, ""},
		"a higher rule holds the destination": {
			decide.Input{Rule: policy(), Rival: rule.Higher, Base: byOther, Source: found("e2", 30), Dest: copied}, decide.Skip, decide.LowerPriority, ""},
		"a higher rule held the destination until a person rewrote it": {
			decide.Input{Rule: policy(), Rival: rule.Higher, Base: byOther, Source: found("e2", 30), Dest: found("e1", 21)}, decide.Copy, decide.Newer, "e1"},
		"a lower rule holds the destination": {
			decide.Input{Rule: policy(), Rival: rule.Lower, Base: byOther, Source: found("e2", 5), Dest: copied}, decide.Copy, decide.Priority, "e1"},
		"a lower rule holds the destination of a rule that never overwrites": {
			decide.Input{Rule: policy(conflict(rule.SkipIfDestExists)), Rival: rule.Lower, Base: byOther, Source: found("e2", 5), Dest: copied}, decide.Copy, decide.Priority, "e1"},
		"the source is a replica that came from the destination": {
			decide.Input{Rule: policy(), SourceBase: replica(original, 5, there), Source: original, Dest: absent}, decide.Skip, decide.Echo, ""},
		"the source is a replica that passed the destination": {
			decide.Input{Rule: policy(), SourceBase: replica(original, 5, third, there), Source: original, Dest: found("e1", 8)}, decide.Skip, decide.Echo, ""},
		"the source was such a replica until a person rewrote it": {
			decide.Input{Rule: policy(), SourceBase: replica(found("e1", 9), 5, there), Source: original, Dest: absent}, decide.Copy, decide.Missing, ""},
		"the source is a replica from elsewhere": {
			decide.Input{Rule: policy(), SourceBase: replica(original, 5, third), Source: original, Dest: absent}, decide.Copy, decide.Missing, ""},
		"the source is archived": {
			decide.Input{Rule: policy(), Source: archived(original), Dest: absent}, decide.Park, decide.Archived, ""},
		"the source was archived after it was copied": {
			decide.Input{Rule: policy(), Base: base, Source: archived(original), Dest: copied}, decide.Skip, decide.InSync, ""},
		"somebody deleted the replica, and deletes come back": {
			decide.Input{Rule: policy(func(r *rule.Active) { r.OppositeMarkers = true }), Base: base, Source: original, Dest: hidden}, decide.Skip, decide.DeletedThere, ""},
		"somebody deleted the replica, and the source moved on": {
			decide.Input{Rule: policy(func(r *rule.Active) { r.OppositeMarkers = true }), Base: base, Source: found("e2", 30), Dest: hidden}, decide.Copy, decide.Missing, ""},
		"somebody deleted the replica": {
			decide.Input{Rule: policy(), Base: base, Source: original, Dest: hidden}, decide.Copy, decide.Missing, ""},
		"a new object": {
			decide.Input{Rule: policy(), Source: original, Dest: absent}, decide.Copy, decide.Missing, ""},
		"the replica is up to date": {
			decide.Input{Rule: policy(), Base: base, Source: original, Dest: copied}, decide.Skip, decide.InSync, ""},
		"the source was overwritten": {
			decide.Input{Rule: policy(), Base: base, Source: found("e2", 30), Dest: copied}, decide.Copy, decide.Changed, "e1"},
		"only the source's metadata was rewritten": {
			decide.Input{Rule: policy(), Base: base, Source: found("e1", 30), Dest: copied}, decide.Copy, decide.Changed, "e1"},
		"only the source's tags changed": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: tagged(original, "new"), Dest: tagged(copied, "old")}, decide.Retag, decide.TagsOnly, "e1"},
		"only the source's tags changed, and it is archived": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: tagged(archived(original), "new"), Dest: tagged(copied, "old")}, decide.Retag, decide.TagsOnly, "e1"},
		"the source's tags changed, and its content": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: tagged(found("e2", 30), "new"), Dest: tagged(copied, "old")}, decide.Copy, decide.Changed, "e1"},
		"the source's last tag was deleted": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: tagged(original, ""), Dest: tagged(copied, "old")}, decide.Retag, decide.TagsOnly, "e1"},
		"the source's tags changed, and were copied already": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: tagged(original, "new"), Dest: tagged(copied, "new")}, decide.Skip, decide.InSync, ""},
		"the source's tags changed, and nobody looked at them": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: original, Dest: copied}, decide.Look, "", ""},
		"the source's tags changed, and the rule leaves tags out": {
			decide.Input{Rule: policy(noTags), Touched: true, Base: base, Source: tagged(original, "new"), Dest: tagged(copied, "")}, decide.Skip, decide.InSync, ""},
		"the source's tags changed, and the rule never overwrites": {
			decide.Input{Rule: policy(conflict(rule.SkipIfDestExists)), Touched: true, Base: base, Source: tagged(original, "new"), Dest: tagged(copied, "old")}, decide.Skip, decide.DestExists, ""},
		"the source's tags changed, and the replica is a person's by now": {
			decide.Input{Rule: policy(), Touched: true, Base: base, Source: tagged(original, "new"), Dest: tagged(found("e1", 21), "old")}, decide.Skip, decide.Identical, ""},
		"the source's tags changed, and a higher rule holds the destination": {
			decide.Input{Rule: policy(), Touched: true, Rival: rule.Higher, Base: byOther, Source: tagged(original, "new"), Dest: tagged(copied, "old")}, decide.Skip, decide.LowerPriority, ""},
		"the tags of a replica changed, back to where it came from": {
			decide.Input{Rule: policy(), Touched: true, SourceBase: replica(original, 5, there), Base: base, Source: tagged(original, "new"), Dest: tagged(copied, "old")}, decide.Skip, decide.Echo, ""},
		"the source's tags changed, and somebody deleted the replica, and deletes come back": {
			decide.Input{Rule: policy(func(r *rule.Active) { r.OppositeMarkers = true }), Touched: true, Base: base, Source: tagged(original, "new"), Dest: hidden}, decide.Skip, decide.DeletedThere, ""},
		"the tags differ, and nobody knows who changed them": {
			decide.Input{Rule: policy(), Base: base, Source: tagged(original, "one"), Dest: tagged(copied, "other")}, decide.Skip, decide.TagsDiffer, ""},
		"the tags differ, and the source wins": {
			decide.Input{Rule: policy(conflict(rule.SourceWins)), Base: base, Source: tagged(original, "one"), Dest: tagged(copied, "other")}, decide.Retag, decide.TagsOnly, "e1"},
		"the replica lacks the tags": {
			decide.Input{Rule: policy(), Base: base, Source: tagged(original, "one"), Dest: tagged(copied, "")}, decide.Retag, decide.TagsOnly, "e1"},
		"the source lost its tags, and no event said so": {
			decide.Input{Rule: policy(), Base: base, Source: tagged(original, ""), Dest: tagged(copied, "other")}, decide.Skip, decide.TagsDiffer, ""},
		"the destination keeps no tags": {
			decide.Input{Rule: policy(), Touched: true, Base: untaggable(base), Source: tagged(original, "new"), Dest: tagged(copied, "")}, decide.Skip, decide.InSync, ""},
		"the source is held by now": {
			decide.Input{Rule: policy(locks), Locks: true, Base: base, Source: locked(original, "", 0, true), Dest: copied}, decide.Copy, decide.LockOnly, "e1"},
		"the source's retention was extended": {
			decide.Input{Rule: policy(locks), Locks: true, Base: base, Source: locked(original, "GOVERNANCE", 50, false), Dest: locked(copied, "GOVERNANCE", 40, false)}, decide.Copy, decide.LockOnly, "e1"},
		"the source's retention was hardened": {
			decide.Input{Rule: policy(locks), Locks: true, Base: base, Source: locked(original, "COMPLIANCE", 40, false), Dest: locked(copied, "GOVERNANCE", 40, false)}, decide.Copy, decide.LockOnly, "e1"},
		"the replica is held for longer": {
			decide.Input{Rule: policy(locks), Locks: true, Base: base, Source: locked(original, "GOVERNANCE", 40, false), Dest: locked(copied, "GOVERNANCE", 50, true)}, decide.Skip, decide.InSync, ""},
		"the source is held by now, and the rule never overwrites": {
			decide.Input{Rule: policy(locks, conflict(rule.SkipIfDestExists)), Locks: true, Base: base, Source: locked(original, "", 0, true), Dest: copied}, decide.Skip, decide.DestExists, ""},
		"the source is held by now, and the rule leaves locks out": {
			decide.Input{Rule: policy(), Locks: true, Base: base, Source: locked(original, "", 0, true), Dest: copied}, decide.Skip, decide.InSync, ""},
		"the source is held by now, and nobody looked at the replica's lock": {
			decide.Input{Rule: policy(locks), Base: base, Source: locked(original, "", 0, true), Dest: copied}, decide.Skip, decide.InSync, ""},
		"nobody looked at the replica's tags": {
			decide.Input{Rule: policy(), Base: base, Source: tagged(original, "one"), Dest: copied}, decide.Skip, decide.InSync, ""},
		"our replica was damaged": {
			decide.Input{Rule: policy(), Damaged: true, Base: base, Source: original, Dest: copied}, decide.Copy, decide.Damaged, "e1"},
		"our replica was damaged, and its tags differ": {
			decide.Input{Rule: policy(), Damaged: true, Base: base, Source: tagged(original, "one"), Dest: tagged(copied, "other")}, decide.Copy, decide.Damaged, "e1"},
		"our replica was damaged, and the source moved on": {
			decide.Input{Rule: policy(), Damaged: true, Base: base, Source: found("e2", 30), Dest: copied}, decide.Copy, decide.Changed, "e1"},
		"our replica was damaged, and the source is archived by now": {
			decide.Input{Rule: policy(), Damaged: true, Base: base, Source: archived(original), Dest: copied}, decide.Park, decide.Archived, ""},
		"our replica was damaged, under a rule that never overwrites": {
			decide.Input{Rule: policy(conflict(rule.SkipIfDestExists)), Damaged: true, Base: base, Source: original, Dest: copied}, decide.Skip, decide.DestExists, ""},
		"a person's object is not what the source is, though its tag is": {
			decide.Input{Rule: policy(), Damaged: true, Base: base, Source: original, Dest: found("e1", 21)}, decide.Skip, decide.Identical, ""},
		"another rule's replica was damaged": {
			decide.Input{Rule: policy(conflict(rule.SourceWins)), Damaged: true, Rival: rule.Equal, Base: byOther, Source: original, Dest: copied}, decide.Skip, decide.Identical, ""},
		"a replica was damaged that is not to go back where it came from": {
			decide.Input{Rule: policy(), Damaged: true, SourceBase: replica(original, 5, there), Base: base, Source: original, Dest: copied}, decide.Skip, decide.Echo, ""},
		"the source went back to an older version": {
			decide.Input{Rule: policy(), Base: base, Source: found("e0", 1), Dest: copied}, decide.Copy, decide.Changed, "e1"},
		"the source was overwritten, and the rule never overwrites": {
			decide.Input{Rule: policy(conflict(rule.SkipIfDestExists)), Base: base, Source: found("e2", 30), Dest: copied}, decide.Skip, decide.DestExists, ""},
		"a foreign object has the same content": {
			decide.Input{Rule: policy(), Source: original, Dest: found("e1", 12)}, decide.Skip, decide.Identical, ""},
		"a foreign object has the same checksum under another tag": {
			decide.Input{Rule: policy(), Source: summed(original), Dest: summed(foreign)}, decide.Skip, decide.Identical, ""},
		"a foreign object of the same content is older": {
			decide.Input{Rule: policy(), Source: original, Dest: found("e1", 9)}, decide.Copy, decide.Newer, "e1"},
		"a foreign object is older": {
			decide.Input{Rule: policy(), Source: found("e1", 30), Dest: foreign}, decide.Copy, decide.Newer, "f1"},
		"a foreign object is as old": {
			decide.Input{Rule: policy(), Source: found("e1", 20), Dest: foreign}, decide.Skip, decide.DestNewer, ""},
		"a foreign object is newer, and the source wins": {
			decide.Input{Rule: policy(conflict(rule.SourceWins)), Source: original, Dest: foreign}, decide.Copy, decide.Forced, "f1"},
		"a foreign object is there, and the rule never overwrites": {
			decide.Input{Rule: policy(conflict(rule.SkipIfDestExists)), Source: found("e1", 30), Dest: foreign}, decide.Skip, decide.DestExists, ""},
		"another site's older write comes late by a longer way": {
			decide.Input{Rule: policy(), SourceBase: replica(found("e1", 40), 10, third), Source: found("e1", 40), Dest: foreign}, decide.Skip, decide.DestNewer, ""},
		"a copy whose worker died is no newer than what it was copied from": {
			decide.Input{Rule: policy(), LeaseTTL: time.Minute, Base: leased("e3", 40, 10), Source: found("e2", 20), Dest: found("e3", 41)}, decide.Copy, decide.Newer, "e3"},
		"an echo whose recording was lost": {
			decide.Input{Rule: policy(), LeaseTTL: time.Minute, SourceBase: leased("e1", 9, 3, there), Source: original, Dest: absent}, decide.Skip, decide.Echo, ""},
		"both sides are gone": {
			decide.Input{Rule: policy(deletes), Base: base, Source: absent, Dest: absent}, decide.Forget, decide.Gone, ""},
		"both sides are hidden": {
			decide.Input{Rule: policy(deletes), Base: base, Source: hidden, Dest: hidden}, decide.Forget, decide.Gone, ""},
		"the source was deleted, and the rule keeps replicas": {
			decide.Input{Rule: policy(), Base: base, Source: absent, Dest: copied}, decide.Skip, decide.DeletesOff, ""},
		"the source was deleted": {
			decide.Input{Rule: policy(deletes), Base: base, Source: absent, Dest: copied}, decide.Delete, decide.Removed, "e1"},
		"the source was deleted, and what is there is foreign": {
			decide.Input{Rule: policy(deletes), Source: absent, Dest: foreign}, decide.Skip, decide.NotOurs, ""},
		"the source was deleted after a person rewrote the replica with the same bytes": {
			decide.Input{Rule: policy(deletes), Base: base, Source: absent, Dest: found("e1", 21)}, decide.Skip, decide.NotOurs, ""},
		"the source was deleted, and another rule wrote the replica": {
			decide.Input{Rule: policy(deletes), Base: byOther, Source: absent, Dest: copied}, decide.Skip, decide.NotOurs, ""},
		"the source was deleted, and the copy's worker died before it was recorded": {
			decide.Input{Rule: policy(deletes), LeaseTTL: time.Minute, Base: leased("e1", 20, 10), Source: absent, Dest: copied}, decide.Skip, decide.NotOurs, ""},
		"the source expired": {
			decide.Input{Rule: policy(deletes), Cause: object.ByLifecycle, Base: base, Source: absent, Dest: copied}, decide.Skip, decide.Lifecycle, ""},
		"the source expired long ago": {
			decide.Input{Rule: policy(deletes), Base: expired(base), Source: absent, Dest: copied}, decide.Skip, decide.Lifecycle, ""},
		"the source expired, and the rule follows": {
			decide.Input{Rule: policy(deletes, func(r *rule.Active) { r.ReplicateLifecycleDeletes = true }), Cause: object.ByLifecycle, Base: base, Source: absent, Dest: copied}, decide.Delete, decide.Removed, "e1"},
		"the source was hidden, and so is our replica": {
			decide.Input{Rule: policy(markers), Base: wrote("mine", original, versioned(copied)), Source: hidden, Dest: versioned(copied)}, decide.Delete, decide.Removed, "e1"},
		"the replica on this side was hidden, and so is its original": {
			decide.Input{Rule: policy(markers), Mirrored: true, SourceBase: wrote("other", copied, original), Source: hidden, Dest: versioned(copied)}, decide.Delete, decide.Removed, "e1"},
		"the replica on this side was hidden after its original was rewritten": {
			decide.Input{Rule: policy(markers), Mirrored: true, SourceBase: wrote("other", copied, original), Source: hidden, Dest: versioned(found("e2", 30))}, decide.Skip, decide.NotOurs, ""},
		"a hidden source, and a destination without versions": {
			decide.Input{Rule: policy(markers), Base: base, Source: hidden, Dest: copied}, decide.Skip, decide.DeletesOff, ""},
		"the source's versions were removed, and the rule follows markers only": {
			decide.Input{Rule: policy(markers), Base: wrote("mine", original, versioned(copied)), Source: absent, Dest: versioned(copied)}, decide.Skip, decide.DeletesOff, ""},
		"nobody looked at the source": {
			decide.Input{Rule: policy(deletes), Base: base, Dest: copied}, decide.Look, "", ""},
		"nobody looked at the destination": {
			decide.Input{Rule: policy(deletes), Base: base, Source: absent}, decide.Look, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.From, c.in.To = from, to
			p := decide.Decide(c.in)
			if p.Action != c.action || p.Reason != c.reason || p.DestETag != c.etag {
				t.Errorf("got %v %q if-match %q, want %v %q if-match %q", p.Action, p.Reason, p.DestETag, c.action, c.reason, c.etag)
			}
		})
	}
}

func locks(r *rule.Active) { r.ReplicateObjectLock = true }

// locked is a state whose lock was looked at.
func locked(s object.State, mode string, until int, hold bool) object.State {
	if s.Lock = (object.Lock{Mode: mode, LegalHold: hold}); mode != "" {
		s.Lock.Until = at(until)
	}
	return s
}

func untaggable(p object.Provenance) object.Provenance {
	p.Lost = []string{object.LostTags}
	return p
}

func noTags(r *rule.Active) { r.ReplicateTags = false }

// tagged is a state whose tags were looked at: one of this value, or none.
func tagged(s object.State, value string) object.State {
	if s.Tags = map[string]string{}; value != "" {
		s.Tags["k"] = value
	}
	return s
}

func archived(s object.State) object.State { s.Archived = true; return s }
func summed(s object.State) object.State   { s.Checksum = "CRC64NVME:abc"; return s }

func expired(p object.Provenance) object.Provenance { p.Expired = true; return p }

// leased is a ledger item whose worker announced a copy of content etag, and
// died. The chain defaults to a third bucket.
func leased(etag string, since, origin int, chain ...object.Bucket) object.Provenance {
	if chain == nil {
		chain = []object.Bucket{third}
	}
	return object.Provenance{Revision: 1, Pending: object.Pending{
		Holder: "dead", Since: at(since), ETag: etag,
		Origin: object.Origin{Ref: object.Ref{Bucket: chain[0], Key: "a"}, LastModified: at(origin), Chain: chain},
	}}
}
