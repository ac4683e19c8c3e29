package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time that is written "30s", "15m", "24h", "7d", or any
// sum of these from large to small: "1d12h".
type Duration time.Duration

// ParseDuration reads the written form. Days are 24 hours. Negative spans, and
// those that do not fit, are errors.
func ParseDuration(s string) (Duration, error) {
	days, rest := "", s
	if i := strings.IndexByte(s, 'd'); i >= 0 {
		days, rest = s[:i], s[i+1:]
	}
	var d time.Duration
	if days != "" {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration such as 30s, 15m, 24h or 7d", s)
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if rest != "" || days == "" {
		r, err := time.ParseDuration(rest)
		if err != nil || r < 0 || d+r < d {
			return 0, fmt.Errorf("%q is not a duration such as 30s, 15m, 24h or 7d", s)
		}
		d += r
	}
	return Duration(d), nil
}

// String is the shortest written form, which ParseDuration reads back.
func (d Duration) String() string {
	t := time.Duration(d)
	const day = 24 * time.Hour
	if t >= day && t%day == 0 && t/day != 1 {
		return fmt.Sprintf("%dd", t/day)
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	*d = v
	return err
}
