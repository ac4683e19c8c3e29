package keyspace

const (
	// large is how many keys are worth a worker: about two seconds of listing. A
	// piece has a page more on each side than its keys fill, so that smaller
	// ones would cost noticeably more requests.
	large = 20_000
	// most pieces of one cut that has to look for them, and crowd of workers
	// that are had in mind at a time: a thousand could otherwise make more
	// shards at once than can be written to the one partition that a rule's
	// runs are in. Lambda adds workers no faster than pieces are cut again; see
	// make simulate.
	most  = 16
	crowd = 200
)

// Pieces is into how many pieces a run is cut at its beginning that expects so
// many keys (0: nobody knows) and has so many workers. Split makes fewer where
// it finds fewer keys.
func Pieces(expected, workers int64) int {
	if expected == 0 {
		return int(min(workers, most))
	}
	return int(max(1, min(workers, crowd, expected/large)))
}

// Shares is into how many pieces a shard cuts what is left of it, to keep the
// first: 1 is to go on alone. So many keys were walked since it was claimed or
// last shared, and it has not come to its end; so many shards of the run are
// open, this one among them, for so many workers.
//
// The fewer workers are idle for each shard, the more must have been walked: it
// is the largest shards that share, and not all at the moment when a worker has
// nothing to do. They cut themselves for as many as are idle for each.
func Shares(walked, open, workers int64) int {
	open = max(1, open)
	idle := min(workers-open, crowd)
	if idle <= 0 || walked < large || walked/large < open/idle {
		return 1
	}
	return int(min(1+(idle+open-1)/open, most))
}

// Recut joins the pieces that a former walk ended up with, which follow on one
// another, into at most n of about as many keys each. It covers all keys, and
// never cuts one in two.
func Recut(last []Piece, n int) []Range {
	var total int64
	for _, p := range last {
		total += p.Keys
	}
	var ranges []Range
	var before, walked int64 // keys of the ranges cut, and of the pieces passed
	r := Range{}
	for i, p := range last {
		walked += p.Keys
		left := int64(n - len(ranges))
		if walked == total || left < 2 {
			break
		}
		// The range ends here if that is nearer to its part of what is left
		// than the end of the next piece is.
		part := (total - before) / left
		if have := walked - before; have > 0 && have+last[i+1].Keys/2 >= part {
			r.Until = p.Until
			ranges = append(ranges, r)
			r = Range{After: p.Until}
			before = walked
		}
	}
	return append(ranges, Range{After: r.After})
}
