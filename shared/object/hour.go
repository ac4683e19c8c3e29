package object

import "time"

// Hour is what was done for a rule in one hour, by events and by runs. It is
// counted after the work and costs it nothing: where the count is lost, it is
// too low, and where a message or a shard is delivered again, it may be too
// high. Nothing is decided by it.
type Hour struct {
	Begin   time.Time // on the hour, UTC
	Copied  int64
	Bytes   int64 // copied
	Deleted int64
	Failed  int64 // attempts that ended as a recorded failure
	Lag     Lag   // of what was copied for events
}

// Counted reports whether anything was done.
func (h Hour) Counted() bool { return h != (Hour{Begin: h.Begin}) }

// LagBounds are the longest lags of each class that lags are counted in. A
// longest lag cannot be added up by several writers, counts of classes can.
var LagBounds = [...]time.Duration{
	500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour,
}

// Lag says how long replicas took, from the event to the copy.
type Lag struct {
	Sum time.Duration
	// Within counts those of each class of LagBounds; the last number those
	// that took longer.
	Within [len(LagBounds) + 1]int64
}

// Observe counts one more.
func (l *Lag) Observe(d time.Duration) {
	l.Sum += d
	for i, bound := range LagBounds {
		if d <= bound {
			l.Within[i]++
			return
		}
	}
	l.Within[len(LagBounds)]++
}

// Count is how many were observed.
func (l Lag) Count() int64 {
	var n int64
	for _, of := range l.Within {
		n += of
	}
	return n
}

// Mean lag; 0 for none.
func (l Lag) Mean() time.Duration {
	if n := l.Count(); n > 0 {
		return l.Sum / time.Duration(n)
	}
	return 0
}

// Bound is the bound of the class that the share (0 to 1] of all does not
// exceed: of 1 the longest. It is false where none was observed, or the class is
// the one without a bound.
func (l Lag) Bound(share float64) (time.Duration, bool) {
	need, seen := share*float64(l.Count()), int64(0)
	for i, bound := range LagBounds {
		if seen += l.Within[i]; seen > 0 && float64(seen) >= need {
			return bound, true
		}
	}
	return 0, false
}
