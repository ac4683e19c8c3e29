package rule

import (
	"slices"
	"strings"

	"bucket-replicator/shared/object"
)

// ends are the physical addresses of a rule's two sides.
type ends struct {
	index            int
	rule             Rule
	sourceAt, destAt object.Bucket
}

// checkSelfOverlap refuses a rule that would read what it writes, or write over
// what it reads.
func (v *validator) checkSelfOverlap(path string, r Rule) {
	from, ok := v.storage.Resolve(r.Source.Bucket)
	to, ok2 := v.storage.Resolve(r.Destination.Bucket)
	if ok && ok2 && from == to && overlap(r.Source.Prefix, r.Destination.Prefix) {
		v.refuse(path+".destination", "overlaps with the source: %q and %q of one bucket have keys in common, so replicas would be replicated again",
			r.Source.Prefix, r.Destination.Prefix)
	}
}

// checkTogether finds enabled rules that stand in each other's way. Only
// prefixes are compared: whether two globs or filters exclude each other cannot
// be proven, and what an object's tags and size are changes.
func (v *validator) checkTogether() {
	var enabled []ends
	for i, r := range v.storage.Replication.Rules {
		from, ok := v.storage.Resolve(r.Source.Bucket)
		to, ok2 := v.storage.Resolve(r.Destination.Bucket)
		if r.Enabled && ok && ok2 {
			enabled = append(enabled, ends{index: i, rule: r, sourceAt: from, destAt: to})
		}
	}
	v.checkCollisions(enabled)
	v.checkCycles(enabled)
}

// checkCollisions refuses two rules that write the same keys while neither
// outranks the other. Every key under the longer one of two destination
// prefixes, where it begins with the shorter one, has a source key in both.
func (v *validator) checkCollisions(rules []ends) {
	for i, b := range rules {
		for _, a := range rules[:i] {
			if a.destAt == b.destAt && a.rule.Priority == b.rule.Priority &&
				overlap(a.rule.Destination.Prefix, b.rule.Destination.Prefix) {
				v.refuse(rulePath(b.index)+".priority", "rule %q also writes to %s under %q and has the same priority, %d: give the one that shall win a higher priority",
					a.rule.Name, b.destAt, longer(a.rule.Destination.Prefix, b.rule.Destination.Prefix), b.rule.Priority)
			}
		}
	}
}

func longer(a, b string) string {
	if len(a) > len(b) {
		return a
	}
	return b
}

// checkCycles refuses rules within one bucket that lead back to where they
// began: a/ to b/, b/ to a/. Between buckets a ring settles, because no replica
// goes to a bucket it has been in; within one bucket that says nothing.
func (v *validator) checkCycles(rules []ends) {
	var inside []ends
	for _, r := range rules {
		// A rule that feeds itself is refused as an overlap already.
		if r.sourceAt == r.destAt && !overlap(r.rule.Source.Prefix, r.rule.Destination.Prefix) {
			inside = append(inside, r)
		}
	}
	told := map[int]bool{}
	for _, r := range inside {
		if told[r.index] {
			continue
		}
		cycle := shortestCycle(r, inside)
		if cycle == nil {
			continue
		}
		var names []string
		for _, c := range cycle {
			told[c.index] = true
			names = append(names, c.rule.Name)
		}
		v.refuse(rulePath(r.index)+".destination", "leads back to its own source within %s: %s; replicas would go round for ever",
			r.sourceAt, strings.Join(append(names, r.rule.Name), " -> "))
	}
}

// feeds reports whether b reads some key that a writes.
func feeds(a, b ends) bool {
	return a.destAt == b.sourceAt && overlap(a.rule.Destination.Prefix, b.rule.Source.Prefix)
}

// shortestCycle is the shortest way through rules from start back to it, start
// first, or nil.
func shortestCycle(start ends, rules []ends) []ends {
	ways := [][]ends{{start}}
	seen := map[int]bool{start.index: true}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		last := way[len(way)-1]
		if len(way) > 1 && feeds(last, start) {
			return way
		}
		for _, next := range rules {
			if !seen[next.index] && feeds(last, next) {
				seen[next.index] = true
				ways = append(ways, append(slices.Clone(way), next))
			}
		}
	}
	return nil
}
