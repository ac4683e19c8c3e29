package reconcile

import (
	"context"
	"fmt"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/run"
)

// firstLook is after how many keys a shard that nobody knows the size of is first
// held to be large: by then a few pages were full.
const firstLook = 5 * pageSize

// keep saves the shard now and then, which keeps its lease, and shares it when
// it proves large, until over.
func (k *walk) keep(ctx context.Context, over <-chan struct{}) error {
	tick := time.NewTicker(k.Runs.Lease / saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-k.wake:
		}
		if ended := k.breathe(ctx, over); ended {
			return nil
		}
		of, err := k.save(ctx)
		if err != nil {
			return err
		}
		if err := k.share(ctx, of); err != nil {
			return err
		}
	}
}

// breathe waits until the shard may be saved again, and reports whether the walk
// was over before.
func (k *walk) breathe(ctx context.Context, over <-chan struct{}) bool {
	wait := time.NewTimer(time.Until(k.saved.Add(k.SaveGap)))
	defer wait.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return true
	case <-wait.C:
		k.saved = time.Now()
		return false
	}
}

// save writes how far the walk has come.
func (k *walk) save(ctx context.Context) (run.Run, error) {
	k.mu.Lock()
	s := k.shard
	k.pending = 0
	k.mu.Unlock()
	of, err := k.Runs.Save(ctx, &s)
	if err == nil {
		k.keepLease(s)
	}
	return of, err
}

// keepLease takes over what a save or a share changed beside the progress.
func (k *walk) keepLease(s run.Shard) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shard.SavedAt, k.shard.LeasedUntil = s.SavedAt, s.LeasedUntil
	k.shard.Range, k.shard.Children = s.Range, s.Children
}

// firstCut cuts a run's first shard as the last run ended up being cut.
func (k *walk) firstCut(ctx context.Context) error {
	if k.of.Shards > 1 || k.shard.Cursor != "" || k.workers < 2 {
		return nil
	}
	pieces, err := k.Runs.Pieces(ctx, k.of)
	if err != nil || len(pieces) == 0 {
		return err
	}
	ranges := keyspace.Recut(pieces, keyspace.Pieces(k.of.Expected, k.workers))
	return k.giveAway(ctx, ranges)
}

// share gives part of what is left away if the shard is large and there may be
// workers for it. A run of which nothing is known is cut among all of them as it
// begins.
func (k *walk) share(ctx context.Context, of run.Run) error {
	k.mu.Lock()
	rest := keyspace.Range{After: k.position, Until: k.until}
	walked, read := k.walked, k.read
	k.mu.Unlock()
	pieces := 1
	switch {
	case rest.Empty():
	case of.Shards == 1 && of.Expected == 0 && read >= firstLook:
		pieces = keyspace.Pieces(0, k.workers)
	default:
		pieces = keyspace.Shares(walked, of.Open, k.workers)
	}
	if pieces < 2 {
		return nil
	}
	ranges, err := keyspace.Split(ctx, rest, pieces, k.peek)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.walked = 0
	k.mu.Unlock()
	return k.giveAway(ctx, ranges)
}

// giveAway makes shards of all but the first of the ranges, which end where this
// shard does, and leaves alone what the walk has come past meanwhile.
func (k *walk) giveAway(ctx context.Context, ranges []keyspace.Range) error {
	k.mu.Lock()
	for len(ranges) > 1 && ranges[1].After <= k.position && k.position != "" {
		ranges = ranges[1:]
	}
	if len(ranges) < 2 {
		k.mu.Unlock()
		return nil
	}
	k.until = ranges[1].After
	s := k.shard
	k.mu.Unlock()
	if err := k.Runs.Share(ctx, &s, ranges[1:]); err != nil {
		return fmt.Errorf("%w: %w", errUncertain, err)
	}
	k.keepLease(s)
	k.log.InfoContext(ctx, "shared", "pieces", len(ranges)-1, "until", ranges[1].After)
	return nil
}

// peek shows some keys of the side that most of the keys so far were on.
func (k *walk) peek(ctx context.Context, after string) ([]string, bool, error) {
	k.mu.Lock()
	list := k.source
	if k.shard.Sources*2 < k.shard.Scanned {
		list = k.dest
	}
	k.mu.Unlock()
	page, more, err := list(ctx, after)
	keys := make([]string, len(page))
	for i, o := range page {
		keys[i] = o.Key
	}
	return keys, more, err
}
