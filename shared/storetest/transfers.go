package storetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/transfer"
)

// Transfers is the store of transfers and their parts in memory, with the
// conditions of the real one. The zero value is empty and ready.
type Transfers struct {
	// Hook decides the fate of each operation; nil lets all of them run.
	Hook Hook

	calls

	transfers map[object.Ref]object.Transfer
	parts     map[string]map[int]transfer.Part // by the transfer's ID
}

func (s *Transfers) call(ctx context.Context, op string, at object.Ref, apply func() error) error {
	return s.calls.call(ctx, s.Hook, Call{Op: op, Ref: at}, func() error {
		if s.transfers == nil {
			s.transfers = map[object.Ref]object.Transfer{}
			s.parts = map[string]map[int]transfer.Part{}
		}
		return apply()
	})
}

// storedTransfer shares nothing with the caller's, and its times are as precise
// as the real store's.
func storedTransfer(t object.Transfer) object.Transfer {
	t.Source.LastModified, t.EventAt = storedTime(t.Source.LastModified), storedTime(t.EventAt)
	t.BegunAt, t.AliveUntil = storedTime(t.BegunAt), storedTime(t.AliveUntil)
	t.ProgressAt, t.Counted.At = storedTime(t.ProgressAt), storedTime(t.Counted.At)
	t.Leftovers = storedKeys(t.Leftovers)
	t.Upload.Asked, t.Upload.Lost = storedKeys(t.Upload.Asked), storedKeys(t.Upload.Lost)
	openings := t.Openings
	t.Openings = nil
	for _, at := range openings {
		t.Openings = append(t.Openings, storedTime(at))
	}
	return t
}

// Transfer answers the transfer to an address.
func (s *Transfers) Transfer(ctx context.Context, to object.Ref) (found object.Transfer, err error) {
	err = s.call(ctx, "transfers.read", to, func() error {
		found = storedTransfer(s.transfers[to])
		return nil
	})
	return found, err
}

// PutTransfer stores next in place of seen.
func (s *Transfers) PutTransfer(ctx context.Context, seen, next object.Transfer) (revision int64, err error) {
	err = s.call(ctx, "transfers.put", next.To, func() error {
		stored := s.transfers[next.To]
		put := storedTransfer(next)
		put.Revision = seen.Revision + 1
		switch {
		case stored.ID == seen.ID && stored.Revision == seen.Revision:
			s.transfers[next.To] = put
		case !reflect.DeepEqual(stored, put): // else it is repeated
			return premise("put transfer", next.To)
		}
		revision = put.Revision
		return nil
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

// TouchTransfer notes a sign of life.
func (s *Transfers) TouchTransfer(ctx context.Context, tr object.Transfer, touch transfer.Touch) (touched object.Transfer, err error) {
	err = s.call(ctx, "transfers.touch", tr.To, func() error {
		stored := s.transfers[tr.To]
		if stored.ID != tr.ID {
			return premise("touch transfer", tr.To)
		}
		stored.AliveUntil, stored.Held = touch.AliveUntil, touch.Held
		if touch.Anew {
			stored.Tries, stored.LastError = 0, ""
		}
		if !touch.ProgressAt.IsZero() {
			stored.ProgressAt = touch.ProgressAt
		}
		if !touch.Counted.At.IsZero() {
			stored.Counted = touch.Counted
		}
		s.transfers[tr.To] = storedTransfer(stored)
		touched = storedTransfer(stored)
		return nil
	})
	if err != nil {
		return object.Transfer{}, err
	}
	return touched, nil
}

// RemoveTransfer removes the transfer, if it is still that one.
func (s *Transfers) RemoveTransfer(ctx context.Context, tr object.Transfer) error {
	return s.call(ctx, "transfers.remove", tr.To, func() error {
		if s.transfers[tr.To].ID == tr.ID {
			delete(s.transfers, tr.To)
		}
		return nil
	})
}

// SilentTransfers lists those that should have been heard of before.
func (s *Transfers) SilentTransfers(ctx context.Context, before time.Time, limit int) (found []object.Transfer, err error) {
	err = s.call(ctx, "transfers.silent", object.Ref{}, func() error {
		for _, t := range s.transfers {
			if t.AliveUntil.Before(before) {
				found = append(found, storedTransfer(t))
			}
		}
		slices.SortFunc(found, func(a, b object.Transfer) int { return a.AliveUntil.Compare(b.AliveUntil) })
		if limit > 0 {
			found = found[:min(len(found), limit)]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// TransferPage lists a rule's transfers after a place, those first that began
// first.
func (s *Transfers) TransferPage(ctx context.Context, ruleName string, after object.TransferPlace, limit int) (found []object.Transfer, err error) {
	err = s.call(ctx, "transfers.page", object.Ref{}, func() error {
		order := func(a, b object.TransferPlace) int {
			return cmp.Or(a.BegunAt.Compare(b.BegunAt), strings.Compare(a.To.String(), b.To.String()))
		}
		for _, t := range s.transfers {
			if t.Rule == ruleName && (after.To.Key == "" || order(t.Place(), after) > 0) {
				found = append(found, storedTransfer(t))
			}
		}
		slices.SortFunc(found, func(a, b object.Transfer) int { return order(a.Place(), b.Place()) })
		if limit > 0 {
			found = found[:min(len(found), limit)]
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Parts lists the parts that somebody claimed.
func (s *Transfers) Parts(ctx context.Context, tr object.Transfer) (found []transfer.Part, err error) {
	err = s.call(ctx, "transfers.parts", tr.To, func() error {
		for _, n := range slices.Sorted(maps.Keys(s.parts[tr.ID])) {
			found = append(found, s.parts[tr.ID][n])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// ClaimPart takes the lease on a part.
func (s *Transfers) ClaimPart(ctx context.Context, tr object.Transfer, number int, owner string, now, until time.Time) (claimed transfer.Part, err error) {
	err = s.call(ctx, "transfers.claim", tr.To, func() error {
		p := s.parts[tr.ID][number]
		if p.Done() || p.Owner != "" && p.Owner != owner && p.LeasedUntil.After(now) {
			return premise(fmt.Sprintf("claim part %d", number), tr.To)
		}
		p.Number, p.Owner, p.LeasedUntil = number, owner, storedTime(until)
		p.Fence++
		if s.parts[tr.ID] == nil {
			s.parts[tr.ID] = map[int]transfer.Part{}
		}
		s.parts[tr.ID][number] = p
		claimed = p
		return nil
	})
	if err != nil {
		return transfer.Part{}, err
	}
	return claimed, nil
}

// FinishPart writes what was copied, and ends the lease.
func (s *Transfers) FinishPart(ctx context.Context, tr object.Transfer, p transfer.Part) error {
	return s.call(ctx, "transfers.finish", tr.To, func() error {
		stored, ok := s.parts[tr.ID][p.Number]
		if !ok || stored.Fence != p.Fence {
			return premise(fmt.Sprintf("finish part %d", p.Number), tr.To)
		}
		p.Owner, p.LeasedUntil = "", time.Time{}
		s.parts[tr.ID][p.Number] = p
		return nil
	})
}

// AllParts are the parts of a transfer. It counts as no operation.
func (s *Transfers) AllParts(tr object.Transfer) []transfer.Part {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.parts[tr.ID]))
}

// Left are the transfers that are not over. It counts as no operation.
func (s *Transfers) Left() []object.Transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.transfers))
}
