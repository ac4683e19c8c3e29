package reconcile_test

import (
	"context"
	"fmt"
	"runtime"
	"sort"
	"sync"
	"testing"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// still is two buckets in step that nobody writes to, of any size.
type still struct {
	objects []object.Listed
	// wait holds up the destination's listing that came so far.
	wait func(after string)
}

func (s still) List(_ context.Context, b object.Bucket, _, after string, limit int) ([]object.Listed, bool, error) {
	if b == dest {
		s.wait(after)
	}
	i := sort.Search(len(s.objects), func(i int) bool { return s.objects[i].Key > after })
	end := min(i+limit, len(s.objects))
	return append([]object.Listed(nil), s.objects[i:end]...), end < len(s.objects), nil
}

// A run whose size nobody knows is cut once its first pages are full, among as
// many workers as there are, and the next one begins with the same pieces. What
// they add up to is what one worker would have found. Workers that the rule does
// not let copy at the same time get nothing.
func TestALargeRunIsSharedAndAddsUp(t *testing.T) {
	for name, c := range map[string]struct {
		workers     int64
		concurrency int
	}{"among all workers": {4, 0}, "among those that may copy": {100, 4}} {
		t.Run(name, func(t *testing.T) { sharedAndAddsUp(t, c.workers, c.concurrency) })
	}
}

func sharedAndAddsUp(t *testing.T, workers int64, concurrency int) {
	const n, most = 60_000, 4
	w := calm(t, storetest.Traits{}, func(r *rule.Rule) { r.Limits.Concurrency = concurrency })
	lister := still{objects: make([]object.Listed, n)}
	for i := range lister.objects {
		lister.objects[i] = object.Listed{Key: fmt.Sprintf("logs/%08d", i), State: object.State{
			Presence: object.Present, ETag: "e", Size: 1, LastModified: w.clock,
		}}
	}
	for nth, want := range []struct{ least, most int64 }{{2, 40}, {2, most}} {
		// The first worker goes no further until it has shared. Only the source
		// is asked where to.
		lister.wait = func(after string) {
			for after > lister.objects[20_000].Key && w.store.Counts()["runs.share"] <= nth && t.Context().Err() == nil {
				runtime.Gosched()
			}
		}
		r, err := w.runs.Start(t.Context(), w.rule(), run.BySchedule, run.Asked{})
		if err != nil {
			t.Fatal(err)
		}
		for round := 0; ; round++ {
			tickets := w.tickets.Take()
			if len(tickets) == 0 {
				break
			}
			var busy sync.WaitGroup
			for i, ticket := range tickets {
				busy.Go(func() {
					worker := w.worker(1000)
					worker.Lister, worker.Workers = lister, workers
					if err := worker.Work(t.Context(), ticket, fmt.Sprint(nth, round, i)); err != nil {
						t.Error(err)
					}
				})
			}
			busy.Wait()
		}
		end := w.ended(r.ID)
		if end.State != run.Succeeded || end.Scanned != n || end.Skipped[string(decide.InSync)] != n || end.Sources != n {
			t.Errorf("run %d: %+v", nth+1, end)
		}
		if end.Shards < want.least || end.Shards > want.most {
			t.Errorf("run %d was cut into %d shards", nth+1, end.Shards)
		}
		shards, err := w.store.Shards(t.Context(), r.Rule, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		after := ""
		for _, s := range shards {
			if s.Range.After != after {
				t.Errorf("run %d: a shard begins after %q, the one before ends at %q", nth+1, s.Range.After, after)
			}
			after = s.Range.Until
		}
		if after != "" {
			t.Errorf("run %d ends at %q", nth+1, after)
		}
	}
}
