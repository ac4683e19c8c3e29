package replicate

import (
	"errors"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/limit"
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
	// Damaged is the replica that a comparison found to be another than the source,
	// if that led here.
	Damaged object.Dest
	// Wait is how long at least a limit holds the object back, where Deferred for
	// that.
	Wait time.Duration
}

// done is the outcome of a plan that was carried out.
func (t *task) done(plan decide.Plan) Outcome {
	switch {
	case t.wrote != "":
		return t.outcome(t.wrote, t.why)
	case plan.Action == decide.Park:
		return t.outcome(Parked, plan.Reason)
	default:
		return t.skipped(plan.Reason)
	}
}

func (t *task) skipped(why decide.Reason) Outcome { return t.outcome(Skipped, why) }

// stopped is the outcome of an error.
func (t *task) stopped(err error) Outcome {
	o := t.outcome(Retried, "")
	if held := (*limit.Held)(nil); errors.As(err, &held) {
		o.Result, o.Reason, o.Wait = Deferred, decide.Limited, held.For
		return o
	}
	if object.ClassOf(err) == object.Permanent {
		o.Result = Failed
	}
	o.Err = err
	return o
}

func (t *task) outcome(result Result, why decide.Reason) Outcome {
	o := Outcome{Rule: t.match.Rule.Name, Source: t.change.Ref, Dest: t.match.Dest, Result: result, Reason: why, Damaged: t.suspect()}
	if result == Copied {
		o.Bytes, o.Lost = t.bytes, t.lost
		if !t.change.Time.IsZero() {
			o.Latency = t.now().Sub(t.change.Time)
		}
	}
	return o
}
