package reconcile_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// A run stops where its window does, and goes on from there with the next one.
func TestARunStopsWithItsWindow(t *testing.T) {
	const objects = 40
	w := calm(t, storetest.Traits{}, func(r *rule.Rule) { r.Limits.Window, r.BatchSize = "00:00-00:10", 5 })
	for i := range objects {
		w.put(source, fmt.Sprintf("%02d", i), "x")
	}
	r, ticket := w.start(false)
	copies := 0
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.copy" {
			if copies++; copies == objects/2 {
				w.pass(10 * time.Minute)
			}
		}
		return storetest.None, nil
	}
	if err := w.worker(7).Work(t.Context(), ticket, "w"); err != nil {
		t.Fatal(err)
	}
	if copies != objects/2 {
		t.Errorf("%d of %d objects were copied within the window", copies, objects/2)
	}
	for range 10 { // somebody sends tickets all the same
		if err := w.worker(7).Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		w.pass(10 * time.Minute)
	}
	if now, err := w.store.Run(t.Context(), "a-b", r.ID); err != nil || !now.State.Active() || copies != objects/2 || len(w.tickets.Take()) > 0 {
		t.Errorf("outside the window the run is %+v, %d objects copied, %v", now, copies, err)
	}
	w.pass(24*time.Hour - w.now().Sub(w.now().Truncate(24*time.Hour)))
	if end := w.finish(r.ID); end.State != run.Succeeded || end.Copied != objects || copies != objects {
		t.Errorf("the run is %+v, %d objects copied", end, copies)
	}
}

// A worker that would have to wait for long puts its shard away, which is no try
// that failed.
func TestAShardThatALimitHoldsBackIsPutAway(t *testing.T) {
	w := calm(t, storetest.Traits{}, func(r *rule.Rule) { r.Limits.BytesPerSecond = 1 })
	for i := range 5 {
		w.put(source, fmt.Sprintf("%02d", i), "x")
	}
	limits := &storetest.Limits{}
	if _, _, err := limits.Draw(t.Context(), "a-b", 3*time.Hour, w.now(), w.now()); err != nil {
		t.Fatal(err)
	}
	worker := w.worker(3)
	worker.Replicator.Limits = &limit.Limiter{Store: limits, Now: w.now, Holder: "w"}
	r, ticket := w.start(false)
	for range 10 {
		if err := worker.Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		shards, err := w.store.Shards(t.Context(), "a-b", r.ID)
		if err != nil || len(shards) != 1 || shards[0].Owner != "" || shards[0].Ended || shards[0].Tries != 0 {
			t.Fatalf("the shards are %+v, %v", shards, err)
		}
		w.pass(10 * time.Minute)
	}
	if n := w.objects.Counts()["objects.copy"]; n > 0 || len(w.tickets.Take()) > 0 {
		t.Errorf("%d copies", n)
	}
	if end := w.finish(r.ID); end.State != run.Succeeded || end.Copied != 5 { // by workers without limits
		t.Errorf("the run is %+v", end)
	}
}

// A verification by bytes is put away, too, and goes on where it was.
func TestAVerificationThatALimitHoldsBackIsPutAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const objects = 5
		w := pair(t, objects, func(r *rule.Rule) { r.Limits.BytesPerSecond = 1 })
		limits := &storetest.Limits{}
		worker := w.worker(3)
		worker.Replicator.Limits = &limit.Limiter{Store: limits, Now: w.now, Holder: "w"}
		v, err := w.runs.Verify(t.Context(), w.rule(), run.Bytes, 0)
		if err != nil {
			t.Fatal(err)
		}
		ticket := w.tickets.Take()[0]
		parked := 0
		for range 2 * objects {
			if err := worker.Work(t.Context(), ticket, "w"); err != nil {
				t.Fatal(err)
			}
			shards, err := w.store.Shards(t.Context(), v.Rule, v.ID)
			if err != nil || len(shards) != 1 || shards[0].Owner != "" || shards[0].Tries != 0 {
				t.Fatalf("the shards are %+v, %v", shards, err)
			}
			if shards[0].Ended {
				break
			}
			parked++
			w.pass(10 * time.Second)
		}
		end, err := w.store.Run(t.Context(), v.Rule, v.ID)
		if err != nil || end.State != run.Succeeded || end.Of(run.Matched) != objects || end.Of(run.Unverifiable) != 0 || parked < objects-1 {
			t.Errorf("put away %d times, the verification is %+v, %v", parked, end, err)
		}
		if n := w.objects.Counts()["objects.read"]; n != 2*objects {
			t.Errorf("%d reads of %d objects", n, objects)
		}
	})
}

