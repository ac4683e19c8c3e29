package keyspace

import (
	"context"
	"slices"
	"sort"
	"sync"
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

const (
	// width is how many peeks are under way at the same time.
	width = 16
	// thin: a survey remembers one in so many keys.
	thin = 16
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
