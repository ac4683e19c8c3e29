package object

import (
	"testing"
	"time"
)

func TestALagFallsIntoItsClass(t *testing.T) {
	var l Lag
	if _, ok := l.Bound(1); ok || l.Count() != 0 || l.Mean() != 0 {
		t.Errorf("nothing was observed: %+v", l)
	}
	for range 98 {
		l.Observe(300 * time.Millisecond)
	}
	l.Observe(time.Second) // a bound belongs to its class
	l.Observe(time.Second + 1)
	for share, want := range map[float64]time.Duration{
		0.01: 500 * time.Millisecond, 0.5: 500 * time.Millisecond, 0.98: 500 * time.Millisecond,
		0.99: time.Second, 0.995: 2 * time.Second, 1: 2 * time.Second,
	} {
		if got, ok := l.Bound(share); !ok || got != want {
			t.Errorf("%g of the lags: within %v %t, want %v", share, got, ok, want)
		}
	}
	if got := l.Mean(); l.Count() != 100 || got < 313*time.Millisecond || got > 315*time.Millisecond {
		t.Errorf("mean of %d: %v", l.Count(), got)
	}
	l.Observe(2 * time.Hour)
	if got, ok := l.Bound(1); ok {
		t.Errorf("longer than the last bound: within %v", got)
	}
	if got, ok := l.Bound(0.5); !ok || got != 500*time.Millisecond {
		t.Errorf("the half is within %v %t all the same", got, ok)
	}
}

func TestAnHourOfNothingIsNotCounted(t *testing.T) {
	for _, c := range []struct {
		h    Hour
		want bool
	}{
		{Hour{}, false},
		{Hour{Begin: time.Unix(0, 0)}, false},
		{Hour{Copied: 1}, true},
		{Hour{Failed: 1}, true},
		{Hour{Lag: Lag{Sum: 1}}, true},
	} {
		if c.h.Counted() != c.want {
			t.Errorf("%+v counts: %t", c.h, !c.want)
		}
	}
}
