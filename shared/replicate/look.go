package replicate

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Concern is one source object under one rule; the match is of the set of rules
// and of this source.
type Concern struct {
	Match  rule.Match
	Source object.Ref
}

// Outlook is what a look at a Concern shows.
//
// The plan is a Skip for Busy where an event would be put back, because somebody
// else is at the object or may be about to record a copy, and for Paused where
// only the pause keeps the rule from acting. Err is about one of the two sides:
// what the event would fail with.
type Outlook struct {
	Input decide.Input
	Plan  decide.Plan
	Err   error
}

// Look sees both sides of source objects with consistent reads, as an event does
// that finds no shortcut, and answers what would be done about each. It changes
// nothing. The ledger is read once for all of them, and once more where a source
// may be a replica. Up to limit are looked at, at a time.
//
// The error is ErrRulesChanged where the rules are no longer those that this
// Replicator knows, or that the ledger could not be read.
func (r *Replicator) Look(ctx context.Context, rules *rule.Set, concerns []Concern, limit int) ([]Outlook, error) {
	_, known, err := r.current(ctx, 0)
	if err != nil {
		return nil, err
	}
	tasks, seen := make([]*task, len(concerns)), make([]Outlook, len(concerns))
	var dests, sources []object.Ref
	for n, c := range concerns {
		t := &task{Replicator: r, rules: rules, match: c.Match, change: object.Change{Ref: c.Source}}
		tasks[n], seen[n].Input = t, t.input(object.Provenance{}, object.Provenance{})
		if !c.Match.Excluded && !c.Match.TooLong {
			dests = append(dests, c.Match.Dest)
			if rules.IsDestination(c.Source.Bucket) {
				sources = append(sources, c.Source)
			}
		}
	}
	bases, revision, err := r.ledger.Read(ctx, dests, true)
	if err != nil {
		return nil, err
	}
	if revision != known {
		return nil, ErrRulesChanged
	}
	var group errgroup.Group
	group.SetLimit(max(1, limit))
	for n, t := range tasks {
		group.Go(func() error {
			seen[n].Err = t.glance(ctx, &seen[n].Input)
			return nil
		})
	}
	_ = group.Wait() // no member returns an error
	sourceBases := map[object.Ref]object.Provenance{}
	if len(sources) > 0 {
		if sourceBases, _, err = r.ledger.Read(ctx, sources, true); err != nil {
			return nil, err
		}
	}
	for n, t := range tasks {
		if seen[n].Err == nil {
			seen[n].Plan = t.foresee(&seen[n].Input, bases[t.match.Dest], sourceBases[concerns[n].Source])
		}
	}
	return seen, nil
}

// glance sees both sides, as far as they matter.
func (t *task) glance(ctx context.Context, in *decide.Input) error {
	switch {
	case t.match.Excluded:
		return nil
	case t.match.TooLong: // S3 would not even look at the destination
		found, err := t.objects.Head(ctx, in.From, false)
		if err == nil && !found.Presence.Gone() {
			err = t.tooLong()
		}
		return err
	default:
		return t.sides(ctx, in)
	}
}

// foresee is what would be done about what was seen.
func (t *task) foresee(in *decide.Input, base, sourceBase object.Provenance) decide.Plan {
	switch {
	case t.match.Excluded:
		return decide.Decide(*in)
	case t.match.TooLong:
		return decide.Plan{Action: decide.Skip, Reason: decide.Gone}
	}
	t.remembered(in, base, sourceBase)
	plan := t.weigh(in)
	switch {
	case t.heldUp(in.Base), t.heldUp(in.SourceBase),
		plan.Action == decide.Skip && plan.Reason != decide.Identical && t.recordingUnderWay(*in, plan):
		plan = decide.Plan{Action: decide.Skip, Reason: decide.Busy}
	case t.match.Rule.Paused && plan.Action != decide.Skip:
		plan = decide.Plan{Action: decide.Skip, Reason: decide.Paused}
	case moves(plan.Action) && t.closed():
		plan = decide.Plan{Action: decide.Skip, Reason: decide.Closed}
	}
	return plan
}

// Seen is what somebody saw of one object under one rule: both sides, and what
// the ledger holds for each. The source has its tags where the match needs them.
type Seen struct {
	Source, Dest     object.State
	Base, SourceBase object.Provenance
}

// Weigh is the decision about what somebody saw, as a run that looks at every
// object makes it. Nothing is looked at or done.
func Weigh(rules *rule.Set, m rule.Match, source object.Ref, seen Seen, leaseTTL time.Duration) (decide.Input, decide.Plan) {
	t := &task{Replicator: &Replicator{leaseTTL: leaseTTL}, rules: rules, match: m, change: object.Change{Ref: source}}
	in := t.input(seen.Base, seen.SourceBase)
	in.Source, in.Dest = seen.Source, seen.Dest
	return in, t.weigh(&in)
}

// weigh decides about a look.
func (t *task) weigh(in *decide.Input) decide.Plan {
	if in.Source.Presence == object.Present {
		in.Outranked = t.match.OutrankedFor(in.Source)
	}
	was := t.suspect()
	in.Damaged = was.ETag != "" && was.Is(in.Dest)
	return decide.Decide(*in)
}

// suspect is the replica that a comparison found to be another than its source, if
// that led here.
func (t *task) suspect() object.Dest {
	switch {
	case t.landing != nil:
		return t.landing.Transfer.Damaged
	case t.sight != nil:
		return t.sight.damaged
	default:
		return t.change.Damaged
	}
}

// tooLong is what a copy fails with whose destination key no bucket takes.
func (t *task) tooLong() error {
	return &object.Error{Class: object.Permanent, Op: "copy", Ref: t.match.Dest,
		Code: "KeyTooLongError", Err: errors.New("the destination key would be longer than 1,024 bytes")}
}
