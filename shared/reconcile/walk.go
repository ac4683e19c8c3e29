package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

const (
	// segmentSize is how many keys of a segment need more than the listings:
	// what one batched read of the ledger asks for, beside the rules.
	segmentSize = 99
	// segmentKeys is how many keys a segment has at most.
	segmentKeys = 1000
	// pageSize is the largest page that S3 answers.
	pageSize = 1000
	// clockSkew is how far the clocks of S3 and of workers may be apart.
	clockSkew = 15 * time.Minute
)

// errUncertain says that nobody knows whether part of the shard was given away.
// Only a new claim tells; nothing may be saved before.
var errUncertain = errors.New("it is not known whether the shard was shared")

// errand is what is done with the keys of a walk. A walk does by itself what a
// run is for.
type errand interface {
	// consider counts what the listings decide, and puts aside what they do not.
	consider(seg *segment, p keyspace.Pair)
	// settle deals with what was put aside, and counts it.
	settle(ctx context.Context, seg *segment) error
	// passed is told of each segment behind the cursor, while the walk is locked.
	passed(seg *segment)
}

// walk is one attempt at one shard.
type walk struct {
	*Worker
	log    *slog.Logger
	of     run.Run
	rule   *rule.Active
	rules  *rule.Set
	errand errand
	sweep  replicate.Sweep
	// recheck is set where another attempt came before: a replica written since
	// may be that one's, so the ledger is asked whose it is.
	recheck time.Time

	workers  int64         // that may work on the run at the same time
	wake     chan struct{} // the shard is to be saved
	inFlight chan struct{} // bounds the segments that are being settled
	settling sync.WaitGroup
	saved    time.Time // when the shard was last saved, by the monotonic clock

	mu       sync.Mutex
	shard    run.Shard // with all that is done up to its Cursor
	until    string    // where reading ends; comes nearer when the shard is shared
	position string    // the last key read
	walked   int64     // keys read since the shard was last shared
	read     int64     // keys read by this attempt
	ahead    []*segment
	pending  int // keys settled since the shard was last saved
	recorded int // failures
}

// segment is a stretch of the walk that is saved as a whole.
type segment struct {
	upTo   string // its last key
	keys   int
	bytes  int64 // of the sources of slow
	totals run.Totals
	slow   []replicate.Sighting // what needs more than the listings
	done   bool
}

// source lists the source side, the keys without the rule's prefix.
func (k *walk) source(ctx context.Context, after string) ([]object.Listed, bool, error) {
	return k.list(ctx, k.rule.SourceBucket, k.rule.Source.Prefix, after)
}

// dest lists the destination side.
func (k *walk) dest(ctx context.Context, after string) ([]object.Listed, bool, error) {
	return k.list(ctx, k.rule.DestBucket, k.rule.Destination.Prefix, after)
}

func (k *walk) list(ctx context.Context, b object.Bucket, prefix, after string) ([]object.Listed, bool, error) {
	if after != "" {
		after = prefix + after
	}
	page, more, err := k.Lister.List(ctx, b, prefix, after, pageSize)
	if prefix != "" {
		for i := range page {
			page[i].Key = page[i].Key[len(prefix):]
		}
	}
	return page, more, err
}

// copying is the first phase: everything but deletes. settling and reading end
// before the function's time does.
func (k *walk) copying(settling, reading context.Context) error {
	if err := k.firstCut(settling); err != nil {
		return err
	}
	reading, stop := context.WithCancelCause(reading)
	defer stop(nil)
	kept := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(kept)
		if err := k.keep(settling, over); err != nil {
			stop(err)
		}
	}()
	err := k.readAll(settling, reading, stop)
	k.settling.Wait()
	close(over)
	<-kept
	if cause := context.Cause(reading); cause != nil && (errors.Is(cause, errUncertain) || err == nil && len(k.ahead) > 0) {
		return cause // came up after the last key was read
	}
	return err
}

// readAll reads the range and hands out what it finds.
func (k *walk) readAll(settling, reading context.Context, stop context.CancelCauseFunc) error {
	seg := &segment{}
	for p, err := range keyspace.Merge(reading, keyspace.Range{After: k.shard.Cursor, Until: k.until}, k.source, k.dest) {
		if err != nil {
			if cause := context.Cause(reading); cause != nil {
				return cause
			}
			return err
		}
		if !k.advance(p.Key) {
			break
		}
		seg.upTo = p.Key
		seg.keys++
		k.errand.consider(seg, p)
		if k.full(seg) {
			if err := k.dispatch(settling, reading, stop, seg); err != nil {
				return err
			}
			seg = &segment{}
		}
	}
	if seg.keys == 0 {
		return context.Cause(reading)
	}
	return k.dispatch(settling, reading, stop, seg)
}

// full reports whether a segment is to be saved. Under a limit it has no more than
// a second's worth, or than may be copied at a time, so that it comes to its end
// among many.
func (k *walk) full(seg *segment) bool {
	limits := k.rule.Limits
	return len(seg.slow) >= min(segmentSize, k.rule.BatchSize) || seg.keys >= segmentKeys ||
		limits.BytesPerSecond > 0 && seg.bytes >= limits.BytesPerSecond ||
		limits.Concurrency > 0 && len(seg.slow) >= limits.Concurrency
}

// advance notes the next key, unless it was given away.
func (k *walk) advance(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until != "" && key > k.until {
		return false
	}
	k.position = key
	k.walked++
	k.read++
	if k.read == firstLook {
		k.poke()
	}
	return true
}

