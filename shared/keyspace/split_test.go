package keyspace_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/tests/simulate/keyset"
)

// peeker peeks into a set of keys, and counts.
type peeker struct {
	keyset.Set
	fails          int64
	peeks          atomic.Int64
	together, most atomic.Int64 // peeks at the same time
}

var errPeek = errors.New("the peek failed")

func (p *peeker) Peek(_ context.Context, after string) ([]string, bool, error) {
	now := p.together.Add(1)
	defer p.together.Add(-1)
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	if p.peeks.Add(1) == p.fails {
		return nil, false, errPeek
	}
	keys, more := p.Page(after, 1000)
	return keys, more, nil
}

// count is how many keys are in r.
func count(s keyset.Set, r keyspace.Range) int {
	from, to := 0, s.Len
	if r.After != "" {
		from = s.Rank(r.After)
	}
	if r.Until != "" {
		to = s.Rank(r.Until)
	}
	return to - from
}

// covers fails unless the pieces cover r in order.
func covers(t *testing.T, r keyspace.Range, pieces []keyspace.Range) {
	t.Helper()
	if len(pieces) == 0 || pieces[0].After != r.After || pieces[len(pieces)-1].Until != r.Until {
		t.Fatalf("%q do not cover %q", pieces, r)
	}
	for i, p := range pieces {
		if p.Empty() && !r.Empty() {
			t.Errorf("piece %d of %q has no room for keys", i, pieces)
		}
		if i > 0 && (p.After == "" || p.After != pieces[i-1].Until) {
			t.Errorf("piece %d of %q does not follow on the one before", i, pieces)
		}
	}
}

// balance is the largest piece, where 1 is a fair share of n pieces, or of as
// many as the keys are enough for.
func balance(s keyset.Set, r keyspace.Range, pieces []keyspace.Range, n int) float64 {
	most := 0
	for _, p := range pieces {
		most = max(most, count(s, p))
	}
	keys := count(s, r)
	return float64(most) / float64(keys) * float64(max(1, min(n, keys/20_000)))
}

// The table, with -v, is what Split reaches. Every family whose keys have an
// order to go by stays within three times a fair share; where names say nothing
// of what is in a folder, sharing has to do the rest.
func TestSplitBalances(t *testing.T) {
	without := map[string]float64{"users": 12, "mixed": 20}
	sizes, cuts := []int{10_000, 100_000, 1_000_000}, []int{2, 8, 64}
	t.Log("the largest piece of n, by a fair share, and the peeks")
	head := fmt.Sprintf("%20s", "")
	for _, size := range sizes {
		for _, n := range cuts {
			head += fmt.Sprintf("%10s", fmt.Sprintf("%.0e/%d", float64(size), n))
		}
	}
	t.Log(head)
	for _, family := range keyset.Names() {
		line := fmt.Sprintf("%20s", family)
		for _, size := range sizes {
			for _, n := range cuts {
				p := &peeker{Set: keyset.Families[family](size)}
				pieces, err := keyspace.Split(t.Context(), keyspace.Range{}, n, p.Peek)
				if err != nil {
					t.Fatal(err)
				}
				covers(t, keyspace.Range{}, pieces)
				got := balance(p.Set, keyspace.Range{}, pieces, n)
				line += fmt.Sprintf("%6.2f %3d", got, p.peeks.Load())
				if bound := max(3, without[family]); got > bound {
					t.Errorf("%s: the largest of %d pieces of %d keys is %.1f times a fair share, want at most %v", family, n, size, got, bound)
				}
				if peeks := p.peeks.Load(); peeks > int64(min(5*n+3, 2*n+27)) {
					t.Errorf("%s: %d peeks for %d pieces", family, peeks, n)
				}
				if most := p.most.Load(); most > 16 {
					t.Errorf("%d peeks at the same time", most)
				}
			}
		}
		t.Log(line)
	}
}

