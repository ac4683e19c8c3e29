package object

import (
	"slices"
	"time"
)

// Transfer is a copy by parts that is under way: at most one to an address at a
// time. Many workers take its parts, each one at a time.
type Transfer struct {
	// ID is unique; Revision counts what was changed of it. Zero: there is none.
	ID       string
	Revision int64

	Rule     string
	Run      int64 // of the rule, that began it; 0: an event did
	Existing bool  // the run was one for which objects older than the rule count
	From, To Ref
	// Damaged is the replica that is copied anew because a comparison found it to
	// be another than the source, which nothing else shows. Zero: that is not why.
	Damaged Dest
	// Source is the source as it was looked at, and the event that led to it.
	Source Source
	// EventAt is the time of that event; zero for a run.
	EventAt time.Time
	// Size of the object, and of each part but the last.
	Size, PartSize int64

	// Upload that takes the parts; without an ID nobody has begun one.
	Upload Upload
	// Openings are when workers set out to begin an upload, and are kept until
	// one is recorded: each but that may have left an upload behind. Opener is
	// the last of these workers.
	Openings []time.Time
	Opener   string
	// Leftovers are uploads of the transfers that this one took the place of;
	// they are to be aborted.
	Leftovers []string

	BegunAt time.Time
	// AliveUntil is when the worker that was last heard of should be heard of
	// again.
	AliveUntil time.Time
	// Tries counts the invitations after silence since a part was last done.
	Tries int
	// LastError is what the last attempt met that did not come on.
	LastError string

	// Counted is what was done when the workers last counted it, and ProgressAt
	// when one of them last told that a part was. Both are for people: parts that
	// were done since are in neither.
	Counted    Counted
	ProgressAt time.Time
	// Held says that the worker that was last heard of left, as the rule's limits
	// let it do no more.
	Held bool
}

// Counted is how much of a transfer was done at a time; without one, nobody
// counted yet.
type Counted struct {
	At    time.Time
	Parts int
	Bytes int64
}

// TransferPlace is where a transfer stands among those of its rule.
type TransferPlace struct {
	BegunAt time.Time
	To      Ref
}

// Place is where the transfer stands.
func (t Transfer) Place() TransferPlace { return TransferPlace{t.BegunAt, t.To} }

// Same reports whether both copy the very same source object by the same rule.
func (t Transfer) Same(o Transfer) bool {
	return t.Rule == o.Rule && t.From == o.From && t.Size == o.Size &&
		t.Source.ETag == o.Source.ETag && t.Source.VersionID == o.Source.VersionID &&
		t.Source.LastModified.Equal(o.Source.LastModified)
}

// Copies reports whether the source found now is still what the transfer copies.
func (t Transfer) Copies(found State) bool {
	return found.Presence == Present && found.ETag == t.Source.ETag && found.Size == t.Size &&
		found.VersionID == t.Source.VersionID && found.LastModified.Equal(t.Source.LastModified)
}

// Replacing is the transfer in place of one that is outdated, whose uploads it
// inherits to abort them.
func (t Transfer) Replacing(old Transfer) Transfer {
	t.Leftovers = slices.Clone(old.Leftovers)
	if old.Upload.ID != "" {
		t.Leftovers = append(t.Leftovers, old.Upload.ID)
	}
	t.Openings = slices.Clone(old.Openings)
	return t
}
