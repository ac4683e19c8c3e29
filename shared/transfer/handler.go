package transfer

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/event"
)

const (
	// firstBackoff doubles with every delivery of a ticket up to lastBackoff.
	firstBackoff = 5 * time.Second
	lastBackoff  = 5 * time.Minute
)

// Handler takes the batches of the transfers queue. A ticket is finished when
// its worker found nothing more to do, or passed the rest on. What cannot be
// decoded, or crashes, ends in the dead-letter queue as it came.
type Handler struct {
	Worker *Worker
	Queue  Messages
	// Jitter answers a number in [0, 1).
	Jitter func() float64
	// MaxReceives is the queue's maxReceiveCount: a delivery that is the last one
	// finishes a ticket that failed. The schedule sends another if nobody else is
	// at the transfer.
	MaxReceives int
}

// Handle works on one batch and answers which messages are to be delivered
// again. The answer's list is never nil: some pollers take that for a failure.
func (h *Handler) Handle(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, m := range event.Messages(batch) {
		defect, err := h.work(ctx, m)
		if err == nil {
			continue
		}
		h.Worker.Log.ErrorContext(ctx, "ticket", "message", m.ID, "received", m.Received, "error", err)
		if !defect && m.Received >= h.MaxReceives {
			continue
		}
		if err := h.Queue.Backoff(ctx, m, m.Backoff(firstBackoff, lastBackoff, h.Jitter())); err != nil {
			h.Worker.Log.WarnContext(ctx, "backoff", "message", m.ID, "error", err)
		}
		response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.ID})
	}
	if err := h.Worker.Metrics.Flush(); err != nil {
		h.Worker.Log.ErrorContext(ctx, "metrics", "error", err)
	}
	return response, nil
}

// work works on one message. A defect is an error that no later delivery mends.
func (h *Handler) work(ctx context.Context, m event.Message) (defect bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			defect, err = true, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	t, err := Decode(m.Body)
	if err != nil {
		return true, err
	}
	return false, h.Worker.Work(ctx, t, m.ID)
}
