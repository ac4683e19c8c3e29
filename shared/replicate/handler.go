package replicate

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/telemetry"
)

const (
	// reserve is kept before the function's deadline to record failures and
	// to give the rest of the batch back.
	reserve = 5 * time.Second
	// firstBackoff doubles with every delivery up to lastBackoff.
	firstBackoff = 5 * time.Second
	lastBackoff  = 15 * time.Minute
	// firstDeferral doubles with every deferral up to lastDeferral. Recording
	// takes milliseconds; a lease lives for minutes.
	firstDeferral = 2 * time.Second
	lastDeferral  = time.Minute
	// maxDeferrals bounds how long a message waits for others at no cost. By
	// then any lease has ended, and waiting on becomes a try.
	maxDeferrals = 30
	// undecodableBackoff hurries a message that no try can decode to the DLQ.
	undecodableBackoff = time.Second
)

// Handler takes the batches of the events queue. A message is finished when
// every rule it concerns has come to an end with it: replicated, skipped, or
// failed and recorded. Everything else is given back, so nothing is lost; what
// cannot be decoded, and what crashes, ends in the dead-letter queue as it came.
type Handler struct {
	Replicator *Replicator
	Ledger     Ledger
	Queue      Queue
	Metrics    *telemetry.Metrics
	Log        *slog.Logger
	Now        func() time.Time
	// Jitter answers a number in [0, 1).
	Jitter func() float64
	// MaxReceives is the queue's maxReceiveCount: a delivery that is the last
	// one records a transient failure instead of giving it back.
	MaxReceives int
}

// delivery is one message of a batch, on its way to its end.
type delivery struct {
	event.Message
	outcomes []Outcome
	since    time.Time // of the oldest change in it
	retry    bool      // it came because of a recorded failure
	err      error     // the message could not be worked on at all
	bad      error     // it cannot be decoded
}

// Handle works on one batch and answers which messages are to be delivered
// again. The answer's list is never nil: some pollers take that for a failure.
func (h *Handler) Handle(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	deliveries := h.replicate(ctx, event.Messages(batch))
	did := Tally{}
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, d := range deliveries {
		if !h.settle(ctx, d, did) {
			response.BatchItemFailures = append(response.BatchItemFailures,
				events.SQSBatchItemFailure{ItemIdentifier: d.ID})
		}
	}
	did.Write(ctx, h.Ledger, h.Now(), h.Log)
	if err := h.Metrics.Flush(); err != nil {
		h.Log.ErrorContext(ctx, "metrics", "error", err)
	}
	return response, nil
}

// replicate decodes the messages and replicates their changes, all at once.
func (h *Handler) replicate(ctx context.Context, messages []event.Message) []*delivery {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	deliveries := make([]*delivery, len(messages))
	var work []Work
	var owner []*delivery
	for i, m := range messages {
		d := &delivery{Message: m}
		deliveries[i] = d
		var decoded event.Result
		if decoded, d.bad = event.Decode(m.Body, object.AWS); d.bad != nil {
			continue
		}
		for _, name := range decoded.Dropped {
			h.Metrics.Count(telemetry.EventsDropped, 1)
			h.Log.InfoContext(ctx, "dropped", "event", name, "message", m.ID)
		}
		for _, c := range decoded.Changes {
			if c.Kind == object.Irrelevant {
				h.Metrics.Count(telemetry.EventsDropped, 1)
				continue
			}
			if d.since.IsZero() || c.Time.Before(d.since) {
				d.since = c.Time
			}
			d.retry = d.retry || c.Kind == object.Due
			work = append(work, Work{Change: c, Message: m.ID, Delivery: m.Received, Patient: m.Deferrals > 0})
			owner = append(owner, d)
		}
	}
	if len(work) == 0 {
		return deliveries
	}
	outcomes, err := h.tried(ctx, work)
	for i, d := range owner {
		if err != nil {
			d.err = err
			continue
		}
		d.outcomes = append(d.outcomes, outcomes[i]...)
	}
	return deliveries
}

// tried is Replicate, with a panic outside any one object turned into an error.
func (h *Handler) tried(ctx context.Context, work []Work) (outcomes [][]Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return h.Replicator.Replicate(ctx, work)
}

