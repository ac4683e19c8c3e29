package limit

import "time"

// Claims are who wants how many of a rule's places, and who has them, by holder.
// They are never changed, but replaced.
type Claims map[string]Claim

// Claim is what one holder says until a time.
type Claim struct {
	Want   int       // places
	Places int       // that it may be using
	Since  time.Time // it has some
	Until  time.Time
}

// claim is the claims after the holder says what it wants, and how many places it
// may enter then. used of them it uses already, and has them whatever comes of it.
//
// Everybody gets what is free. As soon as somebody else lacks places nobody keeps
// more than an equal part, and where there are fewer places than holders none who
// had one for as long as a lease lasts, so that they take turns.
func (all Claims) claim(holder string, want, used, of int, now, until time.Time) (next Claims, granted int) {
	next = Claims{}
	free, holders, short := of, 1, false
	for other, c := range all {
		if other == holder || !c.Until.After(now) {
			continue
		}
		next[other] = c
		free -= c.Places
		holders++
		short = short || c.Want > c.Places
	}
	granted = max(0, min(want, free))
	mine := all[holder]
	if mine.Places == 0 {
		mine.Since = now
	}
	if short {
		part := of / holders
		if part == 0 && now.Sub(mine.Since) < leaseTime {
			part = 1
		}
		granted = min(granted, part)
	}
	if want > 0 || used > 0 {
		next[holder] = Claim{Want: want, Places: max(granted, used), Since: mine.Since, Until: until}
	}
	return next, granted
}
