package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"bucket-replicator/shared/keyspace"
	"bucket-replicator/shared/run"
	"bucket-replicator/tests/simulate/keyset"
)

// world is one run of one rule, under its own clock.
type world struct {
	keys    keyset.Set
	workers int64
	known   []keyspace.Piece // of the run before
	chance  *rand.Rand

	now    time.Duration
	events []event // a heap

	queue         []*shard // tickets that wait
	polling       bool
	busy, warm    int64
	shards        []*shard
	open          int64
	free          [2]time.Duration // when each side takes the next LIST
	writes        []float64        // by second, in units
	changes       []float64        // by second, of the run's one item
	bill          bill
	longest, work time.Duration // of shards
}

// bill is what was used.
type bill struct {
	lists, invocations, gbSeconds, messages, writes, reads float64
}

type event struct {
	at time.Duration
	do func()
}

// shard is the keys numbered from from up to, but not with, to.
type shard struct {
	keyspace.Range
	from, to, at int // at: the next one to read
	begun        time.Duration
	spent        time.Duration
}

func simulate(keys keyset.Set, workers int64, known []keyspace.Piece, seed uint64) *world {
	w := &world{keys: keys, workers: workers, known: known, chance: rand.New(rand.NewPCG(seed, 0))}
	w.write(2 * 3) // the job, the run and its first shard
	w.send([]*shard{w.shard(keyspace.Range{})})
	for len(w.events) > 0 {
		e := w.pop()
		w.now = e.at
		e.do()
	}
	slices.SortFunc(w.shards, func(a, b *shard) int { return strings.Compare(a.After, b.After) })
	return w
}

