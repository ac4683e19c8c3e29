package limit

import (
	"context"
	"sync"
	"time"
)

// allowance is the bytes that a process may move for a rule.
type allowance struct {
	turn chan struct{} // whoever is in it is the next one; the others follow in order

	mu      sync.Mutex
	waiting int64     // bytes of all who wait
	inHand  int64     // reserved, and not used
	lost    time.Time // when those are
	used    int64     // since the store was last asked
	asked   time.Time
	until   time.Time // reserved by whomever, when the store last refused
}

// take waits until size bytes may be moved.
func (s *share) take(ctx context.Context, size, rate int64) error {
	b := &s.bytes
	b.mu.Lock()
	b.waiting += size
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.waiting -= size
		b.mu.Unlock()
	}()
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	now := s.Now()
	if b.spend(size, now) {
		return nil
	}
	if ahead := b.until.Sub(now); ahead > s.Patience {
		return &Held{Rule: s.rule, For: ahead}
	}
	early := b.asked.Add(pace).Sub(now)
	if err := wait(ctx, early); err != nil {
		return err
	}
	now = s.Now()
	more := b.wanted(size, rate, now.Sub(b.asked), early > 0)
	from, drawn, err := s.Store.Draw(ctx, s.rule, spanOf(more, rate), now, now.Add(s.Patience))
	b.asked, b.used = now, 0
	if err != nil {
		return err
	}
	if !drawn {
		b.until = from
		return &Held{Rule: s.rule, For: from.Sub(now)}
	}
	if err := wait(ctx, from.Sub(now)); err != nil {
		return err
	}
	b.receive(more-size, size, s.Now())
	return nil
}

// spend takes size bytes from those in hand, if there are as many.
func (b *allowance) spend(size int64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !now.Before(b.lost) {
		b.inHand = 0
	}
	if b.inHand < size {
		return false
	}
	b.inHand -= size
	b.used += size
	return true
}

// growth is how much more is reserved where the last reservation did not last for
// a second.
const growth = 4

// wanted is how much to reserve for an object of this size, beside what is in
// hand: what others wait for too, or what the last seconds took, and more if the
// last reservation was too little, up to what the rule allows in a second. A
// process that moves little reserves little, for what it does not use is nobody's.
func (b *allowance) wanted(size, rate int64, since time.Duration, tooLittle bool) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	// What the last request took beyond a second is made up for.
	second := min(max(since.Seconds(), 1), 2)
	expected := b.waiting
	switch {
	case tooLittle:
		expected = max(expected, growth*b.used)
	case since < 2*stale:
		expected = max(expected, int64(float64(b.used)/since.Seconds()*second))
	}
	return max(size-b.inHand, min(expected, int64(float64(rate)*second)))
}

// receive adds what was reserved beyond the object that is moved now.
func (b *allowance) receive(more, size int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inHand += more
	b.lost = now.Add(stale)
	b.used += size
}

// spanOf is how long so many bytes take at a rate.
func spanOf(size, rate int64) time.Duration {
	return time.Duration(float64(size) / float64(rate) * float64(time.Second))
}
