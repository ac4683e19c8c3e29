package run

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

const (
	// LeaseTTL is how long a worker that fell silent keeps its shard. Workers
	// save several times as often.
	LeaseTTL = time.Minute
	// reviveAfter so many times the lease since a lease ended or a ticket was
	// sent, another ticket is sent. Until then the first one may still come.
	reviveAfter = 2
	// silence of a whole run, in leases, after which the tickets of the shards
	// that nobody holds are taken for lost.
	silence = 5
	// secondSweep after a rule's first one: EventBridge, once switched on for a
	// bucket, loses the events of the first minutes.
	secondSweep = 10 * time.Minute
	// retryFailed is how soon a run that failed is tried again.
	retryFailed = time.Hour
	// fewDeletes are not held for being a large part of a small bucket.
	fewDeletes = 20
)

// The codes of the errors that say why something cannot be had; all Premise.
const (
	CodeActive     = "RunActive"     // a run of the rule is under way
	CodeNotActive  = "RunNotActive"  // none is
	CodePaused     = "RulePaused"    //
	CodeNothing    = "NothingHeld"   // no deletes wait for approval
	CodeDiffer     = "DeletesDiffer" // other than those that were seen
	CodeOutdated   = "RunOutdated"   // a ticket of a phase or a run that is over
	CodeOutOfScope = "ScopeChanged"  // the rule leads elsewhere now
	CodeNotFound   = "RunNotFound"   // Permanent
)

// Runs starts runs and brings them to their end. It may be used concurrently.
type Runs struct {
	// OnEnd is told of each run that this one brought to its end. Nil: nobody.
	OnEnd func(context.Context, Run)
	// Lease is how long a worker that fell silent keeps its shard, LeaseTTL
	// where New made it. What is silent for longer is revived after multiples
	// of it. Not to be changed once in use.
	Lease time.Duration

	store Store
	queue Queue
	now   func() time.Time
}

// New makes Runs.
func New(store Store, queue Queue, now func() time.Time) *Runs {
	return &Runs{Lease: LeaseTTL, store: store, queue: queue, now: now}
}

// ScopeOf is what a run of the rule walks.
func ScopeOf(a *rule.Active) string {
	return fmt.Sprintf("%s/%s -> %s/%s", a.SourceBucket, a.Source.Prefix, a.DestBucket, a.Destination.Prefix)
}

// refuse is a Premise that is no race: somebody asked for what cannot be had.
func refuse(op, ruleName, code, text string) error {
	return &object.Error{Class: object.Premise, Op: op, Code: code, Err: fmt.Errorf("rule %s: %s", RuleOf(ruleName), text)}
}

// Start begins a run of the rule, unless one is active (Premise, CodeActive) or
// the rule is paused (CodePaused). Of several who start at the same time one
// does. The run is stored when an error says that its first ticket could not be
// sent; Revive sends it again.
//
// A rule's first run, and the first after its scope changed, is followed by
// another within minutes. A run that comes before its rule is due does not put
// off the one that is. Where nothing moves outside the rule's window, one is due
// whenever that opens.
func (r *Runs) Start(ctx context.Context, a *rule.Active, by Trigger, asked Asked) (Run, error) {
	if a.Paused {
		return Run{}, refuse("start run", a.Name, CodePaused, "is paused")
	}
	jobs, err := r.store.Jobs(ctx, []string{a.Name})
	if err != nil {
		return Run{}, err
	}
	seen := jobs[a.Name]
	seen.Rule = a.Name
	if seen.ActiveRun != 0 {
		return Run{}, refuse("start run", a.Name, CodeActive, fmt.Sprintf("run %d is active", seen.ActiveRun))
	}
	now, scope := r.now(), ScopeOf(a)
	next := Job{Rule: a.Name, LastRun: seen.LastRun + 1, ActiveRun: seen.LastRun + 1, NextDue: seen.NextDue, Scope: scope}
	switch interval := time.Duration(a.Interval); {
	case seen.Scope != scope:
		next.NextDue = now.Add(min(secondSweep, interval))
	case !seen.NextDue.After(now), seen.Retry:
		next.NextDue = now.Add(interval)
	}
	if opens, _ := a.Limits.Opens(now); a.Limits.OutsideWindow == rule.Nothing && opens.Before(next.NextDue) {
		next.NextDue = opens // to make up for the events until then
	}
	return r.begin(ctx, seen, next, Run{Trigger: by, Asked: asked})
}

// Verify begins a verification of the rule, unless one is active (Premise,
// CodeActive). Of the keys that both sides have it compares so many percent, 0
// for all. It changes nothing but its own record, so the rule may be paused, and
// a run that replicates be under way.
func (r *Runs) Verify(ctx context.Context, a *rule.Active, mode Mode, percent int64) (Run, error) {
	name := Verifications(a.Name)
	jobs, err := r.store.Jobs(ctx, []string{name})
	if err != nil {
		return Run{}, err
	}
	seen := jobs[name]
	seen.Rule = name
	if seen.ActiveRun != 0 {
		return Run{}, refuse("verify", a.Name, CodeActive, fmt.Sprintf("verification %d is under way", seen.ActiveRun))
	}
	next := Job{Rule: name, LastRun: seen.LastRun + 1, ActiveRun: seen.LastRun + 1, Scope: ScopeOf(a)}
	return r.begin(ctx, seen, next, Run{Trigger: ByRunNow, Mode: mode, Percent: percent})
}

