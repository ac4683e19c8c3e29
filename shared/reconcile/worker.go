// Package reconcile is the worker of a run: it walks one shard, a range of keys
// of one rule, as one merge of the listings of both sides, decides about every
// key as the event path does, and acts on those that are not in step. Of a
// verification it compares them.
//
// What it saves is the last key up to which all is done, together with what that
// added up to, so that whoever goes on after it counts nothing twice and leaves
// nothing out.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/verify"
)

// Lister lists up to limit objects (1 to 1,000) whose keys begin with prefix and
// come after after, in the order of their bytes, and whether there are more. It
// fails with an *object.Error; a page is empty only at the end.
type Lister interface {
	List(ctx context.Context, b object.Bucket, prefix, after string, limit int) ([]object.Listed, bool, error)
}

// Failures records what failed; it fails with an *object.Error.
type Failures interface {
	Fail(ctx context.Context, f object.Failure) error
}

const (
	// saveEvery is how often a shard is saved at least, in parts of the lease.
	saveEvery = 6
	// maxTries is how often in a row a shard is begun without coming on. The
	// queue must deliver a ticket more often than that before it gives it up.
	maxTries = 5
	// readReserve before the deadline no more keys are read, so that what was
	// begun comes to its end: a copy of 5 GiB takes about a minute.
	readReserve = 90 * time.Second
	// saveReserve before the deadline what is still under way is given up, to
	// save the rest.
	saveReserve = 15 * time.Second
)

// Worker works on shards, one at a time or several. The fields are not to be
// changed once it is in use.
type Worker struct {
	Replicator *replicate.Replicator
	Verifier   *verify.Verifier
	Runs       *run.Runs
	Lister     Lister
	Failures   Failures
	Hours      replicate.Hours
	Metrics    *telemetry.Metrics
	Log        *slog.Logger
	Now        func() time.Time
	// Workers is how many may work on a run at the same time. A shard is
	// shared as long as some of them may be idle. A verification takes half of
	// them, so that a run finds the others.
	Workers int64
	// SaveGap is the least time between two saves of a shard while it comes on:
	// all shards of a rule are in one partition of the table, which takes 1,000
	// writes a second.
	SaveGap time.Duration
	// Slots bounds how many objects are worked on at a time, over all shards.
	Slots chan struct{}
}

