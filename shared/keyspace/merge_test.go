package keyspace_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/object"
)

// bucket is a listing in memory that counts the pages it gave.
type bucket struct {
	keys  []string // sorted
	page  int      // keys a page; 0: 1,000
	fails int      // the page, counted from 1, that fails; 0: none
	takes time.Duration
	pages atomic.Int64
}

var errListing = errors.New("the listing failed")

func (b *bucket) List(ctx context.Context, after string) ([]object.Listed, bool, error) {
	n := b.pages.Add(1)
	if b.takes > 0 {
		select {
		case <-time.After(b.takes):
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	if n == int64(b.fails) {
		return nil, false, errListing
	}
	from, found := slices.BinarySearch(b.keys, after)
	if found && after != "" {
		from++
	}
	to := min(from+cmp.Or(b.page, 1000), len(b.keys))
	page := make([]object.Listed, 0, 1000)
	for _, key := range b.keys[from:to] {
		page = append(page, object.Listed{Key: key, State: object.State{Presence: object.Present, ETag: key}})
	}
	return page, to < len(b.keys), nil
}

// has is what a look would find of a key that is listed or not.
func has(key string, listed bool) object.State {
	if listed {
		return object.State{Presence: object.Present, ETag: key}
	}
	return object.State{Presence: object.Absent}
}

// join is what Merge must answer, by brute force.
func join(r keyspace.Range, source, dest []string) (pairs []keyspace.Pair) {
	keys := slices.Concat(source, dest)
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if r.Contains(key) {
			pairs = append(pairs, keyspace.Pair{Key: key,
				Source: has(key, slices.Contains(source, key)), Dest: has(key, slices.Contains(dest, key))})
		}
	}
	return pairs
}

func same(a, b []keyspace.Pair) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// pull walks to the end or the first error, and insists that nothing follows it.
func pull(t *testing.T, r keyspace.Range, source, dest keyspace.List) (pairs []keyspace.Pair, err error) {
	t.Helper()
	for p, e := range keyspace.Merge(t.Context(), r, source, dest) {
		if err != nil {
			t.Fatalf("%v, %v follows the error %v", p, e, err)
		}
		if err = e; err == nil {
			pairs = append(pairs, p)
		}
	}
	return pairs, err
}

func numbered(format string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(format, i)
	}
	return keys
}

func TestMergeJoinsBothSides(t *testing.T) {
	long := numbered("%04d", 2500)
	for name, c := range map[string]struct {
		r            keyspace.Range
		source, dest []string
	}{
		"nothing anywhere":                 {},
		"only the source has keys":         {source: []string{"a", "b"}},
		"only the destination has":         {dest: []string{"a", "b"}},
		"in step":                          {source: long, dest: long},
		"alternating":                      {source: []string{"a", "c", "e"}, dest: []string{"b", "d", "f"}},
		"one side ends early":              {source: long, dest: long[:3]},
		"one side begins late":             {source: long[2400:], dest: long},
		"ordered by bytes, not by letters": {source: []string{"A", "Z", "a", "é", "\U0001F600"}, dest: []string{"B", "b", "z", "\uFFFD"}},
		"a marker named like the prefix":   {source: []string{"", "a"}, dest: []string{"", "a"}},
		"a bounded range":                  {r: keyspace.Range{After: "0100", Until: "1200"}, source: long, dest: long},
		"a bound that is no key":           {r: keyspace.Range{After: "0100x", Until: "1200x"}, source: long, dest: long},
		"a range behind all keys":          {r: keyspace.Range{After: "z"}, source: long, dest: long},
		"a range between two keys":         {r: keyspace.Range{After: "0100", Until: "0100x"}, source: long, dest: long},
		"an empty range":                   {r: keyspace.Range{After: "b", Until: "b"}, source: long, dest: long},
	} {
		t.Run(name, func(t *testing.T) {
			source, dest := &bucket{keys: c.source}, &bucket{keys: c.dest, page: 7}
			got, err := pull(t, c.r, source.List, dest.List)
			if want := join(c.r, c.source, c.dest); err != nil || !same(got, want) {
				t.Errorf("got %v, %v\nwant %v", got, err, want)
			}
		})
	}
}

func FuzzMerge(f *testing.F) {
	f.Add("b,d,e", "a,d,f", "", "", uint8(1), uint8(2))
	f.Add("a,b,c,d,e,f", "c", "a", "e", uint8(2), uint8(9))
	f.Add("\xff,é,e", "", "e", "\xff", uint8(3), uint8(3))
	f.Fuzz(func(t *testing.T, s, d, after, until string, spage, dpage uint8) {
		set := func(list string) []string {
			keys := strings.Split(list, ",")
			slices.Sort(keys)
			return slices.Compact(keys)
		}
		// A page of one could be the empty key alone, which nothing comes after.
		source := &bucket{keys: set(s), page: int(spage) + 2}
		dest := &bucket{keys: set(d), page: int(dpage) + 2}
		r := keyspace.Range{After: after, Until: until}
		got, err := pull(t, r, source.List, dest.List)
		if want := join(r, source.keys, dest.keys); err != nil || !same(got, want) {
			t.Errorf("got %v, %v\nwant %v", got, err, want)
		}
	})
}