// begin stores the run that next names as active, with its first shard, and
// sends that one's ticket.
func (r *Runs) begin(ctx context.Context, seen, next Job, begun Run) (Run, error) {
	now := r.now()
	begun.Rule, begun.ID, begun.Scope = next.Rule, next.ActiveRun, next.Scope
	begun.State, begun.Phase, begun.Shards, begun.Open, begun.StartedAt = Queued, Copying, 1, 1, now
	if seen.LastRun > 0 && seen.Scope == next.Scope {
		last, err := r.store.Run(ctx, begun.Rule, seen.LastRun)
		if err != nil && object.CodeOf(err) != CodeNotFound {
			return Run{}, err
		}
		begun.Expected = cmp.Or(last.Scanned, last.Expected)
	}
	root := Shard{Rule: begun.Rule, Run: begun.ID, ID: "1", Phase: Copying, SentAt: now}
	if err := r.store.Begin(ctx, seen, next, begun, root); err != nil {
		if object.ClassOf(err) == object.Premise {
			return Run{}, refuse("start run", begun.Rule, CodeActive, "somebody else started one just now")
		}
		return Run{}, err
	}
	return begun, r.queue.Send(ctx, []Ticket{{Rule: begun.Rule, Run: begun.ID, Shard: "1", Phase: Copying}})
}

// Cancel ends an active run as Cancelled. Its workers stop at their next
// checkpoint; the totals are those of the moment.
func (r *Runs) Cancel(ctx context.Context, ruleName string, id int64) (Run, error) {
	was, err := r.store.Run(ctx, ruleName, id)
	if err != nil {
		return Run{}, err
	}
	if !was.State.Active() {
		return Run{}, refuse("cancel run", ruleName, CodeNotActive, "no run is active")
	}
	next, err := r.Progress(ctx, was)
	if err != nil {
		return Run{}, err
	}
	next.State, next.EndedAt = Cancelled, r.now()
	jobs, err := r.store.Jobs(ctx, []string{ruleName})
	if err != nil {
		return Run{}, err
	}
	if err := r.store.Turn(ctx, was, next, jobs[ruleName]); err != nil {
		return Run{}, err
	}
	r.ended(ctx, next)
	return next, nil
}

// Progress is the run with the totals so far, and, while it is active and
// nobody knew before, an estimate of what to expect, 0 where that is not known: the open shards are taken
// to be as large as the average of those that ended.
func (r *Runs) Progress(ctx context.Context, now Run) (Run, error) {
	if !now.State.Active() {
		return now, nil
	}
	shards, err := r.store.Shards(ctx, now.Rule, now.ID)
	if err != nil {
		return Run{}, err
	}
	var ended, walked int64
	now.Totals = Totals{}
	for _, s := range shards {
		now.Totals = now.Totals.Add(s.Totals)
		if s.Ended || s.Phase.Deletes() {
			ended++
			walked += s.Scanned
		}
	}
	if open := int64(len(shards)) - ended; now.Expected == 0 && ended > 0 {
		now.Expected = walked + open*walked/ended
	}
	if now.Expected < now.Scanned {
		now.Expected = 0 // there is more than the last time, nobody knows how much
	}
	return now, nil
}

// Approve lets the deletes go that the rule's last run held, if they are as many
// as counted says (0: however many): else somebody approved what is no longer so
// (CodeDiffer). More than the run counted are held again.
func (r *Runs) Approve(ctx context.Context, a *rule.Active, counted int64) (Run, error) {
	const op = "approve deletes"
	if a.Paused {
		return Run{}, refuse(op, a.Name, CodePaused, "is paused")
	}
	jobs, err := r.store.Jobs(ctx, []string{a.Name})
	if err != nil {
		return Run{}, err
	}
	job := jobs[a.Name]
	if job.ActiveRun != 0 {
		return Run{}, refuse(op, a.Name, CodeActive, fmt.Sprintf("run %d is active", job.ActiveRun))
	}
	if job.LastRun == 0 {
		return Run{}, refuse(op, a.Name, CodeNothing, "no deletes are held")
	}
	was, err := r.store.Run(ctx, a.Name, job.LastRun)
	if err != nil {
		return Run{}, err
	}
	if was.State != DeletesHeld {
		return Run{}, refuse(op, a.Name, CodeNothing, "no deletes are held")
	}
	if counted != 0 && counted != was.Held {
		return Run{}, refuse(op, a.Name, CodeDiffer, fmt.Sprintf("run %d holds %d deletes, not %d: look again", was.ID, was.Held, counted))
	}
	if was.Scope != ScopeOf(a) {
		return Run{}, refuse(op, a.Name, CodeOutOfScope, "leads elsewhere than it did in that run: run it again")
	}
	shards, err := r.store.Shards(ctx, was.Rule, was.ID)
	if err != nil {
		return Run{}, err
	}
	next := was
	next.State, next.Approved, next.EndedAt = Running, true, time.Time{}
	return r.delete(ctx, was, next, job, shards)
}

