package keyspace

import (
	"slices"
	"sort"
	"strings"
)

// strip is a part of a gap: of the keys that begin with prefix, those from lo to
// hi, where 0 to 1 are all of them.
type strip struct {
	prefix []rune
	lo, hi float64
	keys   float64
}

// doubt is a point at which a look tells whether a folder, or another beginning,
// goes on after all that is known of it.
type doubt struct {
	at   string
	keys float64 // of the beginning
}

// plenty of keys: more are in no bucket, whatever a guess says.
const plenty = 1e12

// estimate guesses what is in the gaps, and answers the sum of all keys.
func (s *survey) estimate() (total float64) {
	for i := range s.spans {
		g := &s.spans[i]
		if !g.seen {
			var next []string
			if i+1 < len(s.spans) {
				next = s.spans[i+1].sample
			}
			s.weigh(g, s.spans[i-1].sample, next)
		}
		total += g.keys
	}
	return total
}

// weigh guesses what is in a gap from the samples before and after it. The gap
// begins at the last key of the one before.
func (s *survey) weigh(g *span, before, after []string) {
	from, to := []rune(g.from), []rune(g.to)
	g.strips, g.doubts, g.keys = nil, nil, 0
	shortest := common(from, to)
	longest := shortest
	for longest+1 < len(from) && len(beginning(before, from[:longest+1])) > 1 {
		longest++
	}
	if longest >= len(from) {
		return
	}
	density, known := 0.0, 0
	for n := longest; n >= shortest; n-- {
		// What is left of the keys that begin with from[:n], but for what
		// begins with from[:n+1], which the last round counted.
		c := s.column(placeAfter(from[:n]))
		i, of, _ := c.digit(from[n])
		lo, hi := float64(i+1)/float64(of), 1.0
		if n == longest {
			lo = s.value(from, n)
		}
		if same := beginning(before, from[:n]); len(same) > known {
			density, known = s.density(same, n), len(same)
		} else {
			density *= float64(of)
		}
		if n == shortest {
			if g.to != "" {
				hi = s.value(to, n)
			}
			density = between(density, s.density(beginning(after, from[:n]), n))
		}
		density = min(density, plenty)
		if keys := density * (hi - lo); keys > 0 {
			g.strips = append(g.strips, strip{from[:n], lo, hi, keys})
			g.keys += keys
		}
		if top := c.top(from[n]); top > c.last {
			g.doubts = append(g.doubts, doubt{string(append(slices.Clip(from[:n]), top+1)), density})
		}
	}
}

// between is the density of what has these two beside it, nearer to the lesser:
// the denser one may end at once. Zero says nothing.
func between(a, b float64) float64 {
	if a == 0 || b == 0 {
		return a + b
	}
	return 2 / (1/a + 1/b)
}

// density is how many keys there were if all that begins with a prefix of n
// runes were like these keys, which do.
func (s *survey) density(keys []string, n int) float64 {
	if len(keys) < 2 {
		return 0
	}
	span := s.value([]rune(keys[len(keys)-1]), n) - s.value([]rune(keys[0]), n)
	return float64((len(keys)-1)*thin) / max(span, fine)
}

// beginning are those of the sorted keys that begin with prefix.
func beginning(keys []string, prefix []rune) []string {
	p := string(prefix)
	keys = keys[sort.SearchStrings(keys, p):]
	return keys[:sort.Search(len(keys), func(i int) bool { return !strings.HasPrefix(keys[i], p) })]
}
