package limit

import (
	"context"
	"sync"
	"time"
)

// places are how many objects a process may move at a time for a rule.
type places struct {
	turn  chan struct{} // whoever is in it is the next one; the others follow in order
	freed chan struct{} // a place may have been left

	asking chan struct{} // one request at a time, and its answer's effect
	seen   Claims        // of all holders, when they were last asked for

	mu       sync.Mutex
	held     int       // until ends
	ends     time.Time // of the lease
	used     int
	peak     int // of used, since the lease was last renewed
	waiting  int
	asked    time.Time
	renewing bool
}

// takePlace waits until one of the rule's places is this process's and free.
func (s *share) takePlace(ctx context.Context, of int) error {
	p := &s.places
	p.mu.Lock()
	p.waiting++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for began := s.Now(); ; {
		if p.enter(s.Now(), of) {
			s.keep(ctx, of)
			return nil
		}
		p.mu.Lock()
		next := p.asked.Add(poll)
		// Where all are this process's, one of them is left sooner or later.
		mine := p.held >= of && s.Now().Before(p.ends)
		p.mu.Unlock()
		if !mine && !next.After(s.Now()) {
			if err := s.claim(ctx, of, func() int { return p.held + p.waiting }); err != nil {
				return err
			}
			continue
		}
		if !mine && s.Now().Sub(began) >= s.Patience {
			return &Held{Rule: s.rule, For: leaseTime / 3}
		}
		timer := time.NewTimer(max(next.Sub(s.Now()), poll/10))
		select {
		case <-p.freed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// enter takes a place that is held and free.
func (p *places) enter(now time.Time, of int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.ends) {
		p.held = 0
	}
	if p.used >= min(p.held, of) {
		return false
	}
	p.used++
	p.peak = max(p.peak, p.used)
	return true
}

// leave gives a place up for others of this process.
func (s *share) leave() {
	p := &s.places
	p.mu.Lock()
	p.used--
	p.mu.Unlock()
	select {
	case p.freed <- struct{}{}:
	default:
	}
}

const (
	// poll is how often a process that lacks places asks again.
	poll = 3 * time.Second
	// maxSwaps bounds how often a claim is made anew at once because others made
	// theirs.
	maxSwaps = 3
)

// claim says how many places are wanted, and learns how many may be entered, unless
// others are too busy doing the same.
func (s *share) claim(ctx context.Context, of int, want func() int) error {
	p := &s.places
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	wanted, used := min(want(), of), p.used
	now := s.Now()
	p.asked = now
	p.mu.Unlock()
	for range maxSwaps {
		next, granted := p.seen.claim(s.Holder, wanted, used, of, now, now.Add(leaseTime))
		there, swapped, err := s.Store.Swap(ctx, s.rule, p.seen, next)
		if err != nil {
			return err
		}
		if p.seen = there; swapped {
			p.mu.Lock()
			p.held, p.ends = granted, now.Add(leaseTime)
			p.mu.Unlock()
			return nil
		}
	}
	return nil // it is as it was; the next poll tells
}

// keep renews the lease while there is something in its places, with no more of
// them than were needed lately.
func (s *share) keep(ctx context.Context, of int) {
	p := &s.places
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.renewing {
		return
	}
	p.renewing = true
	go func() {
		ctx := context.WithoutCancel(ctx)
		for {
			_ = wait(ctx, leaseTime/3) // it has no end
			p.mu.Lock()
			if p.used == 0 {
				p.renewing = false
				p.mu.Unlock()
				return
			}
			p.mu.Unlock()
			// One that fails is made up for by the next; after a few others may
			// take the places.
			within, cancel := context.WithTimeout(ctx, leaseTime/3)
			_ = s.claim(within, of, func() int {
				n := max(p.peak, p.used)
				p.peak = p.used
				return n
			})
			cancel()
		}
	}()
}

// Return gives back what places of a rule this process holds and does not use.
func (l *Limiter) Return(ctx context.Context, ruleName string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	s := l.shares[ruleName]
	l.mu.Unlock()
	if s == nil {
		return nil
	}
	p := &s.places
	p.mu.Lock()
	idle := p.held > 0 && p.used == 0 && p.waiting == 0
	p.mu.Unlock()
	if !idle {
		return nil
	}
	return s.claim(ctx, 0, func() int { return 0 })
}
