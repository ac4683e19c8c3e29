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

// ParseDuration reads the written form. Days are 24 hours, and come first.
// Negative spans, and those that do not fit, are errors.
func ParseDuration(s string) (Duration, error) {
	refused := fmt.Errorf("%q is not a duration such as 30s, 15m, 24h or 7d", s)
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil || n > maxDays {
		return 0, refused
	}
	d := time.Duration(n) * day
	if hasDays && rest == "" {
		return Duration(d), nil
	}
	r, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") || d+r < d {
		return 0, refused
	}
	return Duration(d + r), nil
}

const (
	day     = 24 * time.Hour
	maxDays = 36_500 // a time.Duration ends at 292 years
)

// String is the written form in as few units as it takes: 90m is "1h30m", a day
// "24h", and more whole days "2d". ParseDuration reads it back.
func (d Duration) String() string {
	t := time.Duration(d)
	if t > day && t <= maxDays*day && t%day == 0 {
		return fmt.Sprintf("%dd", t/day)
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDuration. It leaves d alone where the text is refused.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err == nil {
		*d = v
	}
	return err
}
