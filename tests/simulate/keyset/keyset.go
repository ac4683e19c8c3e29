// Package keyset has buckets full of keys that nobody has to keep: each set
// computes its keys from their numbers, so that a listing of a billion keys can
// be looked into anywhere.
package keyset

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strconv"
	"time"
	"unicode/utf8"
)

// Set is a set of keys, numbered from 0 in the order of their bytes.
type Set struct {
	Len    int
	Append func(dst []byte, i int) []byte // appends key i
}

// Key is the key with a number below Len.
func (s Set) Key(i int) string {
	return string(s.Append(nil, i))
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
	ends := make([]int, 0, to-from)
	var all []byte
	for i := from; i < to; i++ {
		all = s.Append(all, i)
		ends = append(ends, len(all))
	}
	text, begin := string(all), 0
	for _, end := range ends {
		keys = append(keys, text[begin:end])
		begin = end
	}
	return keys, to < s.Len
}

// Families are the ways in which buckets name their keys.
var Families = map[string]func(n int) Set{
	"hex":    func(n int) Set { return spread(n, hexadecimal) },
	"base64": func(n int) Set { return spread(n, base64s) },
	"uuid":   func(n int) Set { return under("objects/", spread(n, uuid), ".json") },
	// Days of three years, tenfold at the end of them.
	"dated": func(n int) Set { return dated(n, "2006/01/02/", "") },
	// The date is in the name as well, as AWS has it.
	"dated-twice": func(n int) Set {
		return dated(n, "AWSLogs/2006/01/02/trail_20060102T", ".json.gz")
	},
	// 99% of the keys are in one folder of a thousand.
	"hot-folder": func(n int) Set {
		return hot(n, func(n int) Set { return spread(n, hexadecimal) })
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
func spread(n int, name func([]byte, uint64) []byte) Set {
	step := math.MaxUint64 / uint64(max(n, 1))
	return Set{n, func(dst []byte, i int) []byte { return name(dst, uint64(i)*step+mix(uint64(i))%step) }}
}

func hexadecimal(dst []byte, x uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[x>>shift&0xf])
	}
	return dst
}

func uuid(dst []byte, x uint64) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], x)
	binary.BigEndian.PutUint64(b[8:], mix(x))
	b[6] = b[6]&0xf | 0x40
	from := 0
	for _, to := range []int{4, 6, 8, 10, 16} {
		if from > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[from:to])
		from = to
	}
	return dst
}

// The characters of base64, in the order of their bytes.
var base64sorted = base64.NewEncoding("+/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func base64s(dst []byte, x uint64) []byte {
	return base64sorted.AppendEncode(dst, binary.BigEndian.AppendUint64(nil, x))
}

var alphabet = func() []rune {
	list := []rune("あいうえおかきくけこさしすせそ日本語中文東京éèüñαβγδежз😀😁😂🚀")
	slices.Sort(list)
	return list
}()

func letters(dst []byte, x uint64) []byte {
	for range 10 {
		hi, lo := bits.Mul64(x, uint64(len(alphabet)))
		dst, x = utf8.AppendRune(dst, alphabet[hi]), lo
	}
	return dst
}

// dated are keys of three years, ten times as many a day at their end as at
// their beginning.
func dated(n int, layout, suffix string) Set {
	var days []Set
	before := 0
	for i := range 3 * 365 {
		until := int(float64(n) * (math.Pow(10, float64(i+1)/(3*365)) - 1) / 9)
		day := time.Date(2024, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(layout)
		days = append(days, under(day, spread(until-before, hexadecimal), suffix))
		before = until
	}
	return concat(days...)
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

// powers of ten.
var powers = func() (list [19]int) {
	p := 1
	for i := range list {
		list[i] = p
		p *= 10
	}
	return list
}()

// padded are the numbers from 0, with so many digits, or more if they need more.
func padded(n, digits int) Set {
	for digits < len(powers)-1 && powers[digits] < n {
		digits++
	}
	return Set{n, func(dst []byte, i int) []byte {
		for p := 1; p < digits; p++ {
			if i < powers[digits-p] {
				dst = append(dst, '0')
			}
		}
		return strconv.AppendInt(dst, int64(i), 10)
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
	return Set{n, func(dst []byte, i int) []byte {
		for p := 1; ; {
			if k := from(p); i >= k {
				i -= k
				p++
				continue
			}
			if i == 0 {
				return strconv.AppendInt(dst, int64(p), 10)
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
	return Set{s.Len, func(dst []byte, i int) []byte { return append(s.Append(append(dst, prefix...), i), suffix...) }}
}

// concat are sets of which each is before the next.
func concat(sets ...Set) Set {
	ends := make([]int, len(sets))
	n := 0
	for i, s := range sets {
		n += s.Len
		ends[i] = n
	}
	return Set{n, func(dst []byte, i int) []byte {
		at := sort.SearchInts(ends, i+1)
		if at > 0 {
			i -= ends[at-1]
		}
		return sets[at].Append(dst, i)
	}}
}
