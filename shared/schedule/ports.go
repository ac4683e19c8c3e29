package schedule

import (
	"context"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// Catalogs loads the rules, strongly consistent.
type Catalogs interface {
	Catalog(ctx context.Context) (rule.Catalog, error)
}

// Jobs is what a tick needs of run.Store beside run.Runs.
type Jobs interface {
	Jobs(ctx context.Context, rules []string) (map[string]run.Job, error)
	SetJob(ctx context.Context, seen, next run.Job) error
	Run(ctx context.Context, rule string, id int64) (run.Run, error)
}

// Failures are what is recorded of the objects that could not be replicated.
// Every method fails with an *object.Error.
type Failures interface {
	// Due lists up to limit failures of a rule whose RetryAt has come, the
	// longest overdue first.
	Due(ctx context.Context, rule string, now time.Time, limit int) ([]object.Failure, error)
	// Postpone sets RetryAt of a failure that is still as it was read;
	// Premise where it failed again, was healed, or was postponed by somebody
	// else.
	Postpone(ctx context.Context, f object.Failure, to time.Time) error
	// Trim removes the oldest failures of a rule beyond the number to keep,
	// and answers how many.
	Trim(ctx context.Context, rule string, keep int) (int, error)
}

// Transfers are the large objects that are copied by parts.
type Transfers interface {
	// Revive invites workers to those that nobody is at, and answers how many
	// that were. Those of rules that are paused wait.
	Revive(ctx context.Context, rules *rule.Set) (int, error)
}

// Queue sends messages to the event function. After an error some may have been
// sent.
type Queue interface {
	Send(ctx context.Context, bodies []string) error
}