// What a worker does in the middle of a walk: both ends are keys.
func TestSplitHalvesTheRestOfAWalk(t *testing.T) {
	for _, family := range keyset.Names() {
		set := keyset.Families[family](1_000_000)
		sum, worst := 0.0, 0.0
		const walks = 20
		for i := range walks {
			from := set.Len / (walks + 10) * i
			r := keyspace.Range{After: set.Key(from), Until: set.Key(from + set.Len/4)}
			p := &peeker{Set: set}
			pieces, err := keyspace.Split(t.Context(), r, 2, p.Peek)
			if err != nil {
				t.Fatal(err)
			}
			covers(t, r, pieces)
			b := balance(set, r, pieces, 2)
			sum, worst = sum+b, max(worst, b)
			if p.peeks.Load() > 13 {
				t.Errorf("%s: %d peeks", family, p.peeks.Load())
			}
		}
		t.Logf("%20s: the larger half is %.2f times the half on average, %.2f at worst", family, sum/walks, worst)
		if sum/walks > 1.5 {
			t.Errorf("%s: the larger half is %.2f times the half on average", family, sum/walks)
		}
	}
}

func TestFewKeysAreOnePiece(t *testing.T) {
	hex := keyset.Families["hex"](20_000)
	for name, c := range map[string]struct {
		keys, n int
		r       keyspace.Range
		peeks   int64
	}{
		"no key":             {0, 8, keyspace.Range{}, 1},
		"a page":             {1000, 8, keyspace.Range{}, 1},
		"a page of a bucket": {20_000, 8, keyspace.Range{After: hex.Key(3), Until: hex.Key(1003)}, 1},
		"nothing in between": {20_000, 8, keyspace.Range{After: hex.Key(3), Until: hex.Key(3) + "x"}, 1},
		"an empty range":     {20_000, 8, keyspace.Range{After: "b", Until: "a"}, 0},
		"one piece wanted":   {20_000, 1, keyspace.Range{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &peeker{Set: keyset.Families["hex"](c.keys)}
			pieces, err := keyspace.Split(t.Context(), c.r, c.n, p.Peek)
			if err != nil || len(pieces) != 1 || pieces[0] != c.r {
				t.Errorf("got %v, %v", pieces, err)
			}
			if got := p.peeks.Load(); got != c.peeks {
				t.Errorf("%d peeks, want %d", got, c.peeks)
			}
		})
	}
}

func TestAFailedPeekFailsTheSplit(t *testing.T) {
	for _, fails := range []int64{1, 2, 10, 40} {
		p := &peeker{Set: keyset.Families["uuid"](1_000_000), fails: fails}
		if pieces, err := keyspace.Split(t.Context(), keyspace.Range{}, 8, p.Peek); !errors.Is(err, errPeek) || pieces != nil {
			t.Errorf("peek %d: %v, %v", fails, pieces, err)
		}
	}
}

// Whatever the keys are, the pieces are a cover, and what they begin with can
// be asked for.
func FuzzSplit(f *testing.F) {
	f.Add("a,b/c,b/d/e,f", "", "", uint8(9), uint8(1))
	f.Add("2026/01/01,2026/02/01,\xff\xfe,日本,\U0010FFFF", "2026", "日本", uint8(200), uint8(2))
	f.Add("0,1,2,3,4,5,6,7,8,9,~,\x7f,\xed\x9f\xbf", "0", "", uint8(64), uint8(3))
	f.Fuzz(func(t *testing.T, list, after, until string, n, page uint8) {
		var keys []string
		parts := strings.Split(list, ",")
		for _, a := range parts[:min(len(parts), 50)] {
			for _, b := range parts[:min(len(parts), 50)] {
				keys = append(keys, a+b)
			}
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		valid := utf8.ValidString(list) && utf8.ValidString(after) && utf8.ValidString(until)
		set := keyset.Set{Len: len(keys), Append: func(dst []byte, i int) []byte { return append(dst, keys[i]...) }}
		r := keyspace.Range{After: after, Until: until}
		pieces, err := keyspace.Split(t.Context(), r, int(n), func(ctx context.Context, after string) ([]string, bool, error) {
			if valid && !utf8.ValidString(after) {
				t.Errorf("peeks after %q", after)
			}
			keys, more := set.Page(after, int(page)+2)
			return keys, more, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		covers(t, r, pieces)
		if len(pieces) > max(1, int(n)) {
			t.Errorf("%d pieces instead of %d", len(pieces), n)
		}
		for _, piece := range pieces {
			if valid && !utf8.ValidString(piece.After) {
				t.Errorf("a piece begins after %q", piece.After)
			}
		}
	})
}
