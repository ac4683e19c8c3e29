package main

import (
	"testing"

	"bucket-replicator/tests/simulate/keyset"
)

func both(t *testing.T, family string, keys int, workers int64) (first, second result) {
	t.Helper()
	pair := twice(family, keys, workers, 1)
	for _, r := range pair {
		if r.Writes > writeRate {
			t.Errorf("%s, %d workers, run %d: %.0f writes a second, of %d", family, workers, r.Run, r.Writes, writeRate)
		}
		least := 2 * float64(keys) / pageKeys * listUSD
		if r.USD.List < least || r.USD.List > 1.06*least {
			t.Errorf("%s, %d workers, run %d: $%.2f of LIST, where $%.2f see every key once", family, workers, r.Run, r.USD.List, least)
		}
	}
	return pair[0], pair[1]
}

func TestWorkersShareTheTime(t *testing.T) {
	const keys = 50_000_000
	alone, _ := both(t, "hex", keys, 1)
	for _, family := range []string{"hex", "dated", "hot-folder", "users"} {
		first, second := both(t, family, keys, 100)
		if faster := alone.Seconds / first.Seconds; faster < 45 {
			t.Errorf("%s: 100 workers are %.0f times as fast as one", family, faster)
		}
		if second.Seconds > 1.15*first.Seconds {
			t.Errorf("%s: the second run takes %.0f s, the first one %.0f s", family, second.Seconds, first.Seconds)
		}
	}
}

// Most of the time Lambda has not yet added all workers, and S3's limit is
// reached before they are at work.
func TestAThousandWorkers(t *testing.T) {
	const keys = 100_000_000
	alone := float64(keys) / pageKeys * listFastest.Seconds()
	hashed, _ := both(t, "hex", keys, 1000)
	if faster := alone / hashed.Seconds; faster < 80 {
		t.Errorf("1,000 workers are %.0f times as fast as one", faster)
	}
	if hot, _ := both(t, "hot-folder", keys, 1000); hot.Seconds > 1.5*hashed.Seconds {
		t.Errorf("one hot folder takes %.0f s, hashed keys %.0f s", hot.Seconds, hashed.Seconds)
	}
}

func TestEveryKeyIsInOneShard(t *testing.T) {
	for _, family := range []string{"mixed", "hot-folder-numbered"} {
		w := simulate(keyset.Families[family](5_000_000), 20, nil, 1)
		next := 0
		for _, s := range w.shards {
			if s.from != next || s.at != s.to {
				t.Errorf("%s: a shard of the keys %d to %d, walked up to %d, where %d is next", family, s.from, s.to, s.at, next)
			}
			next = s.to
		}
		if next != w.keys.Len || len(w.shards) < 2 || w.open != 0 {
			t.Errorf("%s: %d shards end with key %d of %d, %d of them open", family, len(w.shards), next, w.keys.Len, w.open)
		}
	}
}
