package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/run"
)

// queue is the shards queue within one process.
type queue struct {
	sent     chan message
	messages atomic.Int64
}

type message struct {
	run.Ticket
	id string // the same in all its deliveries
}

func newQueue() *queue {
	return &queue{sent: make(chan message, 10_000)} // many times as many as a run has shards
}

// Send implements run.Queue.
func (q *queue) Send(ctx context.Context, tickets []run.Ticket) error {
	for _, t := range tickets {
		select {
		case q.sent <- message{t, fmt.Sprintf("message-%d", q.messages.Add(1))}:
		case <-ctx.Done():
			return &object.Error{Op: "send", Code: "RequestCanceled", Err: ctx.Err()}
		}
	}
	return nil
}

// work takes tickets until ctx ends. One that failed is delivered again.
func (q *queue) work(ctx context.Context, w *reconcile.Worker) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-q.sent:
			if err := w.Work(ctx, m.Ticket, m.id); err != nil && ctx.Err() == nil {
				w.Log.ErrorContext(ctx, "ticket", "message", m.id, "error", err)
				time.AfterFunc(time.Second, func() { q.sent <- m })
			}
			_ = w.Metrics.Flush() // to nowhere
		}
	}
}
