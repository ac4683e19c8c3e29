package storetest_test

import (
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/storetest"
)

// clock is a time that passes only when told to.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time        { return c.now }
func (c *clock) Sleep(d time.Duration) { c.now = c.now.Add(d) }

func TestTheFakeQueueKeepsTheQueuesPromises(t *testing.T) {
	storetest.TestQueue(t, func(*testing.T) storetest.QueueFixture {
		var c clock
		q := &storetest.Queue{Now: c.Now, Visibility: time.Hour}
		return storetest.QueueFixture{
			Queue:   q,
			Send:    func(_ *testing.T, body string) { q.Send(body) },
			Delete:  func(_ *testing.T, m event.Message) { q.Delete(m) },
			Receive: func(*testing.T) []event.Message { return q.Receive(10) },
			Sleep:   c.Sleep,
		}
	})
}

func TestAMessageReceivedTooOftenIsDead(t *testing.T) {
	var c clock
	q := &storetest.Queue{Now: c.Now, MaxReceives: 3}
	q.Send("poison")
	q.Send("fine")
	q.Delete(q.Receive(2)[1])
	for received := 2; received <= 3; received++ {
		c.now, _ = q.Next()
		if got := q.Receive(10); len(got) != 1 || got[0].Received != received {
			t.Fatalf("delivery %d: %+v", received, got)
		}
	}
	c.now, _ = q.Next()
	if got := q.Receive(10); len(got) != 0 || q.Len() != 0 {
		t.Errorf("still there after its last delivery: %+v", got)
	}
	if dead := q.Dead(); len(dead) != 1 || dead[0].Body != "poison" {
		t.Errorf("dead: %+v", dead)
	}
}

func TestALateReceiverFinishesNothing(t *testing.T) {
	var c clock
	q := &storetest.Queue{Now: c.Now}
	q.Send("slow")
	late := q.Receive(1)[0]
	c.now, _ = q.Next()
	q.Receive(1)
	q.Delete(late)
	if q.Len() != 1 {
		t.Error("an old receipt finished a message that somebody else works on")
	}
	if err := q.Backoff(t.Context(), late, time.Second); err == nil {
		t.Error("an old receipt hid a message that somebody else works on")
	}
}

func TestQueueFingerprintsForgetTheOrderOfSending(t *testing.T) {
	a, b := &storetest.Queue{}, &storetest.Queue{}
	a.Send("1")
	a.Send("2")
	b.Send("2")
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("one message and two look alike")
	}
	b.Send("1")
	if a.Fingerprint() != b.Fingerprint() {
		t.Errorf("%s\n%s", a.Fingerprint(), b.Fingerprint())
	}
}
