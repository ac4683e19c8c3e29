package storetest

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/limit"
)

// LimitsFixture is a store in which no rule has used anything.
type LimitsFixture struct {
	Limits limit.Store
	// LoseNextAnswer has the next write take effect without saying so. The store
	// repeats it.
	LoseNextAnswer func()
}

// TestLimits is what a store of limits promises. Every subtest gets one of its
// own from open.
func TestLimits(t *testing.T, open func(t *testing.T) LimitsFixture) {
	for name, test := range map[string]func(*testing.T, LimitsFixture){
		"reservations follow on each other":              reservationsFollow,
		"time that nobody used is lost, but for a burst": unusedTimeIsLost,
		"what would begin too late is not reserved":      whatWouldBeginTooLate,
		"rules have a time of their own":                 rulesHaveTimeOfTheirOwn,
		"of many who draw at once each has its own":      manyDraw,
		"claims are swapped if they are as seen":         claimsAreSwapped,
		"of many who swap at once one does":              manySwap,
		"a swap whose answer was lost":                   aSwapWhoseAnswerWasLost,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// draws reserves, and fails unless it begins so long after now.
func (f LimitsFixture) draws(t *testing.T, rule string, span time.Duration, now time.Time, patience, want time.Duration) {
	t.Helper()
	from, drawn, err := f.Limits.Draw(t.Context(), rule, span, now, now.Add(patience))
	if err != nil {
		t.Fatal(err)
	}
	if got := from.Sub(now); got != want || drawn != (want <= patience) {
		t.Errorf("it begins after %s (reserved: %t), want %s", got, drawn, want)
	}
}

func reservationsFollow(t *testing.T, f LimitsFixture) {
	f.draws(t, "r", limit.Burst, day, time.Minute, -limit.Burst)
	f.draws(t, "r", 10*time.Second, day, time.Minute, 0)
	f.draws(t, "r", 1500*time.Microsecond, day, time.Minute, 10*time.Second)
	f.draws(t, "r", time.Second, day.Add(10*time.Second), time.Minute, 1500*time.Microsecond)
}

func unusedTimeIsLost(t *testing.T, f LimitsFixture) {
	f.draws(t, "r", limit.Burst, day, 0, -limit.Burst)
	f.draws(t, "r", 3*time.Second, day.Add(300*time.Millisecond), 0, -300*time.Millisecond)
	f.draws(t, "r", limit.Burst, day.Add(time.Hour), 0, -limit.Burst)
	f.draws(t, "r", time.Second, day.Add(time.Hour), 0, 0)
}

func whatWouldBeginTooLate(t *testing.T, f LimitsFixture) {
	f.draws(t, "r", limit.Burst+10*time.Second, day, time.Second, -limit.Burst)
	for range 3 {
		f.draws(t, "r", time.Second, day, 9*time.Second, 10*time.Second)
	}
	f.draws(t, "r", time.Second, day, 10*time.Second, 10*time.Second)
}

func rulesHaveTimeOfTheirOwn(t *testing.T, f LimitsFixture) {
	f.draws(t, "r", time.Hour, day, 0, -limit.Burst)
	f.draws(t, "R", time.Hour, day, 0, -limit.Burst)
}

func manyDraw(t *testing.T, f LimitsFixture) {
	const n = 20
	var mu sync.Mutex
	begins := map[time.Duration]int{}
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			from, drawn, err := f.Limits.Draw(t.Context(), "r", time.Second, day, day.Add(time.Hour))
			if err != nil || !drawn {
				t.Errorf("%t, %v", drawn, err)
			}
			mu.Lock()
			defer mu.Unlock()
			begins[from.Sub(day)]++
		})
	}
	group.Wait()
	for i := range n {
		if at := time.Duration(i)*time.Second - limit.Burst; begins[at] != 1 {
			t.Errorf("%d begin after %s: %v", begins[at], at, begins)
		}
	}
}

// swaps fails unless the swap ends so.
func (f LimitsFixture) swaps(t *testing.T, seen, next limit.Claims, want bool, there limit.Claims) {
	t.Helper()
	now, swapped, err := f.Limits.Swap(t.Context(), "r", seen, next)
	if err != nil {
		t.Fatal(err)
	}
	if swapped != want || !sameClaims(now, there) {
		t.Errorf("swapped: %t, there are %v; want %t, %v", swapped, now, want, there)
	}
}

func sameClaims(a, b limit.Claims) bool {
	return maps.EqualFunc(a, b, func(a, b limit.Claim) bool {
		return a.Want == b.Want && a.Places == b.Places && a.Since.Equal(b.Since) && a.Until.Equal(b.Until)
	})
}

func claimsAreSwapped(t *testing.T, f LimitsFixture) {
	a := limit.Claims{"a": {Want: 3, Places: 2, Since: day, Until: day}}
	both := limit.Claims{"a": {Want: 3, Places: 2, Since: day, Until: day}, "b ü": {Want: 1, Since: day, Until: day.Add(time.Millisecond)}}
	f.swaps(t, a, both, false, nil)
	f.swaps(t, nil, a, true, a)
	f.swaps(t, nil, both, false, a)
	f.swaps(t, a, both, true, both)
	f.swaps(t, both, nil, true, nil)
	f.swaps(t, limit.Claims{}, a, true, a)
}

func manySwap(t *testing.T, f LimitsFixture) {
	won := make(chan string, 20)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			name := fmt.Sprint("holder ", i)
			_, swapped, err := f.Limits.Swap(t.Context(), "r", nil, limit.Claims{name: {Want: 1, Since: day, Until: day}})
			if err != nil {
				t.Error(err)
			}
			if swapped {
				won <- name
			}
		})
	}
	group.Wait()
	if close(won); len(won) != 1 {
		t.Errorf("%d won", len(won))
	}
}

func aSwapWhoseAnswerWasLost(t *testing.T, f LimitsFixture) {
	if f.LoseNextAnswer == nil {
		return // the fake repeats nothing
	}
	a := limit.Claims{"a": {Want: 3, Places: 2, Since: day, Until: day}}
	f.LoseNextAnswer()
	f.swaps(t, nil, a, true, a)
}
