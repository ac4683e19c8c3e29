package replicate

import (
	"context"
	"errors"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// Look sees both sides of one source object with consistent reads, as an event
// does that finds no shortcut, and answers what would be done about it. It
// changes nothing. The match must be of the set and of this source.
//
// The plan is a Skip for Busy where an event would be put back, because somebody
// else is at the object or may be about to record a copy, and for Paused where
// only the pause keeps the rule from acting. An error about one of the two sides
// is what the event would fail with.
func (r *Replicator) Look(ctx context.Context, rules *rule.Set, m rule.Match, source object.Ref) (decide.Input, decide.Plan, error) {
	t := &task{Replicator: r, rules: rules, match: m, change: object.Change{Ref: source}}
	in := t.input(object.Provenance{}, object.Provenance{})
	switch {
	case m.Excluded:
		return in, decide.Decide(in), nil
	case m.TooLong: // S3 would not even look at the destination
		found, err := r.objects.Head(ctx, source, false)
		if err == nil && !found.Presence.Gone() {
			err = t.tooLong()
		}
		return in, decide.Plan{Action: decide.Skip, Reason: decide.Gone}, err
	}
	if err := t.look(ctx, &in); err != nil {
		return in, decide.Plan{}, err
	}
	plan := t.weigh(&in)
	switch {
	case t.heldUp(in.Base), t.heldUp(in.SourceBase),
		plan.Action == decide.Skip && plan.Reason != decide.Identical && t.recordingUnderWay(in, plan):
		plan = decide.Plan{Action: decide.Skip, Reason: decide.Busy}
	case m.Rule.Paused && plan.Action != decide.Skip:
		plan = decide.Plan{Action: decide.Skip, Reason: decide.Paused}
	}
	return in, plan, nil
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
	return decide.Decide(*in)
}

// tooLong is what a copy fails with whose destination key no bucket takes.
func (t *task) tooLong() error {
	return &object.Error{Class: object.Permanent, Op: "copy", Ref: t.match.Dest,
		Code: "KeyTooLongError", Err: errors.New("the destination key would be longer than 1,024 bytes")}
}
