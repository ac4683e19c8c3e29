package reconcile

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/run"
)

const (
	// firstBackoff doubles with every delivery of a ticket up to lastBackoff.
	firstBackoff = 15 * time.Second
	lastBackoff  = 5 * time.Minute
)

// Backoff makes a message visible again after a delay.
type Backoff interface {
	Backoff(ctx context.Context, m event.Message, delay time.Duration) error
}

// Handler takes the batches of the shards queue. A ticket is finished when its
// shard is, or when the rest of it waits for a new ticket. What cannot be
// decoded ends in the dead-letter queue as it came.
type Handler struct {
	Worker *Worker
	Queue  Backoff
	// Jitter answers a number in [0, 1).
	Jitter func() float64
}

// Handle works on one batch and answers which messages are to be delivered
// again. The answer's list is never nil: some pollers take that for a failure.
func (h *Handler) Handle(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, m := range event.Messages(batch) {
		if err := h.work(ctx, m); err != nil {
			h.Worker.Log.ErrorContext(ctx, "ticket", "message", m.ID, "received", m.Received, "error", err)
			if err := h.Queue.Backoff(ctx, m, m.Backoff(firstBackoff, lastBackoff, h.Jitter())); err != nil {
				h.Worker.Log.WarnContext(ctx, "backoff", "message", m.ID, "error", err)
			}
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.ID})
		}
	}
	if err := h.Worker.Metrics.Flush(); err != nil {
		h.Worker.Log.ErrorContext(ctx, "metrics", "error", err)
	}
	return response, nil
}

func (h *Handler) work(ctx context.Context, m event.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	t, err := run.Decode(m.Body)
	if err != nil {
		return err
	}
	return h.Worker.Work(ctx, t, m.ID)
}
