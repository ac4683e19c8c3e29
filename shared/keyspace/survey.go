package keyspace

import (
	"context"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode"
)

// survey is what Split gets to know of a range. S3 can neither count nor list
// backwards; a peek tells how dense the next page is, and that nothing lies
// before its first key. The rest is a guess:
//
// Keys are taken for numbers whose digits are the runes seen in each place of a
// key, and a gap between two peeks for as dense as the pages beside it. A folder
// can be a thousand times as dense as what is around it, so this is done once for
// every beginning that the last key before the gap has: of "a/b/c", what is left
// of "a/b/", then of "a/", then of all. Places where keys were never seen to
// differ do not count, which is how long common beginnings cost nothing.
type survey struct {
	peek    Peek
	peeks   int
	spans   []span      // in order, covering the range; one that was seen is first
	columns [][]*column // by place
	runes   []rune      // that keys have, in order
}

// span is a part of the range: the keys after from, up to and with to.
type span struct {
	from, to string
	seen     bool
	keys     float64  // seen, or guessed
	sample   []string // of the keys seen: the first, one in thin, the last
	strips   []strip  // of a gap
	doubts   []doubt  // of a gap
}

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

const (
	// width is how many peeks are under way at the same time.
	width = 16
	// thin: a survey remembers one in so many keys.
	thin = 16
	// fine is the smallest part of a strip that can be told from nothing.
	fine = 1.0 / (1 << 50)
	// plenty of keys: more are in no bucket, whatever a guess says.
	plenty = 1e12
)

// look peeks after each of the points.
func (s *survey) look(ctx context.Context, points []string) error {
	type answer struct {
		keys []string
		more bool
		err  error
	}
	answers := make([]answer, len(points))
	var wg sync.WaitGroup
	free := make(chan struct{}, width)
	for i, at := range points {
		free <- struct{}{}
		wg.Go(func() {
			a := &answers[i]
			a.keys, a.more, a.err = s.peek(ctx, at)
			<-free
		})
	}
	wg.Wait()
	s.peeks += len(points)
	for i, a := range answers {
		if a.err != nil {
			return a.err
		}
		s.note(points[i], a.keys, a.more)
	}
	for _, folder := range s.columns {
		for _, c := range folder {
			c.digits = s.digits(c)
		}
	}
	return nil
}

// note enters the page after at, which lies in a gap unless another page of the
// same round has reached it.
func (s *survey) note(at string, keys []string, more bool) {
	i := slices.IndexFunc(s.spans, func(g span) bool { return !g.seen && g.from <= at && (g.to == "" || at < g.to) })
	if i < 0 {
		return
	}
	gap := s.spans[i]
	n := len(keys)
	if gap.to != "" {
		n = sort.Search(n, func(i int) bool { return keys[i] > gap.to })
	}
	page := span{from: at, to: gap.to, seen: true, keys: float64(n)}
	for j := 0; j < n-1; j += thin {
		page.sample = append(page.sample, keys[j])
	}
	if n > 0 {
		page.sample = append(page.sample, keys[n-1])
	}
	var put []span
	if gap.from < at {
		put = append(put, span{from: gap.from, to: at})
		s.proof(gap.from, at, page.sample)
	}
	if more && n > 0 && n == len(keys) && keys[n-1] != gap.to {
		page.to = keys[n-1]
		put = append(put, page, span{from: page.to, to: gap.to})
	} else {
		put = append(put, page)
	}
	s.spans = slices.Replace(s.spans, i, i+1, put...)
	s.learn(page.sample)
}

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

// aim answers up to room points where to look next, while there are gaps with
// more than want keys.
func (s *survey) aim(want float64, room int) (points []string) {
	add := func(g *span, at string) {
		if room > 0 && g.from < at && (g.to == "" || at < g.to) && !slices.Contains(points, at) {
			points = append(points, at)
			room--
		}
	}
	// First what a guess rests on. What one look says of long beginnings it
	// mostly says of shorter ones as well, so the middle is best.
	for i := len(s.spans) - 1; i >= 0 && len(points) == 0; i-- {
		g := &s.spans[i]
		doubts := slices.DeleteFunc(g.doubts, func(d doubt) bool { return d.keys <= want })
		n := min(len(doubts), max(1, room/2))
		for j := range n {
			add(g, doubts[len(doubts)*(j+1)/(n+1)].at)
		}
	}
	if len(points) > 0 {
		return points
	}
	// Then the largest gaps, each cut into equal parts.
	looks := make([]int, len(s.spans))
	for range room {
		largest, keys := -1, want
		for i, g := range s.spans {
			if k := g.keys / float64(looks[i]+1); !g.seen && k > keys {
				largest, keys = i, k
			}
		}
		if largest < 0 {
			break
		}
		looks[largest]++
	}
	for i, n := range looks {
		for j := range n {
			g := &s.spans[i]
			add(g, s.within(g, float64(j+1)/float64(n+1)))
		}
	}
	return points
}

// within is a string that about this share of the span's keys does not pass.
func (s *survey) within(g *span, share float64) string {
	if g.seen {
		return g.sample[min(int(share*float64(len(g.sample))), len(g.sample)-1)]
	}
	keys := share * g.keys
	for _, p := range g.strips {
		if keys <= p.keys {
			part := p.hi - p.lo
			return s.key(p.prefix, p.lo+part*keys/p.keys, part/16)
		}
		keys -= p.keys
	}
	return g.from
}

// cut is the range in n pieces of equal size, as far as is known.
func (s *survey) cut(r Range, n int, total float64) (pieces []Range) {
	before := 0.0
	for i, k := 0, 1; i < len(s.spans) && k < n; {
		g := &s.spans[i]
		want := total * float64(k) / float64(n)
		if want > before+g.keys {
			before += g.keys
			i++
			continue
		}
		if at := s.within(g, (want-before)/g.keys); r.After < at && (r.Until == "" || at < r.Until) {
			pieces = append(pieces, Range{r.After, at})
			r.After = at
		}
		k++
	}
	return append(pieces, r)
}

// beginning are those of the sorted keys that begin with prefix.
func beginning(keys []string, prefix []rune) []string {
	p := string(prefix)
	keys = keys[sort.SearchStrings(keys, p):]
	return keys[:sort.Search(len(keys), func(i int) bool { return !strings.HasPrefix(keys[i], p) })]
}

// common is how many runes both begin with.
func common(a, b []rune) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
