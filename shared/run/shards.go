package run

import (
	"context"
	"fmt"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Claim takes the lease on a ticket's shard, if its run is active and in the
// ticket's phase. The shard's Fence is then the worker's. Premise where there is
// nothing to do: the ticket is outdated (CodeOutdated), or somebody else has the
// shard.
func (r *Runs) Claim(ctx context.Context, t Ticket, owner string) (Run, Shard, error) {
	of, err := r.store.Run(ctx, t.Rule, t.Run)
	if object.CodeOf(err) == CodeNotFound {
		return Run{}, Shard{}, refuse("claim", t.Rule, CodeOutdated, fmt.Sprintf("run %d is forgotten", t.Run))
	}
	if err != nil {
		return Run{}, Shard{}, err
	}
	if !of.State.Active() || of.Phase != t.Phase {
		return Run{}, Shard{}, refuse("claim", t.Rule, CodeOutdated, fmt.Sprintf("run %d has left phase %d", t.Run, t.Phase))
	}
	now := r.now()
	shard, err := r.store.Claim(ctx, t, owner, now, now.Add(r.Lease))
	if err != nil {
		return Run{}, Shard{}, err
	}
	if of.State == Queued {
		begun := of
		begun.State = Running
		err := r.store.Turn(ctx, of, begun, Job{Rule: of.Rule})
		switch {
		case err == nil:
			of = begun
		case object.ClassOf(err) != object.Premise:
			return Run{}, Shard{}, err
		}
	}
	return of, shard, nil
}

// Save writes the shard and prolongs its lease. It answers the run as it is
// now. Premise where the lease is lost or the run is over: the worker stops.
func (r *Runs) Save(ctx context.Context, s *Shard) (Run, error) {
	now := r.now()
	s.SavedAt, s.LeasedUntil = now, now.Add(r.Lease)
	if err := r.store.Save(ctx, *s); err != nil {
		return Run{}, err
	}
	of, err := r.store.Run(ctx, s.Rule, s.Run)
	if err != nil {
		return Run{}, err
	}
	if !of.State.Active() || of.Phase != s.Phase {
		return of, refuse("save", s.Rule, CodeOutdated, fmt.Sprintf("run %d is %s", s.Run, of.State))
	}
	return of, nil
}

// Share hands ranges of the shard's away, as new shards, and cuts its own Range
// to what is left before the first of them. They must be in order, follow on
// the shard's Cursor, and reach to the end of its Range.
func (r *Runs) Share(ctx context.Context, s *Shard, away []keyspace.Range) error {
	now := r.now()
	for len(away) > 0 {
		// From the end, so that what is left is one range at any time.
		n := min(len(away), MaxChildren)
		given := away[len(away)-n:]
		away = away[:len(away)-n]
		cut := *s
		cut.Range.Until = given[0].After
		cut.SavedAt, cut.LeasedUntil = now, now.Add(r.Lease)
		children := make([]Shard, n)
		tickets := make([]Ticket, n)
		for i, piece := range given {
			cut.Children++
			id := fmt.Sprintf("%s.%d", s.ID, cut.Children)
			children[i] = Shard{Rule: s.Rule, Run: s.Run, ID: id, Range: piece, Cursor: piece.After, Phase: s.Phase, SentAt: now}
			tickets[i] = Ticket{Rule: s.Rule, Run: s.Run, Shard: id, Phase: s.Phase}
		}
		if err := r.store.Share(ctx, cut, children); err != nil {
			return err
		}
		*s = cut
		if err := r.queue.Send(ctx, tickets); err != nil {
			return err
		}
	}
	return nil
}

// Yield gives the lease back and sends the next ticket for the rest.
func (r *Runs) Yield(ctx context.Context, s Shard, hop int) error {
	now := r.now()
	s.Owner, s.LeasedUntil, s.SavedAt, s.SentAt = "", time.Time{}, now, now
	if err := r.store.Save(ctx, s); err != nil {
		return err
	}
	return r.queue.Send(ctx, []Ticket{{Rule: s.Rule, Run: s.Run, Shard: s.ID, Phase: s.Phase, Hop: hop}})
}

// Park saves the shard and gives its lease back without a ticket: Revive sends one
// when all of the run is silent. It is no try that made no progress. walked says
// that somebody walked since the shard was claimed.
func (r *Runs) Park(ctx context.Context, s Shard, walked bool) error {
	s.Owner, s.LeasedUntil, s.Tries = "", time.Time{}, max(0, s.Tries-1)
	if walked {
		s.SavedAt = r.now()
	}
	return r.store.Save(ctx, s)
}

// Release saves the shard and gives its lease back, so that the same ticket can
// take it up again.
func (r *Runs) Release(ctx context.Context, s Shard) error {
	s.Owner, s.LeasedUntil, s.SavedAt = "", time.Time{}, r.now()
	return r.store.Save(ctx, s)
}

// End ends the shard, and the run with it if it was the last one open.
func (r *Runs) End(ctx context.Context, a *rule.Active, s Shard) (Run, error) {
	s.Ended, s.Owner, s.LeasedUntil, s.SavedAt, s.Intent = true, "", time.Time{}, r.now(), nil
	if err := r.store.End(ctx, s); err != nil {
		return Run{}, err
	}
	of, err := r.store.Run(ctx, s.Rule, s.Run)
	if err != nil {
		return Run{}, err
	}
	finished, err := r.Finish(ctx, a, of)
	if object.ClassOf(err) == object.Premise {
		return of, nil // somebody else did
	}
	return finished, err
}

// IsOver reports whether err says that there is nothing left to do: the lease is
// somebody else's, the run has ended, or the ticket is outdated.
func IsOver(err error) bool { return object.ClassOf(err) == object.Premise }

// Pieces are the shards of the rule's last run, with how many keys each had: what
// a run of the same scope is best cut by. None where nobody knows.
func (r *Runs) Pieces(ctx context.Context, of Run) ([]keyspace.Piece, error) {
	if of.Expected == 0 || of.ID < 2 {
		return nil, nil
	}
	shards, err := r.store.Shards(ctx, of.Rule, of.ID-1)
	if err != nil {
		return nil, err
	}
	pieces := make([]keyspace.Piece, len(shards))
	for i, s := range shards {
		pieces[i] = keyspace.Piece{Range: s.Range, Keys: s.Scanned}
	}
	return pieces, nil
}
