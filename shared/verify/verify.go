// Package verify compares the objects of a rule with their replicas: it looks at
// both, says of each key in what class it is and why, and what a run would do
// about it. It only reads.
package verify

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// Objects is what is looked at. Every method fails with an *object.Error; calls
// may be made concurrently.
type Objects interface {
	// Describe looks at all of the current version but its bytes, strongly
	// consistent. Absent and Hidden are answers, not errors. Tags are fetched
	// only where withTags, and sums other than the tag only where withSums.
	Describe(ctx context.Context, at object.Ref, withTags, withSums bool) (object.Detail, error)
	// Read reads n bytes, at least one, from offset on, if the tag is etag:
	// Premise otherwise. The reader answers all of them or an *object.Error.
	Read(ctx context.Context, at object.Ref, etag string, offset, n int64) (io.ReadCloser, error)
}

// Ledger is what is read of the provenance, as replicate.Ledger has it.
type Ledger interface {
	Read(ctx context.Context, at []object.Ref, consistent bool) (map[object.Ref]object.Provenance, int64, error)
}

// Transfers are the large objects that are being copied by parts. It fails with
// an *object.Error.
type Transfers interface {
	// Transfer answers the transfer to an address, the zero one where there is
	// none.
	Transfer(ctx context.Context, to object.Ref) (object.Transfer, error)
}

const (
	// settleTime is how long after a write the event path is given to follow: a
	// difference that is younger is looked at again when it is as old.
	settleTime = 30 * time.Second
	// maxLooks bounds how often an object is looked at that changes while it is
	// read.
	maxLooks = 3
)

// The reasons, where decide has no word for them.
const (
	byProvenance = "provenance" // matched: the destination is our copy of this very content
	byTag        = "etag"       // matched: the tags are equal; mismatch: both are MD5 sums, and differ
	bySum        = "checksum"   // matched or mismatch: both sides keep one of this kind
	byBytes      = "bytes"      // matched or mismatch

	sizeDiffers     = "size"
	metadataDiffers = "metadata" // what the source's writer gave it
	headersDiffer   = "headers"  // Content-Type and its like

	// TagsDiffer: the object tags alone.
	TagsDiffer = "tags"

	noTagProof = "etags_prove_nothing" // unverifiable: not those of KMS and of uploads in parts
	noSum      = "no_common_checksum"  // unverifiable: none of the whole object, and of one kind
	changed    = "changed"             // unverifiable: it kept changing while it was read
	failed     = "error"               // unverifiable: it could not be looked at

	keyTooLong = "key_too_long" // missing: no bucket takes the destination key

	otherRule    = "other_rule"    // not covered: another rule wrote it
	oppositeRule = "opposite_rule" // not covered: the rule that leads back copies it to the source
	// NotSampled: not covered, for another share of the keys is compared.
	NotSampled = "not_sampled"
)

// Verifier compares. It may be used concurrently; the fields are not to be
// changed once it is in use.
type Verifier struct {
	Objects Objects
	Ledger  Ledger
	Now     func() time.Time
	// Sleep waits for d. Where ctx ends before, it answers the error of ctx.
	Sleep func(ctx context.Context, d time.Duration) error
	// LeaseTTL is how long a write may take that a lease announced.
	LeaseTTL time.Duration
	// Transfers are asked about sources of ByParts bytes and more, where they are
	// not what the destination holds. Nil: none is copied by parts.
	Transfers Transfers
	ByParts   int64
}

// Check is how the keys of one verification are compared.
type Check struct {
	*Verifier
	Rules    *rule.Set
	Revision int64 // of the rules
	Rule     *rule.Active
	Mode     run.Mode
	// Slots bounds how many objects are compared at a time, over all that
	// share it.
	Slots chan struct{}
	// Limits holds what is read of each side to the rule's limits.
	Limits *limit.Limiter
	// Resume answers how much of an object was compared before, by its key
	// without the rule's prefix, and Note takes down how much of it is. They are
	// called concurrently.
	Resume func(key string) run.Partial
	Note   func(run.Partial)
}

// Result is what was found about one key.
type Result struct {
	run.Finding
	Bytes int64 // compared on each side
	// Source and Dest are the two sides as they were looked at.
	Source, Dest object.State
}