// To compare bytes takes as long as the rule's limits want.
func TestAComparisonKeepsToItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const objects, size, rate, places = 60, 500, 1000, 3
		w := calm(t, storetest.Traits{}, func(r *rule.Rule) {
			r.Limits = rule.Limits{BytesPerSecond: rate, Concurrency: places}
		})
		for i := range objects {
			w.put(source, fmt.Sprintf("%03d", i), strings.Repeat("x", size))
		}
		w.sweep()
		w.pass(24 * time.Hour)
		most := w.atATime(func(c storetest.Call) bool { return c.Op == "objects.read" && c.Ref.Bucket == source })
		limits := &storetest.Limits{}
		verify := func(mode run.Mode) func() (run.Run, error) {
			return func() (run.Run, error) { return w.runs.Verify(t.Context(), w.rule(), mode, 0) }
		}
		for what, test := range map[string]struct {
			start func() (run.Run, error)
			want  float64
		}{
			"a verification of metadata": {verify(run.Metadata), 0},
			"a verification of bytes":    {verify(run.Bytes), objects * size / rate},
			"a run that compares bytes": {func() (run.Run, error) {
				return w.runs.Start(t.Context(), w.rule(), run.ByRunNow, run.Asked{Compare: run.Bytes})
			}, objects * size / rate},
		} {
			worker := w.worker(1000)
			worker.Slots = make(chan struct{}, 16)
			worker.Replicator.Limits = &limit.Limiter{Store: limits, Now: time.Now, Holder: what, Patience: time.Minute}
			begun, err := test.start()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := worker.Work(t.Context(), w.tickets.Take()[0], "w"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began).Seconds(); took < 0.9*test.want || took > 1.1*test.want {
				t.Errorf("%s: it took %.1f s, want %.1f", what, took, test.want)
			}
			end, err := w.store.Run(t.Context(), begun.Rule, begun.ID)
			if err != nil || end.State != run.Succeeded || end.Of(run.Matched)+end.SkippedSum() != objects || most() > places {
				t.Errorf("%s: it is %+v, %v; %d were read at a time", what, end, err, most())
			}
			time.Sleep(time.Minute) // what nobody used is lost
		}
		other := &limit.Limiter{Store: limits, Now: time.Now, Holder: "other"}
		leave, err := other.Enter(t.Context(), "a-b", rule.Limits{Concurrency: 1}, 0)
		if err != nil {
			t.Fatalf("the worker has its places still: %v", err)
		}
		leave()
		time.Sleep(time.Minute) // what keeps the leases ends
	})
}

// A run takes as long as its rule's limits want, with no more under way at a time.
func TestARunKeepsToItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const objects, size, rate, places = 120, 500, 1000, 3
		w := calm(t, storetest.Traits{}, func(r *rule.Rule) {
			r.Limits = rule.Limits{BytesPerSecond: rate, Concurrency: places}
		})
		for i := range objects {
			w.put(source, fmt.Sprintf("%03d", i), strings.Repeat("x", size))
		}
		most := w.atATime(func(c storetest.Call) bool { return c.Op == "objects.copy" })
		limits := &storetest.Limits{}
		worker := w.worker(1000)
		worker.Slots = make(chan struct{}, 16)
		worker.Replicator.Limits = &limit.Limiter{Store: limits, Now: time.Now, Holder: "w", Patience: time.Minute}
		r, ticket := w.start(false)
		began := time.Now()
		if err := worker.Work(t.Context(), ticket, "w"); err != nil {
			t.Fatal(err)
		}
		took, want := time.Since(began).Seconds(), float64(objects*size/rate)
		if took < 0.9*want || took > 1.1*want {
			t.Errorf("it took %.1f s, want %.1f", took, want)
		}
		if end := w.ended(r.ID); end.Copied != objects || most() > places {
			t.Errorf("the run is %+v, %d copies were under way at a time", end, most())
		}
		other := &limit.Limiter{Store: limits, Now: time.Now, Holder: "other"}
		leave, err := other.Enter(t.Context(), "a-b", rule.Limits{Concurrency: 1}, 0)
		if err != nil {
			t.Fatalf("the worker has its places still: %v", err)
		}
		leave()
		time.Sleep(time.Minute) // what keeps the leases ends
	})
}

// atATime has some calls take a moment, and answers what says how many of them
// were under way at a time, at most.
func (w *world) atATime(some func(storetest.Call) bool) (most func() int) {
	var mu sync.Mutex
	underWay, peak := 0, 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		underWay += by
		peak = max(peak, underWay)
	}
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if some(c) {
			count(1)
			time.Sleep(300 * time.Millisecond)
			count(-1)
		}
		return storetest.None, nil
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return peak
	}
}
