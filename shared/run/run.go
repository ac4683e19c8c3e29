// Package run is the life of a run: a full reconcile of one rule, or a
// verification of it, cut into shards that many workers walk at the same time,
// each under a lease with a fence. It knows when a run may start, when it is
// over, what it added up to, and what to do when somebody who worked on it died.
// Schedule, reconcile and the admin API share it.
package run

import (
	"maps"
	"slices"
	"time"

	"bucket-replicator/shared/keyspace"
)

// State of a run.
type State string

// The states. A run is active while it is Queued or Running.
const (
	Queued              State = "queued"  // nobody has begun to walk
	Running             State = "running" //
	Succeeded           State = "succeeded"
	CompletedWithErrors State = "completed_with_errors" // some objects failed
	Failed              State = "failed"                // some keys were not seen at all
	Cancelled           State = "cancelled"
	DeletesHeld         State = "deletes_held" // all is copied; the deletes wait for somebody's approval
)

// Active reports whether workers may go on with the run.
func (s State) Active() bool { return s == Queued || s == Running }

// Trigger says what started a run.
type Trigger string

// The triggers.
const (
	BySchedule Trigger = "schedule" // its interval is over
	ByRunNow   Trigger = "run-now"  // somebody asked for it
	ByResume   Trigger = "resume"   // the rule's pause is over
	ByRetry    Trigger = "retry"    // the last run failed
)

// Asked is what a run does beside what its rule says.
type Asked struct {
	// Existing asks for a resync: every object is looked at, whatever a
	// listing would prove, and those older than the rule count.
	Existing bool
	// Adopt takes over the replicas that another replication left.
	Adopt bool
	// Compare, too, what the decision holds to be in step, as a verification of
	// that mode does, and copy anew what is not. Empty: the decision's word counts.
	Compare Mode
}

// Phase of a run, and of a shard. The zero value is no phase.
type Phase int

// The phases. Deleting begins when every shard has come to the end of Copying
// and every listing succeeded, and only if there is something to delete. Each
// approval of held deletes begins one more phase after it.
const (
	Copying  Phase = 1
	Deleting Phase = 2
)

// Deletes reports whether the phase deletes and does nothing else.
func (p Phase) Deletes() bool { return p >= Deleting }

// Totals are what a shard or a run added up to. Every key that either side has
// is scanned once, and Scanned is the sum of Copied, Skipped, Deleted, Errors
// and what is still a candidate; in a verification it is the sum of Found.
type Totals struct {
	Scanned int64
	Copied  int64
	Deleted int64
	Errors  int64
	Bytes   int64            // copied; in a verification, compared on each side
	Skipped map[string]int64 // by decide.Reason
	// Sources counts the keys that the source has: none of it in a run with
	// candidates means that the source is suddenly empty.
	Sources int64
	// Candidates are the deletes that Copying found and left to Deleting,
	// which may make so many and no more. It stays when they are made.
	Candidates int64
	// Held are deletes that wait for an approval: of a run that passed the
	// limit all candidates, of a shard what Deleting found on top of them.
	Held int64
	// Sample has some of the destination keys that are held or about to be
	// deleted, at most MaxSample.
	Sample []string
	// Found counts the keys of a verification by class and reason, and
	// Findings are some of them.
	Found    map[Grade]int64
	Findings []Finding
}

// MaxSample bounds Totals.Sample.
const MaxSample = 10

// Skip counts n keys as skipped for a reason.
func (t *Totals) Skip(reason string, n int64) {
	if t.Skipped == nil {
		t.Skipped = map[string]int64{}
	}
	t.Skipped[reason] += n
}

// SkippedSum is the number of keys skipped, whatever the reason.
func (t Totals) SkippedSum() int64 {
	var sum int64
	for _, n := range t.Skipped {
		sum += n
	}
	return sum
}

// Add is the sum of both. Neither operand shares its map or list with it.
func (t Totals) Add(o Totals) Totals {
	t.Scanned += o.Scanned
	t.Copied += o.Copied
	t.Deleted += o.Deleted
	t.Errors += o.Errors
	t.Bytes += o.Bytes
	t.Sources += o.Sources
	t.Candidates += o.Candidates
	t.Held += o.Held
	t.Skipped = maps.Clone(t.Skipped)
	for reason, n := range o.Skipped {
		t.Skip(reason, n)
	}
	sample := append(append([]string(nil), t.Sample...), o.Sample...)
	t.Sample = sample[:min(len(sample), MaxSample)]
	t.Found = maps.Clone(t.Found)
	for g, n := range o.Found {
		t.found(g, n)
	}
	t.Findings = slices.Clone(t.Findings)
	for _, f := range o.Findings {
		t.keep(f)
	}
	return t
}

// Lifetime sums up the runs of a rule that ended, each as it ended last: the
// store adds to it when a run ends. It outlives the runs.
type Lifetime struct {
	Runs    int64
	Since   time.Time // when the first of them began; zero: none ended
	Scanned int64
	Copied  int64
	Skipped int64
	Deleted int64
	Errors  int64
	Bytes   int64 // copied
}

