package keyset_test

import (
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
			// Near to each other, and all over the set.
			for _, step := range []int{1, set.Len / 3000} {
				before := ""
				for i := set.Len / 5; i < set.Len/5+2000*step; i += step {
					key := set.Key(i)
					if key <= before {
						t.Fatalf("%s of %d: %q is before %q", name, n, before, key)
					}
					before = key
				}
				if last := set.Len/5 + 1999*step; set.Rank(before) != last+1 {
					t.Errorf("%s of %d: key %d ranks %d", name, n, last, set.Rank(before))
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
