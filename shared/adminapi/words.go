package adminapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"bucket-replicator/shared/humanize"
)

// legible is a key as people can read it: quoted as Go does where it has what
// cannot be seen, or would turn the writing around, or is not UTF-8.
func legible(key string) string {
	for _, r := range key {
		if r == '\uFFFD' || !strconv.IsPrint(r) {
			return strconv.Quote(key)
		}
	}
	if strings.TrimSpace(key) != key || key == "" {
		return strconv.Quote(key)
	}
	return key
}

// told is what somebody says, such as an error's text with a key in it: what
// cannot be seen, or would turn the writing around, stands as Go escapes it.
func told(what any) string {
	var b strings.Builder
	for _, r := range fmt.Sprint(what) {
		if strconv.IsPrint(r) || unicode.Is(unicode.Zs, r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// ago is a time as seen from now: "5 min ago", "in 23 h".
func ago(now time.Time, t *time.Time) string {
	switch {
	case t == nil:
		return "–"
	case t.After(now):
		return "in " + humanize.Duration(t.Sub(now))
	case now.Sub(*t) < 5*time.Second:
		return "now"
	default:
		return humanize.Duration(now.Sub(*t)) + " ago"
	}
}

// took is how long something went on, or goes on.
func took(now time.Time, from, to *time.Time) string {
	if from == nil {
		return "–"
	}
	if to == nil {
		to = &now
	}
	return humanize.Duration(to.Sub(*from))
}

func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}

// number has a thin space between thousands, which no language takes for a
// decimal point.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, "\u2009")
}

// countOf is count for templates, with number.
func countOf[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return number(int64(n)) + " " + thing + "s"
}

func spaced(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") }