// delete begins a deleting phase: next is was, made active if it is not.
func (r *Runs) delete(ctx context.Context, was, next Run, job Job, shards []Shard) (Run, error) {
	next.Phase = max(Deleting, was.Phase+1)
	next.Open = 0
	var tickets []Ticket
	for _, s := range shards {
		if s.deletable() {
			next.Open++
			tickets = append(tickets, Ticket{Rule: s.Rule, Run: s.Run, Shard: s.ID, Phase: next.Phase})
		}
	}
	if next.Open == 0 {
		return Run{}, refuse("delete", was.Rule, CodeNothing, "the shards of the run are gone: run it again")
	}
	if err := r.store.Turn(ctx, was, next, job); err != nil {
		return Run{}, err
	}
	return next, r.queue.Send(ctx, tickets)
}

// Finish brings a run whose shards have all ended their phase to the next phase
// or to its end. It does nothing where some are open, or the run is not active.
// Several may try; one does.
func (r *Runs) Finish(ctx context.Context, a *rule.Active, was Run) (Run, error) {
	if was.Open > 0 || !was.State.Active() {
		return was, nil
	}
	jobs, err := r.store.Jobs(ctx, []string{was.Rule})
	if err != nil {
		return Run{}, err
	}
	job := jobs[was.Rule]
	shards, err := r.store.Shards(ctx, was.Rule, was.ID)
	if err != nil {
		return Run{}, err
	}
	next := was
	next.Totals = Totals{}
	for _, s := range shards {
		next.Totals = next.Totals.Add(s.Totals)
		if next.Error == "" {
			next.Error = s.Error
		}
	}
	next.EndedAt = r.now()
	switch {
	case next.Error != "" && was.Verifies():
		next.State = Failed
	case next.Error != "":
		next.State = Failed
		job.NextDue, job.Retry = r.now().Add(min(retryFailed, time.Duration(a.Interval))), true
	case was.Phase == Copying && next.Candidates > 0 && TooMany(a.MaxDeletes, next.Totals):
		next.State, next.Held = DeletesHeld, next.Candidates
	case was.Phase == Copying && next.Candidates > 0:
		next.State, next.EndedAt, next.Totals = Running, time.Time{}, Totals{}
		return r.delete(ctx, was, next, job, shards)
	case next.Held > 0:
		next.State = DeletesHeld
	case next.Errors > 0:
		next.State = CompletedWithErrors
	default:
		next.State = Succeeded
	}
	if next.State != Failed && !was.Verifies() {
		// Every key was seen: what failed before and did not fail again is well. Of
		// damage only a run knows that compares.
		if err := r.store.Heal(ctx, was.Rule, was.StartedAt, was.Compare != ""); err != nil {
			return Run{}, err
		}
	}
	if err := r.store.Turn(ctx, was, next, job); err != nil {
		return Run{}, err
	}
	r.ended(ctx, next)
	return next, nil
}

func (r *Runs) ended(ctx context.Context, end Run) {
	if r.OnEnd != nil {
		r.OnEnd(ctx, end)
	}
}

// TooMany is the brake on mass deletes: with these totals of all copying shards
// a run holds its Candidates, if it has any. A source without a single key is one in
// any case: that is how a bucket looks which somebody emptied, or another one
// that has its name.
func TooMany(limit rule.MaxDeletes, t Totals) bool {
	return t.Sources == 0 ||
		t.Candidates > int64(limit.Count) ||
		t.Candidates > fewDeletes && t.Candidates*100 > int64(limit.Percent)*t.Scanned
}

// Revive sends tickets for the shards of an active run that nobody will come
// for, and finishes a run whose last worker died before it could. It answers
// how many tickets it sent.
func (r *Runs) Revive(ctx context.Context, a *rule.Active, active Run) (int, error) {
	if active.Open == 0 {
		_, err := r.Finish(ctx, a, active)
		return 0, err
	}
	shards, err := r.store.Shards(ctx, active.Rule, active.ID)
	if err != nil {
		return 0, err
	}
	var latest time.Time
	var open []Shard
	for _, s := range shards {
		if t := s.latest(); t.After(latest) {
			latest = t
		}
		if s.Phase < active.Phase && s.deletable() {
			s.Ended, s.Owner = false, "" // nobody has opened it yet
		}
		if !s.Ended && (s.Phase == active.Phase || s.deletable()) {
			open = append(open, s)
		}
	}
	var tickets []Ticket
	now := r.now()
	for _, s := range open {
		if !s.silent(now, latest, r.Lease) {
			continue
		}
		err := r.store.Resent(ctx, s, now)
		if object.ClassOf(err) == object.Premise {
			continue // somebody came
		}
		if err != nil {
			return 0, err
		}
		tickets = append(tickets, Ticket{Rule: s.Rule, Run: s.Run, Shard: s.ID, Phase: active.Phase})
	}
	if len(tickets) == 0 {
		return 0, nil
	}
	return len(tickets), r.queue.Send(ctx, tickets)
}
