// Package keyset has buckets full of keys that nobody has to keep: each set
// computes its keys from their numbers, so that a listing of a billion keys can
// be looked into anywhere.
package keyset

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Set is a set of keys, numbered in the order of their bytes.
type Set struct {
	Len int
	Key func(i int) string // 0 <= i < Len
}

// Rank is how many keys are not after key.
func (s Set) Rank(key string) int {
	return sort.Search(s.Len, func(i int) bool { return s.Key(i) > key })
}

// Page is up to limit keys after a key, and whether there are more, as S3 lists
// them; an empty after is the beginning.
func (s Set) Page(after string, limit int) (keys []string, more bool) {
	from := 0
	if after != "" {
		from = s.Rank(after)
	}
	to := min(from+limit, s.Len)
	keys = make([]string, 0, to-from)
	for i := from; i < to; i++ {
		keys = append(keys, s.Key(i))
	}
	return keys, to < s.Len
}

// Families are the ways in which buckets name their keys.
var Families = map[string]func(n int) Set{
	"hex":    func(n int) Set { return spread(n, hexadecimal) },
	"base64": func(n int) Set { return spread(n, base64s) },
	"uuid":   func(n int) Set { return under("objects/", spread(n, uuid), ".json") },
	// Days of three years, tenfold at the end of them.
	"dated": func(n int) Set {
		return dated(n, func(t time.Time, rest uint64) string { return t.Format("2006/01/02/") + uuid(rest) })
	},
	// The date is in the name as well, as AWS has it.
	"dated-twice": func(n int) Set {
		return dated(n, func(t time.Time, rest uint64) string {
			return t.Format("AWSLogs/2006/01/02/trail_20060102T") + hexadecimal(rest)[:12] + ".json.gz"
		})
	},
	// 99% of the keys are in one folder of a thousand.
	"hot-folder": func(n int) Set {
		return hot(n, func(n int) Set { return spread(n, uuid) })
	},
	"hot-folder-numbered": func(n int) Set {
		return hot(n, func(n int) Set { return padded(n, 9) })
	},
	// One folder, one long beginning.
	"flat":            func(n int) Set { return under("logs/app/prod/i-0123456789abcdef-", padded(n, 9), "") },
	"numbered":        func(n int) Set { return under("img_", numbers(n), ".jpg") },
	"numbered-padded": func(n int) Set { return padded(n, 12) },
	"unicode":         func(n int) Set { return spread(n, letters) },
	// Folders named by words, of very different sizes.
	"users": func(n int) Set {
		var sets []Set
		sizes := zipf(n, len(names))
		for i, name := range names {
			sets = append(sets, under("users/"+name+"/photos/IMG_", padded(sizes[i], 8), ".jpg"))
		}
		return concat(sets...)
	},
	// Several applications in one bucket, each with an order of its own.
	"mixed": func(n int) Set {
		var logs, users []Set
		for _, name := range names[:7] {
			for day := range 365 {
				t := time.Date(2025, 1, 1+day, 0, 0, 0, 0, time.UTC)
				logs = append(logs, under("logs/"+name+t.Format("/2006/01/02/"), numbers(n/2/7/365+1), ""))
			}
		}
		for _, name := range names {
			users = append(users, under("users/"+name+"/", spread(n*3/10/len(names)+1, uuid), ""))
		}
		return concat(
			under("Data/", spread(n/10, base64s), ""),
			under("backup/", numbers(n/10), ".tar"),
			concat(logs...), concat(users...))
	},
}

