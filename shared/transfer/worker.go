package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/telemetry"
)

const (
	// touchEvery so often a worker gives a sign of life while it comes on.
	touchEvery = 15 * time.Second
	// maxTries is how often in a row workers are invited to a transfer that does
	// not come on, and that they met an error at. Without one, their tickets may
	// only have waited for their turn.
	maxTries = 5
	// saveReserve is kept before the function's deadline to pass the rest on.
	saveReserve = 10 * time.Second
)

// Worker takes parts, one at a time. The fields are not to be changed once it is
// in use.
type Worker struct {
	Transfers  *Transfers
	Replicator *replicate.Replicator
	Objects    Objects
	Failures   Failures
	Hours      replicate.Hours
	Events     Queue // of the event function, for what is to be looked at again
	Metrics    *telemetry.Metrics
	Log        *slog.Logger
}

var (
	// errBusy is the error of a worker that has to wait for another rule's.
	errBusy = errors.New("somebody else holds the destination")
	// errPaused ends the work for now: the schedule invites again when the rule
	// goes on.
	errPaused = errors.New("the rule is paused")
	// errRuleGone ends the transfer.
	errRuleGone = errors.New("the rule is gone")
)

// effort is one worker's at one transfer.
type effort struct {
	*Worker
	store   Store
	log     *slog.Logger
	ticket  Ticket
	tr      object.Transfer
	rules   *rule.Set
	rule    *rule.Active
	owner   string
	touched time.Time
	done    bool // a part, since touched
}

// Work takes parts of the ticket's transfer until none is left, or the context's
// deadline is near and the ticket was passed on. An error means that the ticket
// is to be delivered again. There is none where the transfer is over, or others
// are at what is left of it. owner is unique to the ticket, the same in all its
// deliveries.
func (w *Worker) Work(ctx context.Context, t Ticket, owner string) error {
	log := w.Log.With("bucket", t.To.Bucket.String(), "key", t.To.Key, "transfer", t.ID)
	tr, err := w.Transfers.Store.Transfer(ctx, t.To)
	if err != nil {
		return err
	}
	if tr.ID != t.ID {
		log.InfoContext(ctx, "nothing to do", "why", "the transfer is over")
		return nil
	}
	e := &effort{Worker: w, store: w.Transfers.Store, log: log.With("rule", tr.Rule), ticket: t, tr: tr, owner: owner}
	if err := e.goOn(ctx); err != nil {
		return e.settle(ctx, err)
	}
	if tr.Tries > maxTries && tr.LastError != "" {
		return e.fail(ctx, &object.Error{Class: object.Retryable, Op: "copy by parts", Ref: tr.To, Code: "TransferStuck",
			Err: fmt.Errorf("no part was done in %d tries; the last one met: %s", maxTries, tr.LastError)})
	}
	if tr.Upload.ID == "" {
		begun, err := e.open(ctx)
		if err != nil || !begun {
			return e.settle(ctx, err)
		}
	}
	if n := w.Transfers.guests(e.tr) - 1; e.tr.Opener == owner && n > 0 {
		// Once more where this ticket comes again: too many find nothing to do.
		if err := w.Transfers.invite(ctx, e.tr, 1, n); err != nil {
			log.WarnContext(ctx, "nobody else was invited", "error", err)
		}
	}
	return e.settle(ctx, e.takeParts(ctx))
}

// goOn takes up the rules as they are now, and reports where they let the
// transfer not go on.
func (e *effort) goOn(ctx context.Context) error {
	rules, _, err := e.Replicator.Rules(ctx)
	if err != nil {
		return err
	}
	e.rules, e.rule = rules, rules.Rule(e.tr.Rule)
	switch {
	case e.rule == nil:
		return errRuleGone
	case e.rule.Paused:
		return errPaused
	default:
		return nil
	}
}

// settle brings an error to its end: the transfer fails, or is given up because
// something else is to be done now, or the error goes back to the queue.
func (e *effort) settle(ctx context.Context, err error) error {
	held := (*limit.Held)(nil)
	switch {
	case errors.As(err, &held):
		// The schedule invites again when there is room. Until then it is no try.
		e.log.InfoContext(ctx, "the rest waits", "why", held.Error())
		touch := e.sign(ctx, true)
		touch.AliveUntil, touch.Anew, touch.Held = e.Transfers.Now().Add(held.For), true, true
		_, lost := e.store.TouchTransfer(ctx, e.tr, touch)
		if object.ClassOf(lost) == object.Premise {
			return nil
		}
		return lost
	case err == nil, errors.Is(err, errPaused):
		return nil
	case errors.Is(err, errRuleGone):
		return e.abandon(ctx, "rule_gone", false)
	case object.ClassOf(err) == object.Premise:
		return e.overtaken(ctx, err)
	case object.ClassOf(err) == object.Permanent:
		return e.fail(ctx, err)
	case e.tr.LastError != object.CodeOf(err):
		next := e.tr
		next.LastError = object.CodeOf(err)
		if revision, lost := e.store.PutTransfer(ctx, e.tr, next); lost == nil { // else it only explains less
			e.tr = next
			e.tr.Revision = revision
		}
	}
	return err
}

// copyOf is what the replica is to be.
func (e *effort) copyOf() object.Copy {
	return replicate.CopyOf(e.rule, e.tr.From, e.tr.To, e.tr.Source.ETag)
}

