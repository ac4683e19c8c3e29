package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/transfer"
)

// invitations keeps the tickets of transfers.
type invitations struct{ bodies []string }

func (q *invitations) Send(_ context.Context, bodies []string) error {
	q.bodies = append(q.bodies, bodies...)
	return nil
}

func TestTransfersWhoseWorkersFellSilentAreBroughtOn(t *testing.T) {
	s := newStage(t, named("mirror"), named("held", isPaused))
	store, queue := &storetest.Transfers{}, &invitations{}
	s.handler.Transfers = &transfer.Transfers{Store: store, Queue: queue, Now: func() time.Time { return s.clock }, Workers: 3}
	for n, name := range []string{"mirror", "held", "gone"} {
		tr := object.Transfer{
			ID: name, Rule: name, To: object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "b"}, Key: fmt.Sprint("k", n)}, Size: 100, PartSize: 10,
			AliveUntil: s.clock.Add(time.Minute), Upload: object.Upload{ID: "u"},
		}
		if _, err := store.PutTransfer(ctx, object.Transfer{}, tr); err != nil {
			t.Fatal(err)
		}
	}
	s.wait(time.Minute)
	if len(queue.bodies) > 0 {
		t.Errorf("invited too early: %q", queue.bodies)
	}
	s.wait(time.Minute)
	invited := map[string]int{}
	for _, body := range queue.bodies {
		ticket, err := transfer.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		invited[ticket.ID]++
	}
	if len(invited) != 2 || invited["mirror"] != 3 || invited["gone"] != 3 {
		t.Errorf("invited %v", invited)
	}
	queue.bodies = nil
	s.tick() // at the same time: once is enough
	if len(queue.bodies) > 0 {
		t.Errorf("invited again: %q", queue.bodies)
	}
	store.Hook = func(storetest.Call) (storetest.Fault, error) { return storetest.FailBefore, errors.New("throttled") }
	if err := s.handler.Tick(ctx); err == nil {
		t.Error("an error was passed over")
	}
}
