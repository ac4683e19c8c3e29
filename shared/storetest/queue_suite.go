package storetest

import (
	"context"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

// QueueFixture is an empty queue and what a test needs around it.
type QueueFixture struct {
	Queue interface {
		Defer(ctx context.Context, m event.Message, delay time.Duration) error
		Backoff(ctx context.Context, m event.Message, delay time.Duration) error
	}
	Send   func(t *testing.T, body string)
	Delete func(t *testing.T, m event.Message)
	// Receive answers what is visible now, at most ten messages, and hides it
	// for longer than a test lasts.
	Receive func(t *testing.T) []event.Message
	// Sleep lets d pass.
	Sleep func(d time.Duration)
}

// TestQueue is what the queue promises. Every subtest gets a queue of its own
// from open.
func TestQueue(t *testing.T, open func(t *testing.T) QueueFixture) {
	for name, test := range map[string]func(*testing.T, QueueFixture){
		"a deferred message comes back as a new one":      aDeferredMessageComesBack,
		"deferrals add up":                                deferralsAddUp,
		"a backoff hides the message and is one more try": aBackoffHidesTheMessage,
		"a backoff of nothing shows it at once":           aBackoffOfNothing,
		"waits beyond the limits are shortened":           waitsBeyondTheLimits,
		"a receipt that is none":                          aReceiptThatIsNone,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// body is what a queue must not touch: markup, quotes, blanks, any language.
const body = "{\"detail\": {\"key\": \"a b+c%2F%20 <&> ü/日本/🙂.bin\"}}\n\t "

func aDeferredMessageComesBack(t *testing.T, f QueueFixture) {
	f.Send(t, body)
	m := awaitOne(t, f)
	if m.Received != 1 || m.Deferrals != 0 || m.Body != body {
		t.Errorf("a new message: %+v", m)
	}
	if err := f.Queue.Defer(t.Context(), m, time.Second); err != nil {
		t.Fatal(err)
	}
	f.Delete(t, m)
	again := awaitOne(t, f)
	if again.Received != 1 || again.Deferrals != 1 || again.Body != body || again.ID == m.ID {
		t.Errorf("the deferred message: %+v", again)
	}
}

func deferralsAddUp(t *testing.T, f QueueFixture) {
	f.Send(t, body)
	for want := range 3 {
		m := awaitOne(t, f)
		if m.Deferrals != want {
			t.Errorf("deferrals: %d, want %d", m.Deferrals, want)
		}
		if err := f.Queue.Defer(t.Context(), m, 0); err != nil {
			t.Fatal(err)
		}
		f.Delete(t, m)
	}
}

func aBackoffHidesTheMessage(t *testing.T, f QueueFixture) {
	f.Send(t, body)
	m := awaitOne(t, f)
	if err := f.Queue.Backoff(t.Context(), m, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	again := awaitOne(t, f)
	if again.ID != m.ID || again.Received != 2 || again.Deferrals != 0 || again.Body != body {
		t.Errorf("the message after its backoff: %+v", again)
	}
}

func aBackoffOfNothing(t *testing.T, f QueueFixture) {
	f.Send(t, body)
	m := awaitOne(t, f)
	if err := f.Queue.Backoff(t.Context(), m, -time.Second); err != nil {
		t.Fatal(err)
	}
	if again := awaitOne(t, f); again.ID != m.ID || again.Received != 2 {
		t.Errorf("the message after its backoff: %+v", again)
	}
}

func waitsBeyondTheLimits(t *testing.T, f QueueFixture) {
	f.Send(t, body)
	m := awaitOne(t, f)
	if err := f.Queue.Defer(t.Context(), m, 24*time.Hour); err != nil {
		t.Errorf("defer: %v", err)
	}
	if err := f.Queue.Backoff(t.Context(), m, 24*time.Hour); err != nil {
		t.Errorf("back off: %v", err)
	}
	if early := f.Receive(t); len(early) > 0 {
		t.Errorf("visible before its time: %+v", early)
	}
}

func aReceiptThatIsNone(t *testing.T, f QueueFixture) {
	m := event.Message{ID: "m", Receipt: "no receipt"}
	wantClass(t, "back off", f.Queue.Backoff(t.Context(), m, time.Second), object.Premise)
}

// awaitOne lets time pass until the only message there is becomes visible.
func awaitOne(t *testing.T, f QueueFixture) event.Message {
	t.Helper()
	for range 100 {
		if got := f.Receive(t); len(got) == 1 {
			return got[0]
		} else if len(got) > 1 {
			t.Fatalf("more than one message: %+v", got)
		}
		f.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no message came")
	return event.Message{}
}
