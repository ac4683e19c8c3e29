package reconcile

import (
	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/run"
	"context"
)

// deleting is a later phase: it walks again, and deletes what it finds to be a
// candidate still, up to the number that was counted. What it is about to delete
// is saved first.
func (k *walk) deleting(settling, reading context.Context) error {
	if err := k.finishIntent(settling); err != nil {
		return err
	}
	allowed := k.shard.Candidates - k.shard.Deleted
	var found []replicate.Sighting
	last := ""
	flush := func() error {
		err := k.delete(settling, found, last, &allowed)
		found = nil
		return err
	}
	for p, err := range keyspace.Merge(reading, keyspace.Range{After: k.shard.Cursor, Until: k.shard.Range.Until}, k.source, k.dest) {
		if err != nil {
			if cause := context.Cause(reading); cause != nil {
				return cause
			}
			return err
		}
		last = p.Key
		if p.Source.Presence == object.Absent {
			if s := k.sighting(p); !k.decided(s) {
				found = append(found, s)
			}
		}
		quiet := k.Now().Sub(k.shard.SavedAt) >= k.Runs.Lease/saveEvery
		if quiet || len(found) >= min(segmentSize, k.rule.BatchSize) {
			if err := flush(); err != nil {
				return err
			}
		}
		if quiet { // keeps the lease
			if _, err := k.Runs.Save(settling, &k.shard); err != nil {
				return err
			}
		}
	}
	if len(found) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	s := &k.shard
	if back := s.Scanned - s.Copied - s.SkippedSum() - s.Deleted - s.Errors - s.Held; back > 0 {
		s.Skip(string(decide.Reappeared), back)
	}
	return nil
}

func (k *walk) decided(s replicate.Sighting) bool {
	_, ok := k.listed(s)
	return ok
}

// delete deletes those of a batch that are candidates, as far as it is allowed,
// and moves the cursor behind the batch. That is saved with the next batch's
// intent; should the worker die before, its heir learns it from this one's.
func (k *walk) delete(ctx context.Context, found []replicate.Sighting, upTo string, allowed *int64) error {
	var totals run.Totals
	if len(found) > 0 {
		outcomes, err := k.sweep.Settle(ctx, found, false)
		if err != nil {
			return err
		}
		var doomed []replicate.Sighting
		for i, o := range outcomes {
			switch {
			case o.Result == replicate.Candidate && int64(len(doomed)) < *allowed:
				doomed = append(doomed, found[i])
			case o.Result == replicate.Candidate:
				totals.Held++
				if len(totals.Sample) < run.MaxSample {
					totals.Sample = append(totals.Sample, o.Dest.Key)
				}
			case o.Err != nil:
				if err := k.count(ctx, &totals, o); err != nil {
					return err
				}
			}
		}
		*allowed -= int64(len(doomed))
		if err := k.deleteAll(ctx, doomed, &totals); err != nil {
			return err
		}
	}
	k.done(totals, upTo)
	return nil
}

// done adds what became of a batch, all of which is behind the walk now.
func (k *walk) done(totals run.Totals, upTo string) {
	k.shard.Totals = k.shard.Totals.Add(totals)
	k.shard.Cursor, k.shard.Tries, k.shard.Intent = upTo, 0, nil
}

// deleteAll deletes the objects, looking at each and at its source once more,
// after their keys were saved.
func (k *walk) deleteAll(ctx context.Context, doomed []replicate.Sighting, totals *run.Totals) error {
	if len(doomed) == 0 {
		return nil
	}
	k.shard.Intent = make([]string, len(doomed))
	for i, s := range doomed {
		k.shard.Intent[i] = s.Source.Key[len(k.rule.Source.Prefix):]
	}
	if _, err := k.Runs.Save(ctx, &k.shard); err != nil {
		return err
	}
	outcomes, err := k.sweep.Settle(ctx, doomed, true)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		if err := k.count(ctx, totals, o); err != nil {
			return err
		}
	}
	return nil
}

// finishIntent counts what another attempt deleted before it died. What it did
// not come to is met again by the walk.
func (k *walk) finishIntent(ctx context.Context) error {
	if len(k.shard.Intent) == 0 {
		return nil
	}
	doomed := make([]replicate.Sighting, len(k.shard.Intent))
	for i, key := range k.shard.Intent {
		absent := object.State{Presence: object.Absent}
		doomed[i] = k.sighting(keyspace.Pair{Key: key, Source: absent, Dest: absent})
	}
	outcomes, err := k.sweep.Settle(ctx, doomed, false)
	if err != nil {
		return err
	}
	var totals run.Totals
	for _, o := range outcomes {
		switch {
		case o.Err != nil:
			return o.Err
		case o.Result == replicate.Skipped && o.Reason == decide.Gone:
			o.Result, o.Reason = replicate.Deleted, decide.Removed
		case o.Result != replicate.Copied:
			continue
		}
		if err := k.count(ctx, &totals, o); err != nil {
			return err
		}
	}
	k.done(totals, k.shard.Cursor)
	_, err = k.Runs.Save(ctx, &k.shard)
	return err
}