// Names of the Families, sorted.
func Names() []string {
	var list []string
	for name := range Families {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// mix is the finalizer of splitmix64: chance that is the same every time.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// spread are n keys anywhere: name keeps the order of its argument.
func spread(n int, name func(uint64) string) Set {
	step := math.MaxUint64 / uint64(max(n, 1))
	return Set{n, func(i int) string { return name(uint64(i)*step + mix(uint64(i))%step) }}
}

func raw(x uint64) (b [16]byte) {
	for i, word := range []uint64{x, mix(x)} {
		for j := range 8 {
			b[8*i+j] = byte(word >> (56 - 8*j))
		}
	}
	return b
}

func hexadecimal(x uint64) string {
	b := raw(x)
	return hex.EncodeToString(b[:])
}

func uuid(x uint64) string {
	s := hexadecimal(x)
	return s[:8] + "-" + s[8:12] + "-4" + s[13:16] + "-" + s[16:20] + "-" + s[20:]
}

// The characters of base64, in the order of their bytes.
var base64sorted = base64.NewEncoding("+/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func base64s(x uint64) string {
	b := raw(x)
	return base64sorted.EncodeToString(b[:])
}

var alphabet = func() []rune {
	list := []rune("あいうえおかきくけこさしすせそ日本語中文東京éèüñαβγδежз😀😁😂🚀")
	slices.Sort(list)
	return list
}()

func letters(x uint64) string {
	key := make([]rune, 10)
	for i := range key {
		hi, lo := bits.Mul64(x, uint64(len(alphabet)))
		key[i], x = alphabet[hi], lo
	}
	return string(key)
}

// dated are keys at times of three years, more and more of them; rest goes on
// within the day.
func dated(n int, name func(t time.Time, rest uint64) string) Set {
	const days = 3 * 365
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	return Set{n, func(i int) string {
		x := (float64(i) + float64(mix(uint64(i))>>11)/(1<<53)) / float64(n)
		day, rest := math.Modf(math.Log10(1+9*x) * days)
		return name(start.AddDate(0, 0, int(day)), uint64(rest*(1<<63))<<1)
	}}
}

func hot(n int, keys func(n int) Set) Set {
	const folders, hot = 1000, 617
	var sets []Set
	rest := n / 100
	for i := range folders {
		size := (rest*(i+1))/folders - rest*i/folders
		if i == hot {
			size = n - rest
		}
		sets = append(sets, under(fmt.Sprintf("folder-%04d/", i), keys(size), ""))
	}
	return concat(sets...)
}

func padded(n, digits int) Set {
	return Set{n, func(i int) string {
		s := strconv.Itoa(i)
		return strings.Repeat("0", max(0, digits-len(s))) + s
	}}
}

// numbers are 1 to n without padding: 1, 10, 100, 11, 2.
func numbers(n int) Set {
	// from is how many numbers begin with those of p: p, p0 to p9, ...
	from := func(p int) (count int) {
		for lo, hi := p, p+1; lo <= n; lo, hi = lo*10, hi*10 {
			count += min(n+1, hi) - lo
		}
		return count
	}
	return Set{n, func(i int) string {
		for p := 1; ; {
			if k := from(p); i >= k {
				i -= k
				p++
				continue
			}
			if i == 0 {
				return strconv.Itoa(p)
			}
			i--
			p *= 10
		}
	}}
}

var names = func() []string {
	var list []string
	for i := range uint64(300) {
		x := mix(i)
		name := make([]byte, 3+x%7)
		for j := range name {
			x = mix(x)
			name[j] = "aeioubcdfghklmnprstvw"[x%21]
		}
		list = append(list, string(name))
	}
	slices.Sort(list)
	return slices.Compact(list)
}()

// zipf are k sizes that fall as 1, 1/2, 1/3, in no order, with the sum n.
func zipf(n, k int) []int {
	order := make([]int, k)
	sum := 0.0
	for i := range order {
		order[i] = i
		sum += 1 / float64(i+1)
	}
	slices.SortFunc(order, func(a, b int) int {
		if mix(uint64(a)) < mix(uint64(b)) {
			return -1
		}
		return 1
	})
	sizes := make([]int, k)
	left := n
	for i, at := range order {
		sizes[at] = min(left, int(float64(n)/sum/float64(i+1))+1)
		left -= sizes[at]
	}
	sizes[order[0]] += left
	return sizes
}

func under(prefix string, s Set, suffix string) Set {
	return Set{s.Len, func(i int) string { return prefix + s.Key(i) + suffix }}
}

// concat are sets of which each is before the next.
func concat(sets ...Set) Set {
	ends := make([]int, len(sets))
	n := 0
	for i, s := range sets {
		n += s.Len
		ends[i] = n
	}
	return Set{n, func(i int) string {
		at := sort.SearchInts(ends, i+1)
		if at > 0 {
			i -= ends[at-1]
		}
		return sets[at].Key(i)
	}}
}
