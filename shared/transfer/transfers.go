package transfer

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/parts"
	"bucket-replicator/shared/rule"
)

const (
	// Lease is how long a worker that fell silent keeps its part, see Transfers.
	Lease = 30 * time.Second
	// slowest is what a part is expected to come on by at least, in bytes per
	// second. Where it takes longer somebody else begins the part too, which costs
	// no more than that.
	slowest = 8 << 20
	// openTime and completeTime bound how long it takes to begin an upload, and
	// to complete one: S3 takes minutes for thousands of parts.
	openTime     = time.Minute
	completeTime = 5 * time.Minute
	// revived at most by one call.
	revived = 1000
	// maxDoublings of the time after which workers are invited again, where no
	// part was done since they were last: it ends at half an hour.
	maxDoublings = 6
	// pausedFor is when the transfer of a paused rule is looked at again: those
	// must not stand before the others, nor be written every minute.
	pausedFor = 10 * time.Minute
)

// lease is how long a worker keeps a part of the transfer.
func (t *Transfers) lease(tr object.Transfer) time.Duration {
	return t.base() + time.Duration(float64(tr.PartSize)/slowest*float64(time.Second))
}

func (t *Transfers) base() time.Duration { return cmp.Or(t.Lease, Lease) }

// Transfers begins transfers, and brings those on whose workers fell silent. It
// may be used concurrently.
type Transfers struct {
	Store Store
	Queue Queue // of the tickets
	Now   func() time.Time
	// NewID answers an id that nobody had before.
	NewID func() string
	// Workers is how many are invited to one transfer at most.
	Workers int
	// Lease is how long a worker that fell silent keeps its part, beside what the
	// part's bytes take. Silent for as long again, the workers of a transfer are
	// taken for gone. Zero: the constant of this name.
	Lease time.Duration
}

// Begin begins a transfer, and invites the first worker. It does nothing where
// the same source is being copied there already; another one is replaced.
// Premise where somebody else began one at the same time. After an error that is
// Retryable the transfer may have begun; it goes on then.
func (t *Transfers) Begin(ctx context.Context, want object.Transfer) error {
	seen, err := t.Store.Transfer(ctx, want.To)
	if err != nil {
		return err
	}
	if seen.ID != "" && seen.Same(want) {
		return nil
	}
	layout, err := parts.Of(want.Size)
	if err != nil {
		return &object.Error{Class: object.Permanent, Op: "begin transfer", Ref: want.To, Code: "EntityTooLarge", Err: err}
	}
	if want.PartSize == 0 {
		want.PartSize = layout.PartSize
	}
	want = want.Replacing(seen)
	now := t.Now()
	want.ID, want.BegunAt, want.AliveUntil = t.NewID(), now, now.Add(t.base())
	if _, err := t.Store.PutTransfer(ctx, seen, want); err != nil {
		return err
	}
	return t.invite(ctx, want, 0, 1)
}

// invite sends this many tickets, for seats from the first on.
func (t *Transfers) invite(ctx context.Context, tr object.Transfer, first, n int) error {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = Ticket{To: tr.To, ID: tr.ID, Seat: first + i}.Body()
	}
	return t.Queue.Send(ctx, bodies)
}

// guests is how many workers are wanted for a transfer.
func (t *Transfers) guests(tr object.Transfer) int {
	if tr.Upload.ID == "" {
		return 1 // who begins the upload invites the others
	}
	return min(t.Workers, Layout(tr).Count())
}

// Layout is how the transfer's object is cut into parts.
func Layout(tr object.Transfer) parts.Layout {
	return parts.Layout{Size: tr.Size, PartSize: tr.PartSize}
}

// Revive invites workers to the transfers that nobody seems to be at any more:
// they died, or their tickets were lost. It answers to how many. Those of rules
// that are paused wait.
//
// It may also be that the tickets only wait for their turn, behind those of many
// other transfers. So it invites less and less often.
func (t *Transfers) Revive(ctx context.Context, rules *rule.Set) (int, error) {
	now := t.Now()
	silent, err := t.Store.SilentTransfers(ctx, now.Add(-t.base()), revived)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, tr := range silent {
		a := rules.Rule(tr.Rule)
		paused := a != nil && a.Paused
		next := tr
		if paused {
			next.AliveUntil = now.Add(pausedFor)
		} else {
			next.AliveUntil = now.Add(t.base() << min(tr.Tries, maxDoublings))
			next.Tries++
		}
		_, err := t.Store.PutTransfer(ctx, tr, next)
		if object.ClassOf(err) == object.Premise {
			continue // somebody is at it
		}
		if err != nil {
			return n, err
		}
		if paused {
			continue
		}
		n++
		guests := t.guests(tr)
		if a != nil && a.Limits.Throttle() {
			guests = 1 // perhaps nobody was let in, and many who ask again are turned away again
		}
		if err := t.invite(ctx, tr, 0, guests); err != nil {
			return n, fmt.Errorf("invite to %s: %w", tr.To, err)
		}
	}
	return n, nil
}
