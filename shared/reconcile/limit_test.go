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
		var mu sync.Mutex
		underWay, most := 0, 0
		w.fate = func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "objects.copy" {
				mu.Lock()
				underWay++
				most = max(most, underWay)
				mu.Unlock()
				time.Sleep(300 * time.Millisecond)
				mu.Lock()
				underWay--
				mu.Unlock()
			}
			return storetest.None, nil
		}
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
		if end := w.ended(r.ID); end.Copied != objects || most > places {
			t.Errorf("the run is %+v, %d copies were under way at a time", end, most)
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
