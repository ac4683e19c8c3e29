// Package storetest holds stateful fakes of what the use cases call (objects,
// ledger, queue), and the conformance suites that the fakes and every real
// adapter pass alike, so that a test against a fake says something about
// the real thing.
package storetest

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"bucket-replicator/shared/object"
)

// Call names one operation on a fake, before it takes effect.
type Call struct {
	// Op is the store and what it is asked for:
	//
	//	ledger.    read put forget deletes count hours capabilities observe,
	//	           of failures fail failure failures due postpone healed heal trim
	//	catalog.   read deploy pause put remove
	//	objects.   head tagging list copy retag delete describe read, of uploads
	//	           begin part complete abort uploads
	//	transfers. read put touch remove silent page parts claim finish
	//	runs.      jobs overview setjob begin run list shards turn claim save
	//	           share end resent heal
	//	limits.    draw swap
	//	queue.     defer backoff
	//	tickets.   send
	Op string
	// Ref is the address concerned: of a copy the destination, of a failure
	// the source, of a queue operation the message's id as Key, of runs
	// rule, rule/run or rule/run/shard as Key. Zero where there is not exactly
	// one.
	Ref object.Ref
}

// Fault says what becomes of a call.
type Fault uint8

const (
	// None lets the call run.
	None Fault = iota
	// FailBefore answers the hook's error and changes nothing.
	FailBefore
	// ApplyThenFail lets the call take effect, and answers the hook's error:
	// the response was lost on its way.
	ApplyThenFail
)

// Hook is called before every operation of a fake, outside its lock. It may
// block, so that a test or a model checker decides who goes next. The error
// is the call's answer wherever the fault is not None.
type Hook func(Call) (Fault, error)

// run asks the hook about c and then runs apply, whose error is the call's own
// answer: a lost response hides it like any other.
func (h Hook) run(c Call, apply func() error) error {
	if h == nil {
		return apply()
	}
	fault, err := h(c)
	switch fault {
	case FailBefore:
		return err
	case ApplyThenFail:
		_ = apply()
		return err
	default:
		return apply()
	}
}

// DyingAt is the fate of a process that dies at its nth call: this one takes effect
// where late, and none after it does. All answer err. died reports whether it came
// to that.
func DyingAt(nth int, late bool, err error) (hook Hook, died func() bool) {
	var calls atomic.Int64
	hook = func(Call) (Fault, error) {
		switch n := int(calls.Add(1)); {
		case n < nth:
			return None, nil
		case n == nth && late:
			return ApplyThenFail, err
		default:
			return FailBefore, err
		}
	}
	return hook, func() bool { return int(calls.Load()) >= nth }
}

// calls counts what a fake is asked for. Its lock guards all that the fake holds.
type calls struct {
	mu     sync.Mutex
	counts map[string]int
}

// call counts the operation and runs apply under the lock, as the hook allows.
func (c *calls) call(ctx context.Context, hook Hook, at Call, apply func() error) error {
	if err := ctx.Err(); err != nil {
		return &object.Error{Class: object.Retryable, Op: at.Op, Ref: at.Ref, Code: "RequestCanceled", Err: err}
	}
	c.mu.Lock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[at.Op]++
	c.mu.Unlock()
	return hook.run(at, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		return apply()
	})
}

// Counts says how often each operation was called, by the names of Call.Op,
// whatever became of it.
func (c *calls) Counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
