// Package limit holds all workers of a rule together to what the rule allows: so
// many bytes a second, and so many objects at a time. Whoever moves an object
// enters first, and leaves when it is done.
//
// The bytes are one queue of time: each worker reserves the next stretch of it,
// long enough for what it will move within a second, and may begin when that
// stretch does. The places are leased, so that those of a worker that died come
// back. Both cost a worker at most one write a second, and a rule without limits
// nothing.
package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bucket-replicator/shared/rule"
)

// Store is what the workers of a rule share. Each write takes effect as a whole
// or not at all. Its methods fail with an *object.Error.
type Store interface {
	// Draw reserves the next span of a rule's time and answers when it begins: as
	// the last one ends, but not more than Burst before now. If that would be
	// after latest nothing is reserved, and drawn is false. A reservation whose
	// answer was lost may be made twice, which only slows the rule down.
	Draw(ctx context.Context, rule string, span time.Duration, now, latest time.Time) (from time.Time, drawn bool, err error)
	// Swap replaces the claims on a rule's places, by holder, if they still are
	// those seen (empty: there are none), and answers those that are there then.
	Swap(ctx context.Context, rule string, seen, next Claims) (now Claims, swapped bool, err error)
}

const (
	// Burst is how much of a rule's time that nobody used may be used later. It
	// makes up for the time that a request takes, and so is more than pace.
	Burst = 2 * time.Second
	// pace is how often a process asks the store for one rule's sake at most.
	pace = time.Second
	// stale is when bytes that were reserved and not used are lost: else many
	// idle workers could use theirs all at once.
	stale = 2 * time.Second
	// leaseTime is when the places of a process that fell silent come back. It
	// renews its lease three times as often.
	leaseTime = 15 * time.Second
)

// ErrClosed says that the rule's window is closed.
var ErrClosed = errors.New("the rule's window is closed")

// Held says that a limit lets nothing more through for so long, as far as is
// known, which is longer than the caller has patience for.
type Held struct {
	Rule string
	For  time.Duration
}

func (h *Held) Error() string {
	return fmt.Sprintf("rule %s: its limits hold the object back for %s", h.Rule, h.For.Round(time.Millisecond))
}

// Limiter holds one process to the limits of its rules. A nil one knows none. The
// fields are not to be changed once it is in use; its methods may be called
// concurrently.
type Limiter struct {
	Store Store
	Now   func() time.Time
	// Holder names the process as no other one is named.
	Holder string
	// Patience is how long an object waits, once it is its turn among those of
	// this process.
	Patience time.Duration

	mu     sync.Mutex
	shares map[string]*share
}

// share is what this process has of one rule.
type share struct {
	*Limiter
	rule   string
	bytes  allowance
	places places
}

// Enter waits until the rule may move an object of so many bytes, and answers
// what is to be called when that is done. It fails with a *Held, also where the
// context ends before, for to have waited is no failure; or with the store's
// error. Whoever enters first is let in first.
func (l *Limiter) Enter(ctx context.Context, ruleName string, limits rule.Limits, size int64) (leave func(), err error) {
	leave = func() {}
	if l == nil || !limits.Throttle() {
		return leave, nil
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = &Held{Rule: ruleName, For: leaseTime / 3}
		}
	}()
	s := l.share(ruleName)
	if limits.Concurrency > 0 {
		if err := s.takePlace(ctx, limits.Concurrency); err != nil {
			return nil, err
		}
		leave = s.leave
	}
	if limits.BytesPerSecond > 0 && size > 0 {
		if err := s.take(ctx, size, limits.BytesPerSecond); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

func (l *Limiter) share(ruleName string) *share {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.shares[ruleName]
	if s == nil {
		s = &share{Limiter: l, rule: ruleName}
		s.bytes.turn = make(chan struct{}, 1)
		s.places.turn = make(chan struct{}, 1)
		s.places.asking = make(chan struct{}, 1)
		s.places.freed = make(chan struct{}, 1)
		if l.shares == nil {
			l.shares = map[string]*share{}
		}
		l.shares[ruleName] = s
	}
	return s
}

// wait lets d pass. Where it is no time at all it still sees the context's end.
func wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
