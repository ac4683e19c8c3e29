package keyspace

// large is how many keys make a worker ask for help: about two seconds of
// listing. A piece has a page more on each side than its keys fill, so that
// smaller ones would cost noticeably more requests.
const large = 20_000

// Pieces is into how many pieces a run is cut at its beginning that expects so
// many keys (0: nobody knows) and has so many workers. Split makes fewer where
// it finds fewer keys.
func Pieces(expected, workers int64) int {
	if expected == 0 {
		return int(workers)
	}
	return int(max(1, min(workers, expected/large)))
}

// Shares reports whether a shard hands half of its rest away: so many keys were
// walked since it was claimed or last shared, and it has not come to its end,
// and of so many workers some have nothing to do, because fewer shards are open.
func Shares(walked, open, workers int64) bool {
	return walked >= large && open < workers
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
