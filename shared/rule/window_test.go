package rule_test

import (
	"testing"
	"time"

	"bucket-replicator/shared/rule"
)

func TestOpen(t *testing.T) {
	for name, c := range map[string]struct {
		window, at string
		want       bool
	}{
		"no window":                  {"", "2026-01-01T03:00:00Z", true},
		"within a window of the day": {"09:00-17:30", "2026-01-01T12:00:00Z", true},
		"before it":                  {"09:00-17:30", "2026-01-01T08:59:59Z", false},
		"as it begins":               {"09:00-17:30", "2026-01-01T09:00:00Z", true},
		"in its last minute":         {"09:00-17:30", "2026-01-01T17:29:59Z", true},
		"as it ends":                 {"09:00-17:30", "2026-01-01T17:30:00Z", false},
		"after it":                   {"09:00-17:30", "2026-01-01T23:00:00Z", false},
		"before midnight, in a window through it": {"22:00-06:00", "2026-01-01T23:59:59Z", true},
		"at midnight, in a window through it":     {"22:00-06:00", "2026-01-01T00:00:00Z", true},
		"after midnight, in a window through it":  {"22:00-06:00", "2026-01-01T05:59:59Z", true},
		"between two nights":                      {"22:00-06:00", "2026-01-01T06:00:00Z", false},
		"a window up to midnight, within":         {"22:00-00:00", "2026-01-01T23:30:00Z", true},
		"a window up to midnight, after":          {"22:00-00:00", "2026-01-01T00:00:00Z", false},
		"a clock elsewhere":                       {"09:00-17:30", "2026-01-01T23:00:00-08:00", false}, // 07:00 UTC
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			if got := (rule.Limits{Window: c.window}).Open(at); got != c.want {
				t.Errorf("open is %t at %s in %q", got, c.at, c.window)
			}
		})
	}
}
