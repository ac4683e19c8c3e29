package adminapi

import (
	"context"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// Catalogs has the rules. Its methods fail with an *object.Error.
type Catalogs interface {
	// Catalog loads the rules, strongly consistent.
	Catalog(ctx context.Context) (rule.Catalog, error)
	// SetPaused pauses a rule or lets it go on. It changes nothing where the
	// rule is in that state already; Permanent with the code RuleNotFound where
	// there is no such rule.
	SetPaused(ctx context.Context, name string, paused bool) error
	// PutRule stores a rule of the API, new where seen is 0, else in place of
	// the one of that revision, and answers its revision. RemoveRule removes
	// one. Both do so only while the catalog is at this revision, and no rule
	// that is deployed; Premise otherwise.
	PutRule(ctx context.Context, r rule.Rule, seen, catalog int64, now time.Time) (int64, error)
	RemoveRule(ctx context.Context, name string, seen, catalog int64) error
}

// Store is what is wanted of the jobs and their runs, as run.Store has it; most
// of what changes them goes through run.Runs.
type Store interface {
	Jobs(ctx context.Context, rules []string) (map[string]run.Job, error)
	SetJob(ctx context.Context, seen, next run.Job) error
	Run(ctx context.Context, rule string, id int64) (run.Run, error)
	Runs(ctx context.Context, rule string, before int64, limit int) ([]run.Run, error)
	// Overview reads, consistently and in one batched request per 100 items, the
	// catalog's revision, the jobs and lifetimes of these rules, and of each rule
	// in runs the run of that ID, if there is one.
	Overview(ctx context.Context, rules []string, runs map[string]int64) (run.Overview, error)
}

// Failures lists up to limit of the objects that a rule could not replicate,
// those that failed last first, after a place that an earlier answer had. It
// fails with an *object.Error.
type Failures interface {
	FailurePage(ctx context.Context, rule string, after object.FailurePlace, limit int) ([]object.Failure, error)
}

// Transfers lists large objects that are being copied by parts. It fails with an
// *object.Error.
type Transfers interface {
	// TransferPage lists up to limit of a rule's, those first that began first,
	// after a place that an earlier answer had.
	TransferPage(ctx context.Context, rule string, after object.TransferPlace, limit int) ([]object.Transfer, error)
	// SilentTransfers lists up to limit of all rules', of which nobody has to be
	// heard before a time, those first that should have been.
	SilentTransfers(ctx context.Context, before time.Time, limit int) ([]object.Transfer, error)
}

// Hours lists what was counted for a rule in the hours from a time on, oldest
// first, without those of nothing. It fails with an *object.Error.
type Hours interface {
	Hours(ctx context.Context, rule string, from time.Time) ([]object.Hour, error)
}

// Capabilities answers what backends were seen to keep. It fails with an
// *object.Error.
type Capabilities interface {
	Capabilities(ctx context.Context) (map[object.Endpoint]object.Capabilities, error)
}