// Settle compares the two sides of all sightings, and answers in their order. It
// reads the ledger once for all of them. What differs may be on its way at this
// moment: where either side is young, or a lease says that somebody is at it, it
// waits a while and looks again, with all reads consistent.
//
// An error means that nothing can be said of any of them: the ledger could not
// be read, the rules are outdated (replicate.ErrRulesChanged), the context ended,
// or a limit holds the reading back (*limit.Held).
func (c Check) Settle(ctx context.Context, seen []replicate.Sighting) ([]Result, error) {
	attempts := make([]attempt, len(seen))
	every := make([]int, len(seen))
	for i := range seen {
		every[i] = i
	}
	if err := c.examineAll(ctx, seen, every, attempts, false); err != nil {
		return nil, err
	}
	var again []int
	var youngest time.Time
	for i, a := range attempts {
		if a.unsettled(c.Now()) {
			again = append(again, i)
			if a.latest.After(youngest) {
				youngest = a.latest
			}
		}
	}
	if len(again) > 0 {
		if wait := min(youngest.Add(settleTime).Sub(c.Now()), settleTime); wait > 0 {
			if err := c.Sleep(ctx, wait); err != nil {
				return nil, err
			}
		}
		if err := c.examineAll(ctx, seen, again, attempts, true); err != nil {
			return nil, err
		}
	}
	results := make([]Result, len(seen))
	for i, a := range attempts {
		results[i] = Result{a.finding, a.bytes, a.from, a.to}
	}
	return results, nil
}

// examineAll makes one attempt at each of some of the sightings; the last says
// that no other follows.
func (c Check) examineAll(ctx context.Context, seen []replicate.Sighting, which []int, attempts []attempt, last bool) error {
	chained := c.Rules.IsDestination(c.Rule.SourceBucket)
	var at []object.Ref
	for _, i := range which {
		if at = append(at, seen[i].Match.Dest); chained {
			at = append(at, seen[i].Source)
		}
	}
	items, revision, err := c.Ledger.Read(ctx, at, chained || last)
	if err != nil {
		return err
	}
	if revision != c.Revision {
		return replicate.ErrRulesChanged
	}
	var group sync.WaitGroup
	defer group.Wait()
	for _, i := range which {
		select {
		case c.Slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		group.Go(func() {
			defer func() { <-c.Slots }()
			attempts[i] = c.guarded(ctx, seen[i], items, attempts[i], last)
		})
	}
	group.Wait()
	for _, i := range which {
		if err := attempts[i].stopped; err != nil && ctx.Err() == nil {
			return err
		}
	}
	return ctx.Err() // what it cut short says nothing
}

// attempt is what one try found.
type attempt struct {
	finding  run.Finding
	bytes    int64
	seen     bool
	from, to object.State
	latest   time.Time // when something last happened to either side
	again    bool      // another try may find something else
	// apart is where the bytes of these two tags differ.
	apart *apart
	// stopped is why the limits did not let it be read: it says nothing of the key.
	stopped error
}

type apart struct {
	source, dest string
	at           int64
}

// unsettled reports whether another attempt may find something else.
func (a attempt) unsettled(now time.Time) bool {
	c := a.finding.Class
	return a.again || (c.Differs() || c == run.Unverifiable) && a.young(now)
}

// young reports whether somebody may be at it.
func (a attempt) young(now time.Time) bool { return now.Sub(a.latest) < settleTime }

// guarded is an attempt whose panic says of one key that it cannot be verified.
func (c Check) guarded(ctx context.Context, o replicate.Sighting, items map[object.Ref]object.Provenance, before attempt, last bool) (a attempt) {
	defer func() {
		if p := recover(); p != nil {
			a = attempt{finding: of(o, run.Unverifiable, failed, fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))}
		}
	}()
	for range maxLooks {
		a = c.examine(ctx, o, items[o.Match.Dest], items[o.Source], before)
		if a.finding.Reason != changed {
			break
		}
		before = a
	}
	if last && a.finding.Class.Differs() && a.young(c.Now()) {
		a.finding.Grade = run.Grade{Class: run.Unverifiable, Reason: string(decide.Busy)}
		a.finding.Why = "it is being replicated, or was changed a moment ago; at this moment " + a.finding.Why
	}
	return a
}

func of(o replicate.Sighting, class run.Class, reason, why string) run.Finding {
	return run.Finding{Key: o.Match.Dest.Key, Grade: run.Grade{Class: class, Reason: reason}, Why: why}
}

