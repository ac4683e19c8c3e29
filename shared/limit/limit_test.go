package limit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// slow is a store whose answers take their time.
type slow struct {
	*storetest.Limits
	takes func() time.Duration
}

func (s slow) Draw(ctx context.Context, rule string, span time.Duration, now, latest time.Time) (time.Time, bool, error) {
	time.Sleep(s.takes())
	return s.Limits.Draw(ctx, rule, span, now, latest)
}

func (s slow) Swap(ctx context.Context, rule string, seen, next limit.Claims) (limit.Claims, bool, error) {
	time.Sleep(s.takes())
	return s.Limits.Swap(ctx, rule, seen, next)
}

func worker(store limit.Store, n int, patience time.Duration) *limit.Limiter {
	return &limit.Limiter{Store: store, Now: time.Now, Holder: fmt.Sprint("worker ", n), Patience: patience}
}

// Over a minute of a clock that nobody waits for, workers that always have more
// to move keep to the rate, together.
func TestTheRateHoldsWithManyWorkers(t *testing.T) {
	const rate, minute = 1 << 20, time.Minute
	for situation, size := range map[string]func(*rand.Rand) int64{
		"small objects":                    func(r *rand.Rand) int64 { return r.Int64N(rate / 50) },
		"tiny ones, two hundred at a time": func(r *rand.Rand) int64 { return 1 + r.Int64N(rate/500) },
		"some larger than a second is":     func(r *rand.Rand) int64 { return r.Int64N(rate/100) * (1 + 119*r.Int64N(100)/99) },
	} {
		for _, workers := range []int{1, 4, 16} {
			t.Run(fmt.Sprint(situation, ", ", workers, " workers"), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := slow{&storetest.Limits{}, func() time.Duration { return time.Duration(rand.Int64N(int64(100 * time.Millisecond))) }}
					ctx, cancel := context.WithTimeout(t.Context(), minute)
					defer cancel()
					var moved atomic.Int64
					var group sync.WaitGroup
					for n := range workers {
						l := worker(store, n, minute)
						slots := 8
						if strings.Contains(situation, "two hundred") {
							slots = 200
						}
						for slot := range slots {
							group.Go(func() {
								random := rand.New(rand.NewPCG(uint64(n), uint64(slot)))
								for {
									size := size(random)
									leave, err := l.Enter(ctx, "r", rule.Limits{BytesPerSecond: rate}, size)
									if err != nil {
										if ctx.Err() == nil {
											t.Error(err)
										}
										return
									}
									moved.Add(size)
									time.Sleep(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
									leave()
								}
							})
						}
					}
					group.Wait()
					if got := float64(moved.Load()) / (rate * minute.Seconds()); got < 0.9 || got > 1.1 {
						t.Errorf("%.2f of what the rule allows was moved", got)
					}
					if draws := store.Counts()["limits.draw"]; draws > workers*61+5 {
						t.Errorf("%d writes of %d workers in a minute", draws, workers)
					}
				})
			})
		}
	}
}

// crowd has workers with so many objects under way as they are let, and watches
// how many there are.
type crowd struct {
	mu        sync.Mutex
	now, most int
	by        map[int]int // how many each worker moved
}

func (c *crowd) moves(ctx context.Context, t *testing.T, l *limit.Limiter, n int, limits rule.Limits, takes time.Duration) {
	for {
		leave, err := l.Enter(ctx, "r", limits, 1)
		if err != nil && ctx.Err() != nil {
			return
		}
		if held := (*limit.Held)(nil); errors.As(err, &held) {
			time.Sleep(held.For)
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		c.mu.Lock()
		c.now++
		c.most = max(c.most, c.now)
		if c.by == nil {
			c.by = map[int]int{}
		}
		c.by[n]++
		c.mu.Unlock()
		time.Sleep(takes)
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
		leave()
	}
}

func TestPlacesAreSharedAndEverybodyGetsSome(t *testing.T) {
	for _, c := range []struct{ workers, places int }{{1, 5}, {4, 8}, {16, 32}, {4, 2}, {3, 1}, {16, 16}} {
		t.Run(fmt.Sprintf("%d workers, %d places", c.workers, c.places), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const takes, lasts = 300 * time.Millisecond, 2 * time.Minute
				store := slow{&storetest.Limits{}, func() time.Duration { return 10 * time.Millisecond }}
				ctx, cancel := context.WithTimeout(t.Context(), lasts)
				defer cancel()
				var all crowd
				var group sync.WaitGroup
				for n := range c.workers {
					l := worker(store, n, time.Minute)
					for range 12 {
						group.Go(func() {
							time.Sleep(time.Duration(n) * 3 * time.Second) // the first ones have all places by then
							all.moves(ctx, t, l, n, rule.Limits{Concurrency: c.places}, takes)
						})
					}
				}
				group.Wait()
				if all.most > c.places {
					t.Errorf("%d at a time", all.most)
				}
				sum := 0
				for n := range c.workers {
					if sum += all.by[n]; all.by[n] == 0 {
						t.Errorf("worker %d was never let in: %v", n, all.by)
					}
				}
				want := float64(min(c.places, 12*c.workers)) * lasts.Seconds() / takes.Seconds()
				if got := float64(sum); got < 0.7*want {
					t.Errorf("%.0f objects moved in %s, where there was room for %.0f", got, lasts, want)
				}
				if swaps := store.Counts()["limits.swap"]; swaps > c.workers*int(lasts.Seconds()) {
					t.Errorf("%d writes of %d workers in %s", swaps, c.workers, lasts)
				}
				time.Sleep(time.Minute) // the renewals end
			})
		})
	}
}

func TestThePlacesOfADeadWorkerComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Limits{}
		limits := rule.Limits{Concurrency: 1}
		dies, died := context.WithCancel(t.Context())
		dead := worker(dying{store, dies}, 0, 0)
		buried, err := dead.Enter(t.Context(), "r", limits, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { // its goroutine has to end, too
			buried()
			time.Sleep(time.Minute)
		}()
		l := worker(store, 1, 0)
		held := (*limit.Held)(nil)
		if _, err := l.Enter(t.Context(), "r", limits, 1); !errors.As(err, &held) {
			t.Errorf("the only place is taken, and the error is %v", err)
		}
		time.Sleep(time.Hour)
		if _, err := l.Enter(t.Context(), "r", limits, 1); !errors.As(err, &held) {
			t.Errorf("the lease is renewed for as long as it takes, and the error is %v", err)
		}
		died()
		time.Sleep(20 * time.Second)
		leave, err := l.Enter(t.Context(), "r", limits, 1)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		if err := l.Return(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
		other := worker(store, 2, 0)
		leave, err = other.Enter(t.Context(), "r", limits, 1)
		if err != nil {
			t.Fatalf("the place was returned: %v", err)
		}
		leave()
	})
}

// dying is the store of a worker that dies.
type dying struct {
	*storetest.Limits
	dead context.Context
}

func (d dying) Swap(ctx context.Context, rule string, seen, next limit.Claims) (limit.Claims, bool, error) {
	if d.dead.Err() != nil {
		return nil, false, d.dead.Err()
	}
	return d.Limits.Swap(ctx, rule, seen, next)
}

func TestWhatTakesTooLongIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Limits{}
		limits := rule.Limits{BytesPerSecond: 1000}
		l := worker(store, 0, 2*time.Second)
		if _, err := l.Enter(t.Context(), "r", limits, 60_000); err != nil {
			t.Fatal(err) // a minute's worth
		}
		held := (*limit.Held)(nil)
		for range 3 {
			if _, err := l.Enter(t.Context(), "r", limits, 1); !errors.As(err, &held) || held.For < 55*time.Second || held.For > time.Minute {
				t.Errorf("the error is %v", err)
			}
		}
		// Two to begin with, and one that is refused.
		if n := store.Counts()["limits.draw"]; n != 3 {
			t.Errorf("%d writes for what is known to be in vain", n)
		}
		time.Sleep(held.For)
		if _, err := l.Enter(t.Context(), "r", limits, 1); err != nil {
			t.Error(err)
		}
	})
}

// Who has all places itself waits for them as long as it has time.
func TestTimeThatRunsOutBeforeAPlaceIsLeftIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := worker(&storetest.Limits{}, 0, 2*time.Second)
		limits := rule.Limits{Concurrency: 1}
		leave, err := l.Enter(t.Context(), "r", limits, 1)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		held := (*limit.Held)(nil)
		if _, err := l.Enter(ctx, "r", limits, 1); !errors.As(err, &held) || ctx.Err() == nil {
			t.Errorf("the error is %v", err)
		}
		leave()
		time.Sleep(time.Minute) // the renewals end
	})
}

func TestWithoutLimitsNothingIsAskedFor(t *testing.T) {
	store := &storetest.Limits{}
	for name, l := range map[string]*limit.Limiter{"nobody's": nil, "a limiter": worker(store, 0, 0)} {
		leave, err := l.Enter(t.Context(), "r", rule.Limits{Window: "01:00-02:00"}, 1<<40)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		leave()
		if err := l.Return(t.Context(), "r"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if asked := store.Counts(); len(asked) > 0 {
		t.Errorf("it asks %v", asked)
	}
}

// A store that fails lets nothing in, and what was let in leaves all the same.
func TestAStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &storetest.Limits{}
		failing := true
		store.Hook = func(c storetest.Call) (storetest.Fault, error) {
			if failing {
				return storetest.FailBefore, &object.Error{Code: "ThrottlingException", Err: errors.New("throttled")}
			}
			return storetest.None, nil
		}
		l := worker(store, 0, 0)
		both := rule.Limits{Concurrency: 1, BytesPerSecond: 1000}
		if _, err := l.Enter(t.Context(), "r", both, 1); object.CodeOf(err) != "ThrottlingException" {
			t.Errorf("the error is %v", err)
		}
		failing = false
		time.Sleep(3 * time.Second)
		leave, err := l.Enter(t.Context(), "r", both, 1)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		failing = true
		time.Sleep(3 * time.Second)
		if _, err := l.Enter(t.Context(), "r", both, 5000); object.CodeOf(err) != "ThrottlingException" {
			t.Errorf("the error is %v", err)
		}
		failing = false
		time.Sleep(3 * time.Second)
		if leave, err = l.Enter(t.Context(), "r", both, 1); err != nil {
			t.Fatalf("a place was lost: %v", err)
		}
		leave()
		time.Sleep(time.Minute)
	})
}
