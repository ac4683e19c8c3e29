package rule

import (
	"strings"
	"time"
)

// Nothing is a value of Limits.OutsideWindow; Events, the other one, is the
// default.
const (
	Events  = "events"
	Nothing = "nothing"
)

// Throttle reports whether they hold back what moves, at whatever time.
func (l Limits) Throttle() bool { return l.BytesPerSecond > 0 || l.Concurrency > 0 }

// Open reports whether reconciles may work now: within the Window, its end
// excluded, or at any time where there is none. A Window that ends before it
// begins goes on through midnight.
func (l Limits) Open(now time.Time) bool {
	from, until, bounded := strings.Cut(l.Window, "-")
	if !bounded {
		return true
	}
	at := now.UTC().Format("15:04") // times of day so written compare as they follow
	if from < until {
		return from <= at && at < until
	}
	return from <= at || at < until
}

// Shut reports whether not even events may move anything now.
func (l Limits) Shut(now time.Time) bool { return l.OutsideWindow == Nothing && !l.Open(now) }

// Opens is when the Window opens next, after now; false where there is none.
func (l Limits) Opens(now time.Time) (time.Time, bool) {
	from, _, bounded := strings.Cut(l.Window, "-")
	return nextAt(from, now), bounded
}

// Closes is when the Window closes next, after now; false where there is none.
func (l Limits) Closes(now time.Time) (time.Time, bool) {
	_, until, bounded := strings.Cut(l.Window, "-")
	return nextAt(until, now), bounded
}

// nextAt is the next moment after now with that time of day. What is none stands
// for midnight.
func nextAt(clock string, now time.Time) time.Time {
	at, _ := time.Parse("15:04", clock)
	now = now.UTC()
	next := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	return next
}
