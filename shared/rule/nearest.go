package rule

import "strings"

// Nearest is the known name that was most likely meant by name, or "" where
// none is near. Case does not count, and neither does an ending that was left
// out or made up: "newest" is near "newer-wins".
func Nearest(name string, known []string) string {
	best, least := "", 0
	for _, k := range known {
		a, b := strings.ToLower(name), strings.ToLower(k)
		d := distance(a, b)
		near := d <= max(1, min(len(a), len(b))/3) || beginsAlike(a, b)
		if near && (best == "" || d < least) {
			best, least = k, d
		}
	}
	return best
}

// beginsAlike says that a and b share at least three bytes at the start, and
// more than half of the shorter one.
func beginsAlike(a, b string) bool {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n >= 3 && 2*n > min(len(a), len(b))
}

// distance counts the bytes to insert, delete, replace or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
