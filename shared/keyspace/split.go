package keyspace

import "context"

// Peek answers the first keys after a key, in order, up to a page of them, and
// whether there are more. A page is empty only at the end. It is one LIST
// request, and is called from several goroutines at the same time.
type Peek func(ctx context.Context, after string) (keys []string, more bool, err error)

// Split cuts r into at most n pieces of about as many keys each, and into fewer
// where there are not enough keys for them. The pieces are in order, follow on
// one another, and cover r.
//
// It peeks up to 5n+3 times, and 2n+27 for more than 8 pieces, up to 16 at the
// same time. It does not see most of the keys: what it answers is a good guess
// where they have an order that goes on from page to page, and a bad one where
// the names of folders say nothing of what is in them.
func Split(ctx context.Context, r Range, n int, peek Peek) ([]Range, error) {
	if n < 2 || r.Empty() {
		return []Range{r}, nil
	}
	s := survey{peek: peek, spans: []span{{from: r.After, to: r.Until}}}
	if err := s.look(ctx, []string{r.After}); err != nil {
		return nil, err
	}
	for {
		total := s.estimate()
		// Where it looks like few keys, many peeks are not worth it.
		room := min(5*n+3, 2*n+27, int(total/250)+16) - s.peeks
		points := s.aim(max(100, total/float64(16*n)), min(room, max(2, n/2)))
		if len(points) == 0 {
			return s.cut(r, min(n, int(total/large)), total), nil
		}
		if err := s.look(ctx, points); err != nil {
			return nil, err
		}
	}
}
