package keyset_test

import (
	"slices"
	"testing"

	"bucket-replicator/tests/simulate/keyset"
)

func TestTheKeysOfEveryFamilyAreInOrder(t *testing.T) {
	for _, name := range keyset.Names() {
		for _, n := range []int{5000, 1_000_000_000} {
			set := keyset.Families[name](n)
			if off := set.Len - n; off < -n/100 || off > n/4 {
				t.Errorf("%s: %d keys instead of %d", name, set.Len, n)
			}
			for _, from := range []int{0, set.Len / 3, set.Len - 1000} {
				var keys []string
				for i := range 1000 {
					keys = append(keys, set.Key(from+i))
				}
				if !slices.IsSorted(keys) || len(slices.Compact(keys)) != 1000 {
					t.Errorf("%s of %d: not in order after %d", name, n, from)
				}
				if rank := set.Rank(set.Key(from)); rank != from+1 {
					t.Errorf("%s of %d: key %d ranks %d", name, n, from, rank)
				}
			}
		}
	}
}

func TestAPageIsWhatFollows(t *testing.T) {
	set := keyset.Families["numbered"](25)
	for _, c := range []struct {
		after string
		limit int
		first string
		n     int
		more  bool
	}{
		{"", 10, "img_1.jpg", 10, true},
		{"img_1.jpg", 10, "img_10.jpg", 10, true},
		{"img_1x", 25, "img_2.jpg", 14, false},
		{"x", 10, "", 0, false},
	} {
		keys, more := set.Page(c.after, c.limit)
		if len(keys) != c.n || more != c.more || c.n > 0 && keys[0] != c.first {
			t.Errorf("after %q: %v, %v", c.after, keys, more)
		}
	}
}