// Ends is the lifetime after a run that was, and next has ended: a run whose
// held deletes were approved ends twice, and counts once.
func (l Lifetime) Ends(was, next Run) Lifetime {
	if !was.Approved {
		l.Runs++
	}
	if l.Since.IsZero() {
		l.Since = next.StartedAt
	}
	l.Scanned += next.Scanned - was.Scanned
	l.Copied += next.Copied - was.Copied
	l.Skipped += next.SkippedSum() - was.SkippedSum()
	l.Deleted += next.Deleted - was.Deleted
	l.Errors += next.Errors - was.Errors
	l.Bytes += next.Bytes - was.Bytes
	return l
}

// Overview is what many rules are at, as one batch of reads shows it.
type Overview struct {
	Catalog   int64 // revision of the rules
	Jobs      map[string]Job
	Lifetimes map[string]Lifetime
	Runs      map[string]Run // those that were asked for, by rule
}

// Run is one full reconcile of one rule, or one verification.
type Run struct {
	// Rule is the rule's name; of a verification, Verifications of it.
	Rule string
	ID   int64 // counts up from 1 within the rule
	Trigger
	// Mode of a verification; empty where the run replicates.
	Mode Mode
	// Percent of the keys that both sides have are compared, where it is not 0.
	Percent int64
	Asked
	// Scope is what is walked, as ScopeOf has it. A rule whose scope changed
	// meanwhile makes the run void.
	Scope string
	State State
	Phase Phase
	// Shards were made so far; Open of them have not ended this phase.
	Shards, Open int64
	StartedAt    time.Time
	EndedAt      time.Time // zero while active
	// Expected is how many keys the last run scanned; 0: nobody knows.
	Expected int64
	// Approved: somebody let the held deletes go.
	Approved bool
	// Error says why a run Failed.
	Error string
	// Totals of a run that ended. While it is active they are the sum over
	// its shards, which Runs.Progress reads.
	Totals
}

// Shard is one range of keys of one run.
type Shard struct {
	Rule string
	Run  int64
	// ID is "1" for the shard that a run begins with, and "1.2" for the second
	// one that shard "1" gave away.
	ID string
	// Children counts the shards that it gave away.
	Children int64
	// Range of the keys, without the rule's prefixes. Sharing cuts it shorter.
	Range keyspace.Range
	Phase Phase
	// Cursor is the last key that is done; what follows it in Range is left.
	Cursor string
	Ended  bool // in Phase
	// Intent are the keys, without prefix, that are being deleted: written
	// ahead, so that whoever comes after a worker that died can tell a delete
	// of ours from an object that never was.
	Intent []string
	// Partial are objects beyond Cursor whose bytes are compared in part.
	Partial []Partial
	Totals
	// Error says why the shard gave up. It has ended then, and not all of its
	// keys were seen.
	Error string

	// Owner holds the lease until LeasedUntil. Empty: nobody does.
	Owner       string
	LeasedUntil time.Time
	// Fence counts the claims. What is written under an older fence fails.
	Fence int64
	// Tries counts the claims since the cursor last moved.
	Tries int
	// SavedAt is when the cursor was last written; SentAt when a ticket for
	// the shard was last sent.
	SavedAt, SentAt time.Time
}

// Job is a rule as something that is to be done again and again: one per rule,
// and one for the verifications of it, which is never due by itself.
type Job struct {
	Rule string
	// LastRun is the youngest run's ID, ActiveRun the same while that run is
	// active, else 0. A rule that never ran has neither.
	LastRun, ActiveRun int64
	// NextDue is when the next run starts by itself; zero: at once.
	NextDue time.Time
	// Retry: that will be because the last run failed.
	Retry bool
	// Scope of the last run, empty where the rule is to start as a new one.
	Scope string
}

// Ticket is one message of the shards queue: one shard to work on, in one phase.
type Ticket struct {
	Rule  string `json:"rule"`
	Run   int64  `json:"run"`
	Shard string `json:"shard"`
	Phase Phase  `json:"phase"`
	// Hop counts how often the shard was put back before a deadline.
	Hop int `json:"hop,omitempty"`
}

// Open is the shard at the beginning of a later phase, which may delete what
// the one before counted.
func (s Shard) Open(p Phase) Shard {
	s.Phase, s.Cursor, s.Ended, s.Tries, s.Intent = p, s.Range.After, false, 0, nil
	s.Candidates, s.Held = s.Candidates+s.Held, 0
	return s
}

// deletable reports whether the shard has something to do in the next deleting
// phase.
func (s Shard) deletable() bool {
	return s.Held > 0 || s.Phase == Copying && s.Candidates > 0
}

// silent reports whether nobody will come for the shard: its worker died, or
// its ticket was lost. latest is when anybody last did something for the run:
// while others do, a shard that nobody holds may just be waiting its turn.
func (s Shard) silent(now, latest time.Time, lease time.Duration) bool {
	switch {
	case s.Ended:
		return false
	case s.Owner != "":
		return now.Sub(s.LeasedUntil) > reviveAfter*lease && now.Sub(s.SentAt) > reviveAfter*lease
	default:
		return now.Sub(latest) > silence*lease
	}
}

// latest is when something was last done for the shard.
func (s Shard) latest() time.Time {
	t := s.SentAt
	for _, other := range []time.Time{s.SavedAt, s.LeasedUntil} {
		if other.After(t) {
			t = other
		}
	}
	return t
}
