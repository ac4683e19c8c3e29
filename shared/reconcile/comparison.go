package reconcile

import (
	"context"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/verify"
)

// comparison does with the keys of a walk what a run does, and then compares what
// that left as it is because the decision holds it to be in step. Replicas of the
// rule's own that are damaged all the same are copied anew.
type comparison struct{ verification }

func (c comparison) consider(seg *segment, p keyspace.Pair) { c.walk.consider(seg, p) }

func (c comparison) settle(ctx context.Context, seg *segment) error {
	outcomes, err := c.sweep.Settle(ctx, seg.slow, false)
	if err != nil {
		return err
	}
	if err := c.repair(ctx, seg.slow, outcomes); err != nil {
		return err
	}
	return c.countAll(ctx, seg, outcomes)
}

// repair compares what is in step, and brings up to date what is damaged, whose
// outcomes take the place of those before.
func (c comparison) repair(ctx context.Context, seen []replicate.Sighting, outcomes []replicate.Outcome) error {
	var inStep []int
	var compared []replicate.Sighting
	for i, o := range outcomes {
		if isInStep(o) {
			inStep, compared = append(inStep, i), append(compared, seen[i])
		}
	}
	if len(compared) == 0 {
		return nil
	}
	results, err := c.check.Settle(ctx, compared)
	if err != nil {
		return err
	}
	var differ []int
	var damaged []replicate.Sighting
	for i, r := range results {
		if r.Damaged {
			s := compared[i]
			s.From, s.To, s.Damaged = r.Source, r.Dest, r.Reason != verify.TagsDiffer // which take a tagging
			differ, damaged = append(differ, inStep[i]), append(damaged, s)
		}
	}
	if len(damaged) == 0 {
		return nil
	}
	looking := c.sweep
	looking.Suspicious = true // a listing shows nothing of it
	repaired, err := looking.Settle(ctx, damaged, false)
	if err != nil {
		return err
	}
	for i, o := range repaired {
		outcomes[differ[i]] = o
	}
	return nil
}

// isInStep reports whether the content of both sides was held to be the same, of
// a replica of the rule's own.
func isInStep(o replicate.Outcome) bool {
	switch o.Reason {
	case decide.InSync, decide.TagsDiffer, decide.TagsOnly:
		return o.Result == replicate.Skipped || o.Result == replicate.Retagged
	}
	return false
}

func (c comparison) passed(seg *segment) {
	c.walk.passed(seg)
	c.forget(seg)
}
