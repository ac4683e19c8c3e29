package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// A run stops where its window does, and goes on from there with the next one.
func TestARunStopsWithItsWindow(t *testing.T) {
	const objects = 40
	w := calm(t, storetest.Traits{}, func(r *rule.Rule) { r.Limits.Window, r.BatchSize = "00:00-03:00", 5 })
	for i := range objects {
		w.put(source, fmt.Sprintf("%02d", i), "x")
	}
	r, ticket := w.start(false)
	copies := 0
	w.fate = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "objects.copy" {
			if copies++; copies == objects/2 {
				w.pass(3 * time.Hour)
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
