package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

// What SQS allows at most; longer waits are shortened to it.
const (
	maxDelay      = 15 * time.Minute
	maxVisibility = 12 * time.Hour
)

// Queue is a standard queue in memory with visibility, delays and a
// dead-letter queue. Messages are received in the order they were sent, which
// no standard queue promises. The zero value is empty, its clock stands still.
type Queue struct {
	// Hook decides the fate of Defer and Backoff; nil lets both run.
	Hook Hook
	// Now is the queue's clock.
	Now func() time.Time
	// Visibility is how long a received message stays hidden; 0 means 30 s,
	// as in SQS.
	Visibility time.Duration
	// MaxReceives moves a message that was received so often to the
	// dead-letter queue instead of handing it out again; 0 means never.
	MaxReceives int

	calls

	sent     int
	messages []*queued
	dead     []event.Message
}

type queued struct {
	event.Message
	visibleAt time.Time
}

func (q *Queue) now() time.Time {
	if q.Now == nil {
		return time.Time{}
	}
	return q.Now()
}

// Send puts a new message in and returns its id.
func (q *Queue) Send(body string) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.send(body, 0, 0)
}

func (q *Queue) send(body string, deferrals int, delay time.Duration) string {
	q.sent++
	now := q.now()
	m := &queued{visibleAt: now.Add(delay)}
	m.ID = fmt.Sprintf("m%d", q.sent)
	m.Body, m.SentAt, m.Deferrals = body, now, deferrals
	q.messages = append(q.messages, m)
	return m.ID
}

// Receive hands out at most limit visible messages and hides them. It is not
// an operation of the hook.
func (q *Queue) Receive(limit int) []event.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	var got []event.Message
	q.messages = slices.DeleteFunc(q.messages, func(m *queued) bool {
		if len(got) == limit || m.visibleAt.After(now) {
			return false
		}
		if q.MaxReceives > 0 && m.Received >= q.MaxReceives {
			q.dead = append(q.dead, m.Message)
			return true
		}
		m.Received++
		m.Receipt = fmt.Sprintf("%s#%d", m.ID, m.Received)
		hidden := q.Visibility
		if hidden == 0 {
			hidden = 30 * time.Second
		}
		m.visibleAt = now.Add(hidden)
		got = append(got, m.Message)
		return false
	})
	return got
}

// Delete finishes a message, as Lambda does for what did not fail. A message
// that was received again since stays.
func (q *Queue) Delete(m event.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = slices.DeleteFunc(q.messages, func(o *queued) bool { return o.Receipt == m.Receipt && m.Receipt != "" })
}

// Defer sends the message again as a new one, hidden for delay.
func (q *Queue) Defer(ctx context.Context, m event.Message, delay time.Duration) error {
	return q.call(ctx, "queue.defer", m, func() error {
		q.send(m.Body, m.Deferrals+1, min(max(delay, 0), maxDelay))
		return nil
	})
}

// Backoff hides the message for delay from now on. Premise where the receipt
// is no longer that of its last delivery.
func (q *Queue) Backoff(ctx context.Context, m event.Message, delay time.Duration) error {
	return q.call(ctx, "queue.backoff", m, func() error {
		for _, o := range q.messages {
			if m.Receipt != "" && o.Receipt == m.Receipt {
				o.visibleAt = q.now().Add(min(max(delay, 0), maxVisibility))
				return nil
			}
		}
		return &object.Error{
			Class: object.Premise, Op: "back off", Ref: object.Ref{Key: m.ID},
			Code: "ReceiptHandleIsInvalid", Err: errors.New("the message is not in flight with this receipt"),
		}
	})
}

func (q *Queue) call(ctx context.Context, op string, m event.Message, apply func() error) error {
	return q.calls.call(ctx, q.Hook, Call{Op: op, Ref: object.Ref{Key: m.ID}}, apply)
}

// Next is when the first hidden or delayed message becomes visible, so that a
// test can move its clock there. False where there is no message.
func (q *Queue) Next() (time.Time, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 {
		return time.Time{}, false
	}
	return slices.MinFunc(q.messages, func(a, b *queued) int { return a.visibleAt.Compare(b.visibleAt) }).visibleAt, true
}

// Len counts the messages that are not finished, hidden ones included, dead
// ones not.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages)
}

// Dead lists the dead-letter queue.
func (q *Queue) Dead() []event.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.dead)
}

// Fingerprint is equal for two queues that hold the same messages with the
// same waits ahead of them; ids and the order of sending do not count.
func (q *Queue) Fingerprint() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	lines := make([]string, 0, len(q.messages)+len(q.dead))
	for _, m := range q.messages {
		lines = append(lines, fmt.Sprintf("%q %d %d %s", m.Body, m.Received, m.Deferrals, max(m.visibleAt.Sub(now), 0)))
	}
	for _, m := range q.dead {
		lines = append(lines, fmt.Sprintf("dead %q %d %d", m.Body, m.Received, m.Deferrals))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
