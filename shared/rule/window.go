package rule

import (
	"strings"
	"time"
)

// Open reports whether a reconcile may begin now: within the Window, its end
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
