package replicate

import (
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
)

// Result says how one change ended for one rule.
type Result string

// The results.
const (
	Copied   Result = "copied"
	Retagged Result = "retagged" // only the tags were brought up to date
	Deleted  Result = "deleted"
	Skipped  Result = "skipped" // Reason says why
	Parked   Result = "parked"  // until a restore completes
	// Candidate is a delete that a sweep left to its second phase.
	Candidate Result = "candidate"
	Deferred  Result = "deferred" // somebody else is at it: put back, which is no try
	Retried   Result = "retried"  // a transient error: back to the queue
	Failed    Result = "failed"   // recorded; finished for the queue
	Crashed   Result = "crashed"  // a defect: back to the queue, and to the DLQ in the end
)

// Outcome is what became of one change for one rule.
type Outcome struct {
	Rule         string // empty where no rule concerns the object
	Source, Dest object.Ref
	Result       Result
	Reason       decide.Reason
	Bytes        int64         // copied
	Lost         []string      // what the replica could not be given; see object.Copied
	Latency      time.Duration // from the event to the replica, where one was copied for an event
	Err          error         // where Retried or Failed
	// Wait is how long at least a limit holds the object back, where Deferred for
	// that.
	Wait time.Duration
}
