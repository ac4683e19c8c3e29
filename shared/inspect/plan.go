package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// Lister lists as reconcile.Lister does.
type Lister interface {
	List(ctx context.Context, b object.Bucket, prefix, after string, limit int) ([]object.Listed, bool, error)
}

const (
	// MaxKeys is how many keys of each outcome are named.
	MaxKeys = 100
	// pageSize is the largest page that S3 answers.
	pageSize = 1000
	// segmentSize is how many keys go into one batched read of the ledger, and
	// segmentKeys how many are decided before the clock is asked again.
	segmentSize = 99
	segmentKeys = 1000
)

// Plan is what a run of a rule would do.
type Plan struct {
	// Totals as a run counts them, of all keys up to After: Copied and Bytes
	// would be copied, Candidates deleted, Errors fail.
	run.Totals
	// CopiedBy counts the copies by their reason.
	CopiedBy map[string]int64
	// The first keys of each outcome, of those that this call came by. What is
	// in step is not among the Skips.
	Copies, Deletes, Skips, Failures []Planned
	// After is the last key that is decided, without the rule's prefix, where
	// the time was up.
	After string
	// Adopt plans a run that adopts.
	Adopt bool
	// Complete says that all keys are decided.
	Complete bool
}

// Held reports whether a run would hold the deletes until somebody approves
// them, which only a complete plan tells.
func (p Plan) Held(limit rule.MaxDeletes) bool {
	return p.Candidates > 0 && run.TooMany(limit, p.Totals)
}

// Planned is one key of a plan.
type Planned struct {
	Source, Dest object.Ref
	Reason       decide.Reason
	Bytes        int64        // that would be copied
	Failure      object.Error // of what would fail
}

// Plan answers what a run of the rule would do with what is there now. It goes
// on from what an earlier call answered, the zero Plan at first, until the time
// is up; the error is nil then, if at least something was decided. The catalog
// is the current one, and the rule is taken as switched on and not paused.
//
// It reads and writes nothing down. What only trying tells is not in it, such as
// a copy that S3 refuses.
func (i *Inspector) Plan(ctx context.Context, c rule.Catalog, name string, from Plan, until time.Time) (Plan, error) {
	a, sweep, err := i.dry(ctx, c, name)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Totals: from.Totals, CopiedBy: from.CopiedBy, After: from.After, Adopt: from.Adopt}
	sweep.Adopt = p.Adopt
	if p.CopiedBy == nil {
		p.CopiedBy = map[string]int64{}
	}
	began := p.After
	ctx, cancel := context.WithTimeout(ctx, until.Sub(i.Now()))
	defer cancel()
	err = i.walk(ctx, a, sweep, &p, until)
	switch {
	case err == nil, ctx.Err() != nil && p.After != began:
		return p, nil
	case ctx.Err() != nil:
		return Plan{}, &object.Error{Class: object.Retryable, Op: "plan", Code: "RequestCanceled", Err: err}
	default:
		return Plan{}, rulesChanged(err)
	}
}

// rulesChanged makes a Premise of it, if that is what the error says.
func rulesChanged(err error) error {
	if errors.Is(err, replicate.ErrRulesChanged) {
		return &object.Error{Class: object.Premise, Op: "plan", Code: "RulesChanged", Err: err}
	}
	return err
}

// dry is the rule as if it were on, and a sweep that carries nothing out.
func (i *Inspector) dry(ctx context.Context, c rule.Catalog, name string) (*rule.Active, replicate.Sweep, error) {
	// The replicator needs the rules, too: they name the backends.
	_, revision, err := i.Replicator.Rules(ctx)
	if err == nil && revision != c.Revision {
		err = rulesChanged(replicate.ErrRulesChanged)
	}
	if err != nil {
		return nil, replicate.Sweep{}, err
	}
	c.Storage.Replication.Enabled = true
	c.Rules = slices.Clone(c.Rules)
	for n := range c.Rules {
		if s := &c.Rules[n]; s.Rule.Name == name {
			s.Rule.Enabled, s.Paused = true, false
		}
	}
	rules, err := rule.Compile(c)
	if err != nil {
		return nil, replicate.Sweep{}, err
	}
	a := rules.Rule(name)
	if a == nil {
		return nil, replicate.Sweep{}, fmt.Errorf("there is no rule %q", name)
	}
	return a, replicate.Sweep{
		Replicator: i.Replicator, Rules: rules, Revision: c.Revision, Rule: a, Dry: true, Slots: i.Slots,
	}, nil
}

