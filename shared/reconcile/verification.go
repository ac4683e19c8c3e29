package reconcile

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/verify"
)

// verification compares the keys of a walk.
type verification struct {
	*walk
	check verify.Check
}

func newVerification(k *walk, revision int64, mode run.Mode) verification {
	v := verification{walk: k}
	if mode == run.Bytes && k.rule.Limits.Throttle() {
		// One after the other: where a limit holds one back, those before it are
		// saved, and nobody reads them again.
		k.inFlight = make(chan struct{}, 1)
	}
	v.check = verify.Check{
		Verifier: k.Verifier, Rules: k.rules, Revision: revision, Rule: k.rule, Mode: mode, Slots: k.Slots,
		Resume: v.resume, Note: v.note, Limits: k.Replicator.Limits,
	}
	return v
}

// consider counts what is no key of the rule, and puts everything else aside.
func (v verification) consider(seg *segment, p keyspace.Pair) {
	seg.totals.Scanned++
	if p.Source.Presence == object.Present {
		seg.totals.Sources++
	}
	s := v.sighting(p)
	reason, _ := v.listed(s)
	switch {
	case slices.Contains([]decide.Reason{decide.Excluded, decide.LowerPriority, decide.Existing}, reason):
	case p.Source.Presence == object.Present && p.Dest.Presence == object.Present && !v.sampled(p.Key):
		reason = verify.NotSampled
	default:
		seg.slow = append(seg.slow, s)
		if v.check.Mode == run.Bytes {
			seg.bytes += p.Source.Size
		}
		return
	}
	seg.totals.Find(run.Finding{Grade: run.Grade{Class: run.NotCovered, Reason: string(reason)}})
}

// sampled reports whether the key is one of the share that is compared: another
// one in each verification, and the same whoever walks.
func (v verification) sampled(key string) bool {
	if v.of.Percent == 0 {
		return true
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%d/%s", v.of.ID, key)
	return int64(sum.Sum64()>>32%100) < v.of.Percent
}

func (v verification) settle(ctx context.Context, seg *segment) error {
	results, err := v.check.Settle(ctx, seg.slow)
	if err != nil {
		return err
	}
	for _, r := range results {
		seg.totals.Find(r.Finding)
		seg.totals.Bytes += r.Bytes
	}
	return nil
}

// passed counts by class, and once more what differs, which an alarm watches.
func (v verification) passed(seg *segment) {
	v.forget(seg)
	for _, c := range run.Classes {
		if n := seg.totals.Of(c); n > 0 {
			v.Metrics.Count(telemetry.ObjectsVerified, float64(n), telemetry.Rule, v.rule.Name, telemetry.Class, string(c))
		}
	}
	if n := seg.totals.Differences(); n > 0 {
		v.Metrics.Count(telemetry.DifferencesFound, float64(n), telemetry.Rule, v.rule.Name)
	}
}

// forget drops what was noted of objects that are behind the cursor.
func (v verification) forget(seg *segment) {
	v.shard.Partial = v.noted(func(p run.Partial) bool { return p.Key > seg.upTo })
}

// resume answers how far an object was compared.
func (v verification) resume(key string) run.Partial {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.shard.Partial {
		if p.Key == key {
			return p
		}
	}
	return run.Partial{}
}

// note takes down how far an object is compared, for whoever goes on after this
// worker. A shard whose large object comes on does so itself.
func (v verification) note(p run.Partial) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shard.Partial = append(v.noted(func(other run.Partial) bool { return other.Key != p.Key }), p)
	v.shard.Tries = 0
	v.poke()
}

// noted is some of what is noted, in a list of its own: one that is being saved
// must not change.
func (v verification) noted(wanted func(run.Partial) bool) []run.Partial {
	var some []run.Partial
	for _, p := range v.shard.Partial {
		if wanted(p) {
			some = append(some, p)
		}
	}
	return some
}