// settle reports and counts each outcome and brings the message to its end. It
// answers false where the message is to be delivered again.
func (h *Handler) settle(ctx context.Context, d *delivery, did Tally) bool {
	last := d.Received >= h.MaxReceives
	switch {
	case d.bad != nil:
		h.Metrics.Count(telemetry.MessagesUndecodable, 1)
		h.Log.ErrorContext(ctx, "undecodable", "message", d.ID, "received", d.Received, "error", d.bad)
		return h.giveBack(ctx, d, undecodableBackoff)
	case d.err != nil:
		h.Log.ErrorContext(ctx, "not tried", "message", d.ID, "received", d.Received, "error", d.err)
		return h.giveBack(ctx, d, h.backoff(d))
	}
	done, deferred, held := true, false, time.Duration(0)
	for _, o := range d.outcomes {
		if o.Result == Retried && last {
			o.Result = Failed
		}
		if o.Result == Failed && !h.recordFailure(ctx, &o) {
			o.Result = Retried
		}
		done = done && o.Result != Retried && o.Result != Crashed
		deferred = deferred || o.Result == Deferred
		held = max(held, o.Wait)
		if d.retry {
			o.Latency = 0 // the message is younger than what happened
		}
		Report(ctx, h.Log, h.Metrics, o, slog.String("message", d.ID), slog.Int("received", d.Received))
		did.add(o)
		if d.retry && o.healthy() {
			done = h.healed(ctx, d, o) && done
		}
	}
	switch {
	case !done:
		return h.giveBack(ctx, d, h.backoff(d))
	case held > 0:
		return h.hold(ctx, d, held)
	case deferred && d.Deferrals >= maxDeferrals:
		return h.giveBack(ctx, d, lastDeferral)
	case deferred:
		return h.putBack(ctx, d, d.Message, doubled(firstDeferral, d.Deferrals, lastDeferral))
	default:
		return true
	}
}

// recordFailure keeps the failure where people find it. A failure that cannot
// be recorded is not finished.
func (h *Handler) recordFailure(ctx context.Context, o *Outcome) bool {
	if err := h.Ledger.Fail(ctx, FailureOf(*o, h.Now())); err != nil {
		o.Err = fmt.Errorf("%w (and the failure could not be recorded: %w)", o.Err, err)
		return false
	}
	return true
}

// healed removes the failure that is none any more. Where that fails it is
// tried again: by this message, and in the end by the next, for what is recorded
// stays due.
func (h *Handler) healed(ctx context.Context, d *delivery, o Outcome) bool {
	err := h.Ledger.Healed(ctx, o.Rule, o.Source)
	if err != nil {
		h.Log.WarnContext(ctx, "heal", "rule", o.Rule, "bucket", o.Source.Bucket.String(), "key", o.Source.Key,
			"message", d.ID, "error", err)
	}
	return err == nil || d.Received >= h.MaxReceives
}

// hold puts the message back because of a limit. That is not counted, for it may
// take any time; an event that waited long waits longer, and no two alike.
func (h *Handler) hold(ctx context.Context, d *delivery, least time.Duration) bool {
	again := d.Message
	again.Deferrals-- // Defer counts
	waits := min(max(h.Now().Sub(d.since), firstDeferral), lastBackoff)
	return h.putBack(ctx, d, again, max(least, h.jittered(waits)))
}

// putBack sends the message again as a new one, for this is no try. The old one
// is finished only when the new one is safe.
func (h *Handler) putBack(ctx context.Context, d *delivery, again event.Message, delay time.Duration) bool {
	if err := h.Queue.Defer(ctx, again, delay); err != nil {
		h.Log.WarnContext(ctx, "defer", "message", d.ID, "error", err)
		return h.giveBack(ctx, d, h.backoff(d))
	}
	h.Metrics.Count(telemetry.MessagesDeferred, 1)
	return true
}

// giveBack has the message delivered again after delay, or after the queue's
// own visibility timeout where that cannot be set.
func (h *Handler) giveBack(ctx context.Context, d *delivery, delay time.Duration) bool {
	if err := h.Queue.Backoff(ctx, d.Message, delay); err != nil {
		h.Log.WarnContext(ctx, "backoff", "message", d.ID, "error", err)
	}
	return false
}

// jittered is d, half of it random.
func (h *Handler) jittered(d time.Duration) time.Duration {
	return d/2 + time.Duration(h.Jitter()*float64(d/2))
}

// backoff is the delay before the next delivery.
func (h *Handler) backoff(d *delivery) time.Duration {
	return d.Backoff(firstBackoff, lastBackoff, h.Jitter())
}

func doubled(first time.Duration, times int, most time.Duration) time.Duration {
	return min(first<<min(max(times, 0), 20), most)
}