// examine looks at both sides and compares them.
func (c Check) examine(ctx context.Context, o replicate.Sighting, base, sourceBase object.Provenance, before attempt) attempt {
	if o.Match.TooLong {
		return attempt{finding: of(o, run.MissingOnDest, keyTooLong, "the destination key would be longer than the 1,024 bytes that S3 takes")}
	}
	tags, sums := c.Rule.ReplicateTags, c.Mode == run.Checksum
	// The destination first, so that it is no newer than what it is compared with.
	d, err := c.Objects.Describe(ctx, o.Match.Dest, tags, sums)
	if err != nil {
		return failure(o, "destination", err)
	}
	s, err := c.Objects.Describe(ctx, o.Source, tags || o.Match.NeedsTags(), sums)
	if err != nil {
		return failure(o, "source", err)
	}
	in, plan := replicate.Weigh(c.Rules, o.Match, o.Source,
		replicate.Seen{Source: s.State, Dest: d.State, Base: base, SourceBase: sourceBase}, c.LeaseTTL)
	a := attempt{seen: true, from: s.State, to: d.State, latest: later(s.LastModified, d.LastModified)}
	from, to := o.From, o.To
	if before.seen {
		from, to = before.from, before.to
	}
	if now := c.Now(); base.Pending.Held(now, c.LeaseTTL) || sourceBase.Pending.Held(now, c.LeaseTTL) ||
		moved(from, s.State) || moved(to, d.State) {
		a.latest = now
	}
	switch {
	case s.Presence.Gone() && d.Presence.Gone():
		a.finding = of(o, run.NotCovered, string(decide.Gone), "neither side has it any more")
	case s.Presence.Gone():
		a.finding = c.orphan(o, in, plan)
	case leftOut(plan):
		a.finding = of(o, run.NotCovered, string(plan.Reason), "the rule leaves it out")
	case d.Presence.Gone():
		a.finding = missing(o, plan)
	default:
		c.compare(ctx, o, s, d, in, plan, before, &a)
	}
	if wanted := a.finding.Class.Differs() && (plan.Action == decide.Copy || a.finding.Damaged); wanted && c.Transfers != nil && s.Size >= c.ByParts {
		c.transferring(ctx, o, &a)
	}
	return a
}

// transferring makes no difference of an object that is being copied by parts.
func (c Check) transferring(ctx context.Context, o replicate.Sighting, a *attempt) {
	tr, err := c.Transfers.Transfer(ctx, o.Match.Dest)
	switch {
	case err != nil:
		*a = failure(o, "state of its transfer", err)
	case tr.ID != "":
		a.finding = of(o, run.Unverifiable, string(decide.Transferring), "it is being copied by parts; at this moment "+a.finding.Why)
	}
}

// moved reports whether a side is not what it was in the listing, or at the last
// look.
func moved(was, is object.State) bool {
	return (was.Presence == object.Present) != (is.Presence == object.Present) || was.ETag != is.ETag
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// failure is an attempt that could not look. What may work another time is tried
// once more.
func failure(o replicate.Sighting, side string, err error) attempt {
	return attempt{
		finding: of(o, run.Unverifiable, failed, fmt.Sprintf("the %s could not be read: %v", side, err)),
		again:   object.ClassOf(err) != object.Permanent,
	}
}

// leftOut reports whether the rule has nothing to do with the object.
func leftOut(plan decide.Plan) bool {
	switch plan.Reason {
	case decide.Excluded, decide.Existing, decide.LowerPriority, decide.Echo, decide.DeletedThere:
		return true
	}
	return false
}

// orphan is a key that only the destination has.
func (c Check) orphan(o replicate.Sighting, in decide.Input, plan decide.Plan) run.Finding {
	written := in.Base.Describes(in.Dest)
	ours := written && in.Base.Rule == c.Rule.Name
	switch {
	case written && !ours:
		return of(o, run.NotCovered, otherRule, "another rule wrote it")
	case !ours && c.leadsBack(o):
		return of(o, run.NotCovered, oppositeRule, "the rule that leads back copies it to the source")
	case !ours && !c.Rule.AdmitsSize(in.Dest.Size):
		return of(o, run.NotCovered, string(decide.Excluded), "the rule takes no object of this size")
	case !ours:
		plan.Reason = decide.NotOurs
	}
	f := of(o, run.OrphanOnDest, string(plan.Reason), "the source has no such object")
	f.Kept = plan.Action != decide.Delete
	switch plan.Reason {
	case decide.NotOurs:
		f.Why += ", and what is here was not written by this rule"
	case decide.DeletesOff:
		f.Why += " any more; the rule keeps replicas"
	case decide.Lifecycle:
		f.Why += " any more, since a lifecycle rule removed it; the rule keeps replicas then"
	default:
		f.Why += " any more; a run deletes it, under the delete limit"
	}
	return f
}

// leadsBack reports whether some rule makes the source of a key from its
// destination.
func (c Check) leadsBack(o replicate.Sighting) bool {
	for _, m := range c.Rules.Match(o.Match.Dest) {
		if m.Dest == o.Source && !m.Excluded {
			return true
		}
	}
	return false
}

// missing is a key that only the source has, and that the rule wants.
func missing(o replicate.Sighting, plan decide.Plan) run.Finding {
	switch plan.Action {
	case decide.Copy:
		return of(o, run.MissingOnDest, string(decide.Missing), "the destination has no such object")
	case decide.Park:
		return of(o, run.Unverifiable, string(decide.Archived), "the source is archived, and is copied when it is restored")
	default:
		return of(o, run.Unverifiable, string(plan.Reason), "the destination has no such object, and a run would not copy it")
	}
}