// Work works on the ticket's shard until it is done, or the context's deadline
// is near, and the rest waits for another ticket. An error means that the ticket
// is to be delivered again; what was done until then is saved. There is none
// where the ticket is outdated or the shard is somebody else's. owner is unique
// to the ticket, the same in all its deliveries.
func (w *Worker) Work(ctx context.Context, t run.Ticket, owner string) error {
	of, shard, err := w.Runs.Claim(ctx, t, owner)
	log := w.Log.With("rule", run.RuleOf(t.Rule), "run", t.Run, "shard", t.Shard)
	if run.IsOver(err) {
		log.InfoContext(ctx, "nothing to do", "why", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	rules, revision, err := w.Replicator.Rules(ctx)
	if err != nil {
		return err
	}
	a := rules.Rule(run.RuleOf(t.Rule))
	if a == nil || a.Paused && !of.Verifies() || run.ScopeOf(a) != of.Scope {
		// The schedule cancels the run.
		log.WarnContext(ctx, "the rule of the run is gone, paused, or leads elsewhere")
		return nil
	}
	if !of.Verifies() && !a.Limits.Open(w.Now()) {
		log.InfoContext(ctx, "parked", "why", limit.ErrClosed.Error())
		return ignoreOver(w.Runs.Park(ctx, shard, false))
	}
	if shard.Tries > maxTries {
		shard.Error = fmt.Sprintf("shard %s made no progress in %d tries; the function's log says why", shard.ID, maxTries)
		_, err := w.Runs.End(ctx, a, shard)
		return err
	}
	k := w.walk(of, shard, rules, revision, a, log)
	if !of.Verifies() { // which copies nothing
		defer k.tally(ctx, shard.Totals)
	}
	defer k.returnPlaces(ctx)
	return k.run(ctx, t.Hop)
}

// returnPlaces leaves the rule's places to others at once. Where that fails they
// come back by themselves.
func (k *walk) returnPlaces(ctx context.Context) {
	if err := k.Replicator.Limits.Return(ctx, k.rule.Name); err != nil {
		k.log.WarnContext(ctx, "places not returned", "error", err)
	}
}

// tally counts what this attempt brought the shard on by.
func (k *walk) tally(ctx context.Context, before run.Totals) {
	k.mu.Lock()
	now := k.shard.Totals
	k.mu.Unlock()
	replicate.Tally{k.rule.Name: {
		Copied: now.Copied - before.Copied, Bytes: now.Bytes - before.Bytes,
		Deleted: now.Deleted - before.Deleted, Failed: now.Errors - before.Errors,
	}}.Write(ctx, k.Hours, k.Now(), k.log)
}

func (w *Worker) walk(of run.Run, shard run.Shard, rules *rule.Set, revision int64, a *rule.Active, log *slog.Logger) *walk {
	if of.Existing {
		resync := *a
		resync.ExistingObjects = true
		a = &resync
	}
	k := &walk{
		Worker: w, log: log, of: of, rule: a, rules: rules, shard: shard,
		until: shard.Range.Until, position: shard.Cursor,
		sweep: replicate.Sweep{
			Replicator: w.Replicator, Rules: rules, Revision: revision, Rule: a, Run: of.ID,
			Holder: fmt.Sprintf("%s/%d/%s", of.Rule, of.ID, shard.ID), Attempt: int(shard.Fence),
			Suspicious: of.Existing, Adopt: of.Adopt, Slots: w.Slots,
		},
		workers:  w.Workers,
		wake:     make(chan struct{}, 1),
		inFlight: make(chan struct{}, max(2, cap(w.Slots)/segmentSize+2)),
	}
	k.errand = k
	if most := int64(a.Limits.Concurrency); most > 0 {
		k.workers = min(k.workers, most)
	}
	switch {
	case of.Verifies():
		k.errand = newVerification(k, revision, of.Mode)
		k.workers = max(1, k.workers/2)
	case of.Compare != "":
		k.errand = comparison{newVerification(k, revision, of.Compare)}
	}
	if shard.Tries > 1 || shard.Fence > 1 {
		k.recheck = later(shard.SavedAt, of.StartedAt).Add(-clockSkew)
	}
	return k
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// run walks the shard in its run's phase and brings it to its end, or gives it
// back.
func (k *walk) run(ctx context.Context, hop int) (err error) {
	settling, reading := ctx, ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		settling, cancel = context.WithDeadline(ctx, deadline.Add(-saveReserve))
		defer cancel()
		reading, cancel = context.WithDeadline(ctx, deadline.Add(-readReserve))
		defer cancel()
	}
	if closes, bounded := k.rule.Limits.Closes(k.Now()); bounded && !k.of.Verifies() {
		var cancel context.CancelFunc
		reading, cancel = context.WithTimeoutCause(reading, closes.Sub(k.Now()), limit.ErrClosed)
		defer cancel()
	}
	held := (*limit.Held)(nil)
	if k.shard.Phase.Deletes() {
		err = k.deleting(settling, reading)
	} else {
		err = k.copying(settling, reading)
	}
	switch {
	case err == nil:
		_, err := k.Runs.End(ctx, k.rule, k.shard)
		return ignoreOver(err)
	case errors.Is(err, errUncertain):
		return ignoreOver(err)
	case run.IsOver(err):
		k.log.InfoContext(ctx, "stopped", "why", err.Error())
		return nil
	case errors.Is(err, limit.ErrClosed), errors.As(err, &held):
		k.log.InfoContext(ctx, "parked", "why", err.Error())
		return ignoreOver(k.Runs.Park(ctx, k.shard, true))
	case errors.Is(err, replicate.ErrRulesChanged), ctx.Err() == nil && reading.Err() != nil:
		k.log.InfoContext(ctx, "the rest is put back", "hop", hop+1)
		return ignoreOver(k.Runs.Yield(ctx, k.shard, hop+1))
	case isPermanent(err):
		k.shard.Error = err.Error()
		k.log.ErrorContext(ctx, "shard failed", "error", err)
		_, err := k.Runs.End(ctx, k.rule, k.shard)
		return ignoreOver(err)
	default:
		k.log.WarnContext(ctx, "shard interrupted", "error", err)
		return errors.Join(err, ignoreOver(k.Runs.Release(ctx, k.shard)))
	}
}

// ignoreOver is err, or nil where that says that somebody else has the shard or
// the run is over: then there is nothing left to do.
func ignoreOver(err error) error {
	if run.IsOver(err) {
		return nil
	}
	return err
}

func isPermanent(err error) bool { return err != nil && object.ClassOf(err) == object.Permanent }