// after has something done later.
func (w *world) after(d time.Duration, do func()) {
	h := append(w.events, event{w.now + d, do})
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if h[up].at <= h[i].at {
			break
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
	w.events = h
}

func (w *world) pop() event {
	h := w.events
	first := h[0]
	h[0] = h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	for i := 0; ; {
		next := 2*i + 1
		if next >= len(h) {
			break
		}
		if next+1 < len(h) && h[next+1].at < h[next].at {
			next++
		}
		if h[i].at <= h[next].at {
			break
		}
		h[i], h[next] = h[next], h[i]
		i = next
	}
	w.events = h
	return first
}

// write counts units of writing, now.
func (w *world) write(units float64) {
	w.bill.writes += units
	count(&w.writes, w.now, units)
}

// transact counts a transaction on the run's item and so many shards.
func (w *world) transact(shards int) {
	w.write(2 * float64(1+shards))
	count(&w.changes, w.now, 1)
}

func count(seconds *[]float64, now time.Duration, n float64) {
	for len(*seconds) <= int(now/time.Second) {
		*seconds = append(*seconds, 0)
	}
	(*seconds)[now/time.Second] += n
}

// list asks one side for a page, and answers how long that takes.
func (w *world) list(side int) time.Duration {
	w.bill.lists++
	begin := max(w.now, w.free[side])
	w.free[side] = begin + time.Second/listRate
	return begin - w.now + listFastest + time.Duration(w.chance.Int64N(int64(listSlowest-listFastest)))
}

func (w *world) shard(r keyspace.Range) *shard {
	s := &shard{Range: r, to: w.keys.Len}
	if r.After != "" {
		s.from = w.keys.Rank(r.After)
	}
	if r.Until != "" {
		s.to = w.keys.Rank(r.Until)
	}
	s.at = s.from
	w.shards = append(w.shards, s)
	w.open++
	return s
}

// send puts tickets into the queue.
func (w *world) send(shards []*shard) {
	w.bill.messages += 2*float64(len(shards)) + float64((len(shards)+9)/10)
	w.after(delivery, func() {
		w.queue = append(w.queue, shards...)
		w.deliver()
	})
}

// deliver starts as many workers as may be.
func (w *world) deliver() {
	allowed := min(w.workers, firstPollers+int64(morePollers*w.now.Seconds()))
	for len(w.queue) > 0 && w.busy < allowed {
		s := w.queue[0]
		w.queue = w.queue[1:]
		w.busy++
		w.bill.invocations++
		s.begun = w.now
		start := 3 * call // the rules, the run, the claim
		if w.warm > 0 {
			w.warm--
		} else {
			start += coldStart
		}
		w.bill.reads += 2
		w.after(start, func() { w.claim(s) })
	}
	if len(w.queue) > 0 && allowed < w.workers && !w.polling {
		w.polling = true
		w.after(time.Second/morePollers, func() { w.polling = false; w.deliver() })
	}
}

// worker is one invocation on one shard.
type worker struct {
	*world
	*shard
	deadline time.Duration
	walked   int64 // since it was last shared
	read     int
	sharing  bool
	over     bool
}

func (w *world) claim(s *shard) {
	w.write(1)
	k := &worker{world: w, shard: s, deadline: s.begun + timeout - reserve}
	if len(w.shards) == 1 && len(w.known) > 0 && s.at == s.from {
		k.give(keyspace.Recut(w.known, keyspace.Pieces(int64(w.keys.Len), w.workers)))
	}
	w.after(run.LeaseTTL/6, k.save)
	k.page()
}

// page reads the next page of both sides.
func (k *worker) page() {
	k.after(max(k.list(0), k.list(1), decoding), func() {
		n := min(pageKeys, k.to-k.at)
		k.at += n
		k.walked += int64(n)
		k.read += n
		switch {
		case k.at >= k.to:
			k.end()
		case k.now >= k.deadline:
			k.write(1)
			k.leave()
			k.send([]*shard{k.shard})
		default:
			if k.read == firstLook {
				k.look()
			}
			k.page()
		}
	})
}

// firstLook is after how many keys a shard is saved for the first time.
const firstLook = 5 * pageKeys

// save is what is done every ten seconds.
func (k *worker) save() {
	if !k.over {
		k.look()
		k.after(run.LeaseTTL/6, k.save)
	}
}

// look saves the shard, and shares it if that is a good moment.
func (k *worker) look() {
	k.write(1)
	k.bill.reads++
	var pieces int
	switch {
	case k.sharing:
	case len(k.shards) == 1 && len(k.known) == 0:
		pieces = keyspace.Pieces(0, k.workers)
	default:
		pieces = keyspace.Shares(k.walked, k.open, k.workers)
	}
	if pieces < 2 {
		return
	}
	var peeks atomic.Int64
	r := keyspace.Range{After: k.keys.Key(k.at - 1), Until: k.Until}
	ranges, err := keyspace.Split(context.Background(), r, pieces, func(_ context.Context, after string) ([]string, bool, error) {
		peeks.Add(1)
		keys, more := k.keys.Page(after, pageKeys)
		return keys, more, nil
	})
	if err != nil {
		panic(err) // the peeks do not fail
	}
	k.bill.lists += float64(peeks.Load())
	k.sharing, k.walked = true, 0
	k.after(splitting(int(peeks.Load()), pieces), func() {
		k.sharing = false
		if !k.over {
			k.give(ranges)
		}
	})
}

// splitting is how long Split takes for so many peeks: rounds of as many as half
// the pieces, 16 at the same time, while one CPU decodes them.
func splitting(peeks, pieces int) time.Duration {
	round := max(2, pieces/2)
	turns := 1 + (peeks+round-1)/round*((round+15)/16)
	return max(time.Duration(turns)*listSlowest, time.Duration(peeks)*decoding/2)
}

// give makes shards of all but the first of the ranges, as far as they were not
// walked meanwhile.
func (k *worker) give(ranges []keyspace.Range) {
	k.walked = 0
	for len(ranges) > 1 && k.keys.Rank(ranges[1].After) <= k.at {
		ranges = ranges[1:]
	}
	if len(ranges) < 2 {
		return
	}
	k.Until = ranges[1].After
	k.to = k.keys.Rank(k.Until)
	var children []*shard
	for _, r := range ranges[1:] {
		children = append(children, k.world.shard(r))
	}
	for i := 0; i < len(children); i += run.MaxChildren {
		n := min(run.MaxChildren, len(children)-i)
		k.transact(n + 1)
		k.send(children[i : i+n])
	}
}

// end ends the shard.
func (k *worker) end() {
	k.over = true
	k.open--
	k.transact(1)
	k.bill.reads++
	k.after(2*call, k.leave)
}

// leave ends the invocation.
func (k *worker) leave() {
	k.over = true
	took := k.now - k.begun
	k.bill.gbSeconds += took.Seconds() * memory
	k.spent += took
	k.longest = max(k.longest, k.spent)
	k.work += took
	k.busy--
	k.warm++
	k.deliver()
}

// pieces are what the next run can be cut by.
func (w *world) pieces() []keyspace.Piece {
	list := make([]keyspace.Piece, len(w.shards))
	for i, s := range w.shards {
		list[i] = keyspace.Piece{Range: s.Range, Keys: int64(s.to - s.from)}
	}
	return list
}