// Pages are the bill: each side lists what its own pages need, and no page that
// begins beyond the range.
func TestMergeListsNoPageTooMany(t *testing.T) {
	keys := numbered("%04d", 5000)
	for name, c := range map[string]struct {
		r            keyspace.Range
		source, dest int64
	}{
		"everything":                    {keyspace.Range{}, 5, 10},
		"the range ends in a page":      {keyspace.Range{Until: "2500"}, 3, 6},
		"the range ends with a page":    {keyspace.Range{Until: "1999"}, 2, 4},
		"the range ends before the end": {keyspace.Range{After: "4900", Until: "4950"}, 1, 1},
		"the range is behind all keys":  {keyspace.Range{After: "x"}, 1, 1},
		"the range is empty":            {keyspace.Range{After: "2", Until: "1"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			source, dest := &bucket{keys: keys}, &bucket{keys: keys, page: 500}
			if _, err := pull(t, c.r, source.List, dest.List); err != nil {
				t.Fatal(err)
			}
			if s, d := source.pages.Load(), dest.pages.Load(); s != c.source || d != c.dest {
				t.Errorf("listed %d and %d pages, want %d and %d", s, d, c.source, c.dest)
			}
		})
	}
}

// What comes before the error is exactly what both sides had answered for.
func TestAListingErrorIsNeverTheEnd(t *testing.T) {
	all := numbered("%04d", 100)
	for _, fails := range []int{1, 2, 5} {
		for _, side := range []string{"source", "destination"} {
			t.Run(fmt.Sprintf("page %d of the %s", fails, side), func(t *testing.T) {
				source, dest := &bucket{keys: all, page: 10, fails: fails}, &bucket{keys: all[95:]}
				if side == "destination" {
					source, dest = dest, source
				}
				got, err := pull(t, keyspace.Range{}, source.List, dest.List)
				want := join(keyspace.Range{}, source.keys, dest.keys)[:10*(fails-1)]
				if !errors.Is(err, errListing) || !same(got, want) {
					t.Errorf("got %d pairs and %v, want %d and the error", len(got), err, len(want))
				}
			})
		}
	}
}

func TestAListingThatStandsStillIsAnError(t *testing.T) {
	for name, page := range map[string][]object.Listed{
		"an empty page":       nil,
		"the same page again": {{Key: "a"}, {Key: "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			still := func(context.Context, string) ([]object.Listed, bool, error) { return page, true, nil }
			got, err := pull(t, keyspace.Range{}, still, (&bucket{}).List)
			if err == nil || len(got) != len(page) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// Three waits would take turns without the page ahead: the source's, the
// destination's and the loop's. Time is a bubble's, so this is exact.
func TestTheListingsAreOnePageAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := numbered("%02d", 50)
		source := &bucket{keys: keys, page: 10, takes: time.Second}
		dest := &bucket{keys: keys, page: 10, takes: time.Second}
		start := time.Now()
		for _, err := range keyspace.Merge(t.Context(), keyspace.Range{}, source.List, dest.List) {
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second / 10)
		}
		if took := time.Since(start); took != 6*time.Second {
			t.Errorf("5 pages took %s, want the first listing and 5 pages of work", took)
		}
	})
}

func TestTheListingsStayNoMoreThanOnePageAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, dest := &bucket{keys: numbered("%04d", 1000), page: 10}, &bucket{}
		var done int64
		for _, err := range keyspace.Merge(t.Context(), keyspace.Range{}, source.List, dest.List) {
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if ahead := source.pages.Load() - done/10; ahead > 2 {
				t.Fatalf("after %d keys %d pages were listed", done, source.pages.Load())
			}
			done++
		}
	})
}

// A goroutine that stays behind fails a bubble's test.
func TestLeavingTheLoopEndsTheListings(t *testing.T) {
	keys := numbered("%04d", 100)
	for name, leave := range map[string]func(cancel func()) (stop bool){
		"break":          func(func()) bool { return true },
		"context's end":  func(cancel func()) bool { cancel(); return false },
		"break after it": func(cancel func()) bool { cancel(); return true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				source := &bucket{keys: keys, page: 2, takes: time.Second}
				dest := &bucket{keys: keys, page: 3, takes: time.Minute}
				var failed error
				var stopped bool
				for _, err := range keyspace.Merge(ctx, keyspace.Range{}, source.List, dest.List) {
					if failed = err; err != nil {
						continue
					}
					if stopped = leave(cancel); stopped {
						break
					}
				}
				if !stopped && !errors.Is(failed, context.Canceled) {
					t.Errorf("a cancelled walk ended with %v", failed)
				}
				before := source.pages.Load() + dest.pages.Load()
				time.Sleep(time.Hour)
				if after := source.pages.Load() + dest.pages.Load(); after != before {
					t.Errorf("%d pages were listed after the loop", after-before)
				}
			})
		})
	}
}

func TestAPanicInTheLoopEndsTheListings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, dest := &bucket{keys: numbered("%04d", 100), page: 2}, &bucket{}
		defer func() {
			if recover() == nil {
				t.Error("the panic was lost")
			}
		}()
		for range keyspace.Merge(t.Context(), keyspace.Range{}, source.List, dest.List) {
			panic("in the loop")
		}
	})
}

// BenchmarkMerge is the merging alone: the pages are made beforehand.
func BenchmarkMerge(b *testing.B) {
	const keys, perPage = 1_000_000, 1000
	pages := make([][]object.Listed, keys/perPage)
	for i := range pages {
		for _, key := range numbered(fmt.Sprintf("logs/app/prod/i-0123456789abcdef/%06d-%%04d", i), perPage) {
			pages[i] = append(pages[i], object.Listed{Key: key, State: has(key, true)})
		}
	}
	list := func() keyspace.List {
		next := 0
		return func(context.Context, string) ([]object.Listed, bool, error) {
			next++
			return pages[next-1], next < len(pages), nil
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for p := range keyspace.Merge(b.Context(), keyspace.Range{}, list(), list()) {
			if p.Source.Presence == p.Dest.Presence {
				n++
			}
		}
		if n != keys {
			b.Fatalf("%d pairs", n)
		}
	}
	b.ReportMetric(float64(b.N)*keys/b.Elapsed().Seconds()/1e6, "Mpairs/s")
}
