package run

import (
	"context"
	"time"
)

// Store keeps jobs, runs and shards. Every method fails with an *object.Error:
// Premise where a condition of a write does not hold (nothing was written then),
// and Permanent with the code RunNotFound where there is no such run. Reads are
// consistent. Each write is one conditional request or one transaction, so it
// takes effect as a whole or not at all.
//
// What the SDK repeats because an answer was lost must not fail for having taken
// effect before. A caller never repeats: whoever comes next reads first.
type Store interface {
	// Jobs answers the jobs of these rules. A rule that never ran has none.
	Jobs(ctx context.Context, rules []string) (map[string]Job, error)
	// SetJob replaces the job if it is still as seen: its LastRun, ActiveRun
	// and Scope. The zero Job (but for Rule) stands for none. The rule's
	// Lifetime stays.
	SetJob(ctx context.Context, seen, next Job) error
	// Begin stores the run, its first shard, and next in place of the job, if
	// that is still as seen. There must be no such run yet.
	Begin(ctx context.Context, seen, next Job, r Run, root Shard) error

	// Run answers one run.
	Run(ctx context.Context, rule string, id int64) (Run, error)
	// Runs lists up to limit runs with an ID below before (0: all), newest
	// first.
	Runs(ctx context.Context, rule string, before int64, limit int) ([]Run, error)
	// Shards lists a run's shards, in the order of their ranges.
	Shards(ctx context.Context, rule string, id int64) ([]Shard, error)

	// Turn writes what the life of a run changes (State, Phase, Open, EndedAt,
	// Approved, Error and Totals of next) if it still has State, Phase and Open
	// of was. Where one of the two is active and the other is not, job.ActiveRun
	// is set accordingly in the same transaction, to next's ID or to 0, and
	// NextDue and Retry to job's: if the job has ActiveRun 0 and this LastRun
	// where the run becomes active again, and this ActiveRun where it ends.
	// Where it ends, the rule's Lifetime grows as Lifetime.Ends has it.
	// A next that is Cancelled needs nothing of was but to be active, and
	// leaves Open as it is.
	Turn(ctx context.Context, was, next Run, job Job) error

	// Claim takes the lease on the ticket's shard for owner until the time
	// given, raises Fence and Tries, and answers the shard. A shard that
	// ended an earlier phase is opened again by a ticket for a later one, as
	// Shard.Open has it. Premise where it ended in the ticket's phase, or is
	// in a later one, or has not ended the earlier one, or is leased by
	// another owner at now.
	Claim(ctx context.Context, t Ticket, owner string, now, until time.Time) (Shard, error)
	// Save writes all of s under its Fence: Premise where the shard has
	// another one, or has ended.
	Save(ctx context.Context, s Shard) error
	// Share writes s, whose Range was cut and whose Children grew, under its
	// Fence, and children next to it: at most MaxChildren. Shards and Open of
	// the run grow by their number. The run must be active.
	Share(ctx context.Context, s Shard, children []Shard) error
	// End writes s, which must be Ended, under its Fence, and lowers the run's
	// Open by one. The shard must not have ended before.
	End(ctx context.Context, s Shard) error
	// Resent sets SentAt of a shard if it still has seen.SentAt and Fence.
	Resent(ctx context.Context, seen Shard, at time.Time) error

	// Heal removes the failures of a rule that occurred before a time, those of
	// damaged replicas only where damaged.
	Heal(ctx context.Context, rule string, before time.Time, damaged bool) error
}

// MaxChildren is how many shards one Share can make: a transaction writes 100
// items.
const MaxChildren = 98

// Queue sends tickets to the workers. It fails with an *object.Error; then some
// may have been sent.
type Queue interface {
	Send(ctx context.Context, tickets []Ticket) error
}