// walk decides every key after p.After, as the copying phase of a run does, and
// adds it to p.
func (i *Inspector) walk(ctx context.Context, a *rule.Active, sweep replicate.Sweep, p *Plan, until time.Time) error {
	seg := segment{}
	r := keyspace.Range{After: p.After}
	for pair, err := range keyspace.Merge(ctx, r, i.side(a.SourceBucket, a.Source.Prefix), i.side(a.DestBucket, a.Destination.Prefix)) {
		if err != nil {
			return err
		}
		key := a.Source.Prefix + pair.Key
		s := replicate.Sighting{
			Match:  sweep.Rules.MatchOf(a, key),
			Source: object.Ref{Bucket: a.SourceBucket, Key: key},
			From:   pair.Source, To: pair.Dest,
		}
		seg.upTo = pair.Key
		seg.sightings = append(seg.sightings, s)
		decided, ok := decide.Listed(decide.Input{
			Rule: a, Excluded: s.Match.Excluded, Outranked: s.Match.Outranked, Source: s.From, Dest: s.To, Adopt: p.Adopt,
		})
		seg.decided = append(seg.decided, replicate.Outcome{Source: s.Source, Dest: s.Match.Dest, Result: replicate.Skipped, Reason: decided.Reason})
		if !ok {
			seg.slow = append(seg.slow, len(seg.decided)-1)
		}
		if len(seg.slow) == segmentSize || len(seg.decided) == segmentKeys {
			if err := seg.settle(ctx, sweep, p); err != nil {
				return err
			}
			seg = segment{}
			if !i.Now().Before(until) {
				return nil
			}
		}
	}
	if err := seg.settle(ctx, sweep, p); err != nil {
		return err
	}
	p.Complete = true
	return nil
}

// side lists one side of the rule, the keys without its prefix.
func (i *Inspector) side(b object.Bucket, prefix string) keyspace.List {
	return func(ctx context.Context, after string) ([]object.Listed, bool, error) {
		if after != "" {
			after = prefix + after
		}
		page, more, err := i.Lister.List(ctx, b, prefix, after, pageSize)
		for n := range page {
			page[n].Key = page[n].Key[len(prefix):]
		}
		return page, more, err
	}
}

// segment is a stretch of keys that is added to a plan as a whole.
type segment struct {
	upTo      string
	sightings []replicate.Sighting
	decided   []replicate.Outcome // one per sighting
	slow      []int               // those that need more than the listings
}

func (s *segment) settle(ctx context.Context, sweep replicate.Sweep, p *Plan) error {
	if len(s.decided) == 0 {
		return nil
	}
	if len(s.slow) > 0 {
		slow := make([]replicate.Sighting, len(s.slow))
		for n, at := range s.slow {
			slow[n] = s.sightings[at]
		}
		outcomes, err := sweep.Settle(ctx, slow, false)
		if err != nil {
			return err
		}
		for n, at := range s.slow {
			s.decided[at] = outcomes[n]
		}
		if err := ctx.Err(); err != nil {
			return err // some outcomes only say so
		}
	}
	for n, o := range s.decided {
		p.Scanned++
		if s.sightings[n].From.Presence == object.Present {
			p.Sources++
		}
		p.add(o)
	}
	p.After = s.upTo
	return nil
}

// add counts an outcome as the workers of a run do.
func (p *Plan) add(o replicate.Outcome) {
	planned := Planned{Source: o.Source, Dest: o.Dest, Reason: o.Reason, Bytes: o.Bytes}
	into := &p.Skips
	switch o.Result {
	case replicate.Copied:
		p.Copied++
		p.Bytes += o.Bytes
		p.CopiedBy[string(o.Reason)]++
		into = &p.Copies
	case replicate.Candidate:
		p.Candidates++
		into = &p.Deletes
	case replicate.Skipped, replicate.Parked, replicate.Retagged:
		p.Skip(string(o.Reason), 1)
		if o.Reason == decide.InSync {
			return
		}
	case replicate.Deferred:
		planned.Reason = decide.Busy
		p.Skip(string(decide.Busy), 1)
	default:
		p.Errors++
		planned.Failure = object.Error{Code: object.CodeOf(o.Err), Err: o.Err}
		var known *object.Error
		if errors.As(o.Err, &known) {
			planned.Failure = *known
		}
		into = &p.Failures
	}
	if len(*into) < MaxKeys {
		*into = append(*into, planned)
	}
}
