package keyspace

import (
	"slices"
	"unicode"
)

// place of a rune in a key: how many folders are before it, and how many runes
// of its own. Folders' names differ in length; what comes after them does not
// depend on it.
type place struct{ folders, runes int }

func (p place) after(r rune) place {
	if r == '/' {
		return place{folders: p.folders + 1}
	}
	return place{p.folders, p.runes + 1}
}

func placeAfter(prefix []rune) (p place) {
	for _, r := range prefix {
		p = p.after(r)
	}
	return p
}

// column is what is known of a place.
type column struct {
	lo, hi rune // seen
	// differs: two keys that are the same up to this place differ here. Only
	// then there are digits: what is taken to be possible here, in order.
	differs bool
	digits  []rune
	// last: no rune after this one was found here, by a look for it.
	last rune
}

// column is that of a place; nil if no key has been seen to come so far.
func (s *survey) column(p place) *column {
	if p.folders < len(s.columns) && p.runes < len(s.columns[p.folders]) {
		return s.columns[p.folders][p.runes]
	}
	return nil
}

// digit is the rune's number among the n that are possible in the column, or
// that of the next one if it is not one of them.
func (c *column) digit(r rune) (i, n int, possible bool) {
	switch {
	case c.differs:
		i, possible = slices.BinarySearch(c.digits, r)
		return i, len(c.digits), possible
	case r > c.hi:
		return 1, 1, false
	default:
		return 0, 1, r >= c.lo
	}
}

// top is the last rune that is expected in the column after a key has r there.
func (c *column) top(r rune) rune {
	if c.digits != nil {
		return c.digits[len(c.digits)-1]
	}
	return r
}

// fine is the smallest part of a strip that can be told from nothing.
const fine = 1.0 / (1 << 50)

// add makes the column of the place where r was seen, which comes next to one
// that there is.
func (s *survey) add(p place, r rune) *column {
	if p.folders == len(s.columns) {
		s.columns = append(s.columns, nil)
	}
	c := &column{lo: r, hi: r, last: -1}
	s.columns[p.folders] = append(s.columns[p.folders], c)
	return c
}

// learn enters what keys in order have in which place.
func (s *survey) learn(keys []string) {
	var before []rune
	for i, key := range keys {
		var p place
		for _, r := range key {
			c := s.column(p)
			if c == nil {
				c = s.add(p, r)
			}
			c.lo, c.hi = min(c.lo, r), max(c.hi, r)
			if i, known := slices.BinarySearch(s.runes, r); !known {
				s.runes = slices.Insert(s.runes, i, r)
			}
			p = p.after(r)
		}
		now := []rune(key)
		if i > 0 {
			s.differ(before, common(before, now))
		}
		before = now
	}
}

// differ enters that another key has the first n runes of this one, and then
// another rune.
func (s *survey) differ(key []rune, n int) {
	if c := s.column(placeAfter(key[:n])); c != nil {
		c.differs = true
	}
}

// proof enters what the page found after at proves of the keys known before it,
// of which from is the last: after which beginnings of from nothing comes.
func (s *survey) proof(from, at string, found []string) {
	key, point, shared := []rune(from), []rune(at), -1
	if len(found) > 0 {
		first := []rune(found[0])
		shared = common(key, first)
		if c := s.column(placeAfter(key[:shared])); c != nil && c.digits != nil && shared < len(first) && first[shared] > c.top(0) {
			c.hi = s.runes[len(s.runes)-1] // it is not as it looked: expect anything
		}
		s.differ(key, shared)
	}
	n := common(key, point)
	for i := shared + 1; i <= n && i < min(len(key), len(point)); i++ {
		c, r := s.column(placeAfter(key[:i])), key[i]
		if i == n {
			r = point[i] - 1
		}
		c.last = max(c.last, r)
	}
}

// digits of a column are the known runes from the lowest to the highest one
// that it had, and with these all of their kind: after a 3 come 4 to 9.
func (s *survey) digits(c *column) []rune {
	if !c.differs {
		return nil
	}
	lo, _ := slices.BinarySearch(s.runes, c.lo)
	hi, _ := slices.BinarySearch(s.runes, c.hi)
	for lo > 0 && alike(s.runes[lo-1], c.lo) {
		lo--
	}
	for hi+1 < len(s.runes) && alike(s.runes[hi+1], c.hi) {
		hi++
	}
	return slices.Clone(s.runes[lo : hi+1])
}

func alike(a, b rune) bool {
	for _, kind := range []*unicode.RangeTable{unicode.Digit, unicode.Upper, unicode.Lower, unicode.Letter} {
		if unicode.Is(kind, b) {
			return unicode.Is(kind, a)
		}
	}
	return false
}

// value is where the key lies among all that share its first n runes: 0 to 1.
func (s *survey) value(key []rune, n int) float64 {
	x, unit := 0.0, 1.0
	p := placeAfter(key[:n])
	for _, r := range key[n:] {
		c := s.column(p)
		if c == nil {
			break
		}
		i, of, possible := c.digit(r)
		unit /= float64(of)
		x += float64(i) * unit
		if !possible || unit < fine {
			break
		}
		p = p.after(r)
	}
	return x
}

// key is the shortest key whose value is x, to within unit, among those that
// begin with prefix.
func (s *survey) key(prefix []rune, x, unit float64) string {
	key, n := slices.Clone(prefix), len(prefix)
	p := placeAfter(prefix)
	for one := 1.0; one > unit; {
		c := s.column(p)
		if c == nil {
			break
		}
		r := c.lo
		if c.differs {
			of := float64(len(c.digits))
			i := min(int(x*of), len(c.digits)-1)
			r, x, one = c.digits[i], x*of-float64(i), one/of
			n = len(key) + 1
		}
		key = append(key, r)
		p = p.after(r)
	}
	return string(key[:n])
}

// common is how many runes both begin with.
func common(a, b []rune) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
