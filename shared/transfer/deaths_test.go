package transfer_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"bucket-replicator/shared/storetest"
)

// TestWhereverAFunctionDies has one die at each of its calls in turn, before the
// call took effect and after, and others bring the transfer to its end.
func TestWhereverAFunctionDies(t *testing.T) {
	const parts = 5
	for name, traits := range map[string]storetest.Traits{"unversioned": {}, "versioned": {Versioned: true}} {
		for _, late := range []bool{false, true} {
			for nth := 1; ; nth++ {
				w := newWorld(t, traits)
				died := w.dyingAt(nth, late)
				w.put(body("1", parts))
				for !died() && w.turn() {
				}
				w.fated(nil)
				alive := !died()
				w.settle()
				w.inStep()
				if w.copied() > parts+1 {
					t.Errorf("%d parts were copied", w.copied())
				}
				if t.Failed() {
					t.Fatalf("%s, at call %d, after it took effect: %t", name, nth, late)
				}
				if alive {
					if nth < 30 {
						t.Fatalf("only %d calls", nth)
					}
					break
				}
			}
		}
	}
}

// dyingAt has every call fail from the nth on, and the nth itself take effect
// where late. It answers whether it came to that.
func (w *world) dyingAt(nth int, late bool) (died func() bool) {
	fate, died := storetest.DyingAt(nth, late, errInjected)
	w.fated(fate)
	return died
}

// TestTenDeathsAtRandom kills ten workers of one transfer.
func TestTenDeathsAtRandom(t *testing.T) {
	for seed := range uint64(200) {
		tenDeaths(t, seed, 0)
	}
}

// TestTenDeathsAmongClocksThatAreApart has each worker's clock wrong by up to a
// minute, its own way.
func TestTenDeathsAmongClocksThatAreApart(t *testing.T) {
	for seed := range uint64(200) {
		tenDeaths(t, seed, time.Minute)
	}
}

func tenDeaths(t *testing.T, seed uint64, apart time.Duration) {
	const parts, deaths = 60, 10
	random := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, storetest.Traits{})
	w.put(body("1", parts))
	killed := 0
	for killed < deaths {
		waiting := w.tickets.take()
		if len(waiting) == 0 {
			w.pass(time.Minute)
			w.tick()
			continue
		}
		w.tickets.messages = waiting[1:]
		w.skew = time.Duration((2*random.Float64() - 1) * float64(apart))
		died := w.dyingAt(1+random.IntN(12), random.IntN(2) == 0)
		w.work(waiting[0])
		if w.fated(nil); died() {
			killed++
		}
	}
	w.skew = 0
	w.settle()
	w.inStep()
	if w.copied() > parts+deaths {
		t.Errorf("%d parts were copied", w.copied())
	}
	if t.Failed() {
		t.Fatalf("seed %d", seed)
	}
}
