package keyspace_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"bucket-replicator/shared/keyspace"
)

// pieces follow on one another and have so many keys.
func pieces(keys ...int64) []keyspace.Piece {
	all := make([]keyspace.Piece, len(keys))
	after := ""
	for i, n := range keys {
		until := fmt.Sprintf("%04d", i)
		if i == len(keys)-1 {
			until = ""
		}
		all[i] = keyspace.Piece{Range: keyspace.Range{After: after, Until: until}, Keys: n}
		after = until
	}
	return all
}

func TestPieces(t *testing.T) {
	for situation, c := range map[string]struct {
		expected, workers int64
		want              int
	}{
		"nobody knows how many keys":   {0, 10, 10},
		"nor where among many workers": {0, 1000, 16},
		"few keys":                     {19_999, 16, 1},
		"keys for some of the workers": {100_000, 16, 5},
		"keys for all of them":         {1_000_000_000, 100, 100},
		"keys for all of very many":    {1_000_000_000, 1000, 200},
		"one worker":                   {1_000_000_000, 1, 1},
	} {
		if got := keyspace.Pieces(c.expected, c.workers); got != c.want {
			t.Errorf("%s: %d, want %d", situation, got, c.want)
		}
	}
}

func TestShares(t *testing.T) {
	for situation, c := range map[string]struct {
		walked, open, workers int64
		want                  int
	}{
		"alone, and not large yet":            {19_999, 1, 100, 1},
		"alone, and large":                    {20_000, 1, 100, 16},
		"one worker":                          {1_000_000, 1, 1, 1},
		"two":                                 {1_000_000, 1, 2, 2},
		"every worker has a shard":            {1_000_000, 100, 100, 1},
		"shards wait for workers":             {1_000_000, 200, 100, 1},
		"half of the workers idle":            {20_000, 50, 100, 2},
		"a few more":                          {20_000, 34, 100, 3},
		"one of a hundred idle":               {200_000, 99, 100, 1},
		"one of a hundred, for a large shard": {1_980_000, 99, 100, 2},
		"most of very many idle":              {20_000, 100, 1000, 3},
		"a few of very many idle":             {20_000, 900, 1000, 1},
		"a count that is behind":              {20_000, 0, 2, 2},
	} {
		if got := keyspace.Shares(c.walked, c.open, c.workers); got != c.want {
			t.Errorf("%s: %d, want %d", situation, got, c.want)
		}
	}
}

func TestRecut(t *testing.T) {
	for situation, test := range map[string]struct {
		last []keyspace.Piece
		n    int
		want []string // the ends
	}{
		"nothing known":            {nil, 4, []string{""}},
		"one piece":                {pieces(10), 4, []string{""}},
		"as many as there are":     {pieces(10, 10, 10), 3, []string{"0000", "0001", ""}},
		"fewer than there are":     {pieces(10, 10, 10, 10), 2, []string{"0001", ""}},
		"one alone":                {pieces(10, 10, 10, 10), 1, []string{""}},
		"small ones join":          {pieces(1, 1, 1, 1, 100, 1, 1, 1, 1, 100), 2, []string{"0004", ""}},
		"empty ones cost no piece": {pieces(0, 0, 10, 0, 10, 0), 4, []string{"0002", ""}},
	} {
		t.Run(situation, func(t *testing.T) {
			var ends []string
			for _, r := range keyspace.Recut(test.last, test.n) {
				ends = append(ends, r.Until)
			}
			if !slices.Equal(ends, test.want) {
				t.Errorf("ends at %q, want %q", ends, test.want)
			}
		})
	}
}

func TestRecutCoversAllKeysInOrder(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 0))
		keys := make([]int64, 1+random.IntN(40))
		var total, most int64
		for i := range keys {
			keys[i] = random.Int64N(1000)
			total, most = total+keys[i], max(most, keys[i])
		}
		last, n := pieces(keys...), 1+random.IntN(10)
		ranges := keyspace.Recut(last, n)
		after, i := "", 0
		for _, r := range ranges {
			var have int64
			for ; i < len(last) && (r.Until == "" || last[i].Until != "" && last[i].Until <= r.Until); i++ {
				have += last[i].Keys
			}
			if r.After != after || have > total/int64(n)+2*most {
				t.Fatalf("seed %d: %+v has %d of %d keys, in %d", seed, r, have, total, n)
			}
			after = r.Until
		}
		if len(ranges) > n || after != "" {
			t.Fatalf("seed %d: %d ranges for %d, the last until %q", seed, len(ranges), n, after)
		}
	}
}