// takeParts copies parts until none is left that nobody has, and completes the
// upload if all are done then.
func (e *effort) takeParts(ctx context.Context) error {
	layout := Layout(e.tr)
	for {
		known, err := e.store.Parts(ctx, e.tr)
		if err != nil {
			return err
		}
		free := free(known, layout.Count(), e.owner, e.Transfers.Now())
		if len(free) == 0 {
			if slices.ContainsFunc(known, func(p Part) bool { return p.Number != Completing && !p.Done() }) {
				return nil // others are at the rest
			}
			return e.complete(ctx, known)
		}
		for _, n := range ordered(free, e.ticket.Seat, e.Transfers.guests(e.tr)) {
			if e.late(ctx) {
				next := e.ticket
				next.Hop++
				e.log.InfoContext(ctx, "the rest is passed on", "hop", next.Hop)
				return e.Transfers.Queue.Send(ctx, []string{next.Body()})
			}
			if err := e.take(ctx, layout, n); err != nil {
				return err
			}
		}
	}
}

// free are the numbers of the parts that are neither done nor somebody else's.
func free(known []Part, count int, owner string, now time.Time) []int {
	taken := make([]bool, count+1)
	for _, p := range known {
		taken[p.Number] = p.Done() || p.Owner != "" && p.Owner != owner && p.LeasedUntil.After(now)
	}
	var numbers []int
	for n := 1; n <= count; n++ {
		if !taken[n] {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// ordered is the order in which the worker at a seat of so many takes parts: each
// seat has every so many-th, so that they do not meet at every part, and that all
// of them together go through the object from its beginning to its end, which
// servers that keep it on disks like best. Then it takes what others have left.
func ordered(free []int, seat, seats int) []int {
	behind := func(n int) int { return ((n-1-seat)%seats + seats) % seats }
	return slices.SortedStableFunc(slices.Values(free), func(a, b int) int { return cmp.Compare(behind(a), behind(b)) })
}

// late reports whether a part may not come to its end before the deadline.
func (e *effort) late(ctx context.Context) bool {
	takes := e.Transfers.lease(e.tr) + saveReserve
	if l := e.Replicator.Limits; l != nil && e.rule.Limits.Throttle() {
		takes += l.Patience // it may wait so long before it begins
	}
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < takes
}

// take copies one part, unless somebody else has it, as far as the rule's limits
// let it.
func (e *effort) take(ctx context.Context, layout parts.Layout, n int) error {
	first, last := layout.Bytes(n)
	leave, err := e.Replicator.Limits.Enter(ctx, e.rule.Name, e.rule.Limits, last-first+1)
	if err != nil {
		return err
	}
	defer leave()
	now := e.Transfers.Now()
	p, err := e.store.ClaimPart(ctx, e.tr, n, e.owner, now, now.Add(e.Transfers.lease(e.tr)))
	if object.ClassOf(err) == object.Premise {
		return nil
	}
	if err != nil {
		return err
	}
	p.PartCopied, err = e.Objects.CopyPart(ctx, object.Part{
		From: e.tr.From, SourceETag: e.tr.Source.ETag, SourceVersionID: e.tr.Upload.SourceVersionID,
		Upload: e.tr.Upload, Number: n, First: first, Last: last,
	})
	if err != nil {
		p.PartCopied = object.PartCopied{}
		if object.ClassOf(err) == object.Retryable {
			_ = e.store.FinishPart(ctx, e.tr, p) // else the lease ends by its time
		}
		return err
	}
	if err := e.store.FinishPart(ctx, e.tr, p); object.ClassOf(err) == object.Premise {
		return nil // it took too long, and is somebody else's
	} else if err != nil {
		return err
	}
	e.done = true
	return e.touch(ctx)
}

// touch gives a sign of life now and then, and looks whether the rules still want
// the transfer.
func (e *effort) touch(ctx context.Context) error {
	now := e.Transfers.Now()
	if now.Sub(e.touched) < touchEvery && !(e.done && (e.tr.Tries > 0 || e.tr.LastError != "")) {
		return nil
	}
	touch := e.sign(ctx, e.counts(now))
	touch.AliveUntil = now.Add(e.Transfers.lease(e.tr))
	touched, err := e.store.TouchTransfer(ctx, e.tr, touch)
	if err != nil {
		return err
	}
	e.tr, e.touched, e.done = touched, now, false
	return e.goOn(ctx)
}

// counts reports whether it is this worker's turn to count the parts, which is a
// query: it goes around by the clock, so that all of them together count about as
// often as one of them is heard of, and whoever died is passed over. Nobody counts
// where the object takes no longer than that.
func (e *effort) counts(now time.Time) bool {
	if e.touched.IsZero() {
		return false
	}
	guests := e.Transfers.guests(e.tr)
	return int(now.Unix()/int64(touchEvery/time.Second))%guests == e.ticket.Seat%guests
}

// sign is a touch that tells what was done.
func (e *effort) sign(ctx context.Context, count bool) Touch {
	now := e.Transfers.Now()
	touch := Touch{Anew: e.done}
	if e.done {
		touch.ProgressAt = now
	}
	if !count {
		return touch
	}
	known, err := e.store.Parts(ctx, e.tr)
	if err != nil { // people see an older count
		e.log.WarnContext(ctx, "the parts were not counted", "error", err)
		return touch
	}
	touch.Counted = Count(e.tr, known, now)
	return touch
}
