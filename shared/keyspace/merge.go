package keyspace

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"strings"
	"sync"

	"bucket-replicator/shared/object"
)

// List is one side's listing: a page of the objects after a key, in order, and
// whether there are more. A page is empty only at the end. It may be called
// from another goroutine, though by one at a time, and returns when ctx is done.
type List func(ctx context.Context, after string) (page []object.Listed, more bool, err error)

// Pair is what the two sides have under one key. A side that does not have it
// is Absent, which its listing has proved by going past the key, or to its end.
type Pair struct {
	Key          string
	Source, Dest object.State
}

// Merge walks the listings of both sides over r and answers every key that
// either has, in order. What they list beyond r is ignored.
//
// Each side is one page ahead of the loop and asks for no page that cannot have
// a key of r. The sides list at the same time, and a key that changes meanwhile
// is answered as its page had it. An error ends the sequence: it comes alone,
// after the last key for which both sides are known. When the loop is left, by
// whatever way, the listings have been cancelled and have returned.
func Merge(ctx context.Context, r Range, source, dest List) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		if r.Empty() {
			return
		}
		var listings sync.WaitGroup
		defer listings.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s, d := side{pages: make(chan page)}, side{pages: make(chan page)}
		listings.Go(func() { source.walk(ctx, r, s.pages) })
		listings.Go(func() { dest.walk(ctx, r, d.pages) })

		absent := object.State{Presence: object.Absent}
		for {
			if err := s.fill(ctx); err != nil {
				yield(Pair{}, err)
				return
			}
			if err := d.fill(ctx); err != nil {
				yield(Pair{}, err)
				return
			}
			var order int
			switch {
			case len(s.left) == 0 && len(d.left) == 0:
				return
			case len(d.left) == 0:
				order = -1
			case len(s.left) == 0:
				order = +1
			default:
				order = strings.Compare(s.left[0].Key, d.left[0].Key)
			}
			var p Pair
			switch {
			case order < 0:
				p = Pair{Key: s.left[0].Key, Source: s.left[0].State, Dest: absent}
				s.left = s.left[1:]
			case order > 0:
				p = Pair{Key: d.left[0].Key, Source: absent, Dest: d.left[0].State}
				d.left = d.left[1:]
			default:
				p = Pair{Key: s.left[0].Key, Source: s.left[0].State, Dest: d.left[0].State}
				s.left, d.left = s.left[1:], d.left[1:]
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// page is one answer of a listing, without what lies beyond the range.
type page struct {
	objects []object.Listed
	last    bool // nothing of the range follows
	err     error
}

// walk sends the pages of r until the last, an error, or the end of ctx. It
// waits for each to be taken, and so is one page ahead.
func (list List) walk(ctx context.Context, r Range, to chan<- page) {
	for after := r.After; ; {
		objects, more, err := list(ctx, after)
		p := page{objects: objects, last: !more, err: err}
		if n := len(objects); n > 0 && objects[n-1].Key > after {
			after = objects[n-1].Key
			if r.Until != "" && after >= r.Until {
				p.objects = objects[:sort.Search(n, func(i int) bool { return objects[i].Key > r.Until })]
				p.last = true
			}
		} else if more && err == nil {
			p.err = fmt.Errorf("the listing says there is more after %q, and does not move on", after)
		}
		select {
		case to <- p:
		case <-ctx.Done():
			return
		}
		if p.last || p.err != nil {
			return
		}
	}
}

// side is the reading end of a walk.
type side struct {
	pages chan page
	left  []object.Listed // of the page at hand; empty after fill: the side is at its end
	last  bool            // the page at hand is the last
}

// fill waits for the next page where nothing is left of the one at hand.
func (s *side) fill(ctx context.Context) error {
	for len(s.left) == 0 && !s.last {
		select {
		case p := <-s.pages:
			if p.err != nil {
				return p.err
			}
			s.left, s.last = p.objects, p.last
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