// poke has the shard saved soon.
func (k *walk) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// consider counts what the listings decide, and puts aside what they do not.
func (k *walk) consider(seg *segment, p keyspace.Pair) {
	seg.totals.Scanned++
	if p.Source.Presence == object.Present {
		seg.totals.Sources++
	}
	s := k.sighting(p)
	if reason, ok := k.listed(s); ok {
		seg.totals.Skip(string(reason), 1)
		return
	}
	seg.slow = append(seg.slow, s)
	seg.bytes += p.Source.Size
}

func (k *walk) sighting(p keyspace.Pair) replicate.Sighting {
	key := k.rule.Source.Prefix + p.Key
	return replicate.Sighting{
		Match:  k.rules.MatchOf(k.rule, key),
		Source: object.Ref{Bucket: k.rule.SourceBucket, Key: key},
		From:   p.Source, To: p.Dest,
	}
}

// listed is why a key is skipped that the listings alone decide.
func (k *walk) listed(s replicate.Sighting) (decide.Reason, bool) {
	plan, ok := decide.Listed(decide.Input{
		Rule: k.rule, Excluded: s.Match.Excluded, Outranked: s.Match.Outranked, Source: s.From, Dest: s.To, Adopt: k.of.Adopt,
	})
	if !ok {
		return "", false
	}
	if plan.Reason == decide.InSync {
		young := !k.recheck.IsZero() && !s.To.LastModified.Before(k.recheck)
		return plan.Reason, !k.of.Existing && k.of.Compare == "" && !young
	}
	return plan.Reason, true
}

// dispatch settles a segment in the background, and waits where too many are
// under way.
func (k *walk) dispatch(settling, reading context.Context, stop context.CancelCauseFunc, seg *segment) error {
	k.mu.Lock()
	k.ahead = append(k.ahead, seg)
	k.mu.Unlock()
	if len(seg.slow) == 0 {
		k.complete(seg)
		return nil
	}
	select {
	case k.inFlight <- struct{}{}:
	case <-reading.Done():
		return context.Cause(reading)
	}
	k.settling.Go(func() {
		defer func() { <-k.inFlight }()
		if err := k.errand.settle(settling, seg); err != nil {
			stop(err)
			return
		}
		k.complete(seg)
	})
	return nil
}

// settle acts on what the listings do not decide.
func (k *walk) settle(ctx context.Context, seg *segment) error {
	outcomes, err := k.sweep.Settle(ctx, seg.slow, false)
	if err != nil {
		return err
	}
	return k.countAll(ctx, seg, outcomes)
}

func (k *walk) countAll(ctx context.Context, seg *segment, outcomes []replicate.Outcome) error {
	for _, o := range outcomes {
		if err := k.count(ctx, &seg.totals, o); err != nil {
			return err
		}
	}
	return nil
}

// count adds an outcome to the totals, and records a failure. Where the time ran
// out it is none.
func (k *walk) count(ctx context.Context, totals *run.Totals, o replicate.Outcome) error {
	switch o.Result {
	case replicate.Copied:
		totals.Copied++
		totals.Bytes += o.Bytes
	case replicate.Deleted:
		totals.Deleted++
	case replicate.Skipped, replicate.Parked, replicate.Retagged:
		totals.Skip(string(o.Reason), 1)
		switch {
		case o.Reason == decide.Adopted:
			k.log.InfoContext(ctx, "adopted", "dest_bucket", o.Dest.Bucket.String(), "dest_key", o.Dest.Key)
		case o.Result == replicate.Parked:
			k.log.InfoContext(ctx, "parked", "reason", string(o.Reason), "bucket", o.Source.Bucket.String(), "key", o.Source.Key)
		}
	case replicate.Deferred:
		if o.Wait > 0 {
			return &limit.Held{Rule: o.Rule, For: o.Wait}
		}
		totals.Skip(string(decide.Busy), 1)
	case replicate.Candidate:
		totals.Candidates++
		if len(totals.Sample) < run.MaxSample {
			totals.Sample = append(totals.Sample, o.Dest.Key)
		}
		return nil // it is reported when it is deleted
	default:
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(o.Err, limit.ErrClosed) {
			return o.Err
		}
		o.Result = replicate.Failed
		totals.Errors++
		if err := k.fail(ctx, o); err != nil {
			return err
		}
	}
	if o.Result != replicate.Skipped && o.Result != replicate.Parked { // those are counted with their segment
		replicate.Report(ctx, k.log, k.Metrics, o)
	}
	return nil
}

// fail records a failure where people find it; so many and no more, for a rule
// that can do nothing fails for every key.
func (k *walk) fail(ctx context.Context, o replicate.Outcome) error {
	k.mu.Lock()
	full := k.recorded >= k.rules.MaxFailuresRetained()
	k.recorded++
	k.mu.Unlock()
	if full {
		return nil
	}
	f := replicate.FailureOf(o, k.Now())
	f.Run = k.of.ID
	return k.Failures.Fail(ctx, f)
}

func (k *walk) passed(seg *segment) {
	replicate.ReportSkips(k.Metrics, k.rule.Name, seg.totals.Skipped)
}

// complete notes that a segment is done, and moves the cursor over all segments
// that are done from where it stands.
func (k *walk) complete(seg *segment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	seg.done = true
	k.pending += len(seg.slow)
	for len(k.ahead) > 0 && k.ahead[0].done {
		front := k.ahead[0]
		k.ahead = k.ahead[1:]
		k.shard.Cursor, k.shard.Tries = front.upTo, 0
		k.shard.Totals = k.shard.Totals.Add(front.totals)
		k.errand.passed(front)
	}
	if k.pending >= k.rule.BatchSize {
		k.poke()
	}
}
