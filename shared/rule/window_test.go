package rule_test

import (
	"testing"
	"time"

	"bucket-replicator/shared/rule"
)

func TestOpensAndCloses(t *testing.T) {
	for name, c := range map[string]struct{ window, at, opens, closes string }{
		"before a window of the day":    {"09:00-17:30", "2026-01-31T08:00:00Z", "2026-01-31T09:00:00Z", "2026-01-31T17:30:00Z"},
		"as it opens":                   {"09:00-17:30", "2026-01-31T09:00:00Z", "2026-02-01T09:00:00Z", "2026-01-31T17:30:00Z"},
		"within it":                     {"09:00-17:30", "2026-01-31T17:29:59.9Z", "2026-02-01T09:00:00Z", "2026-01-31T17:30:00Z"},
		"as it closes":                  {"09:00-17:30", "2026-01-31T17:30:00Z", "2026-02-01T09:00:00Z", "2026-02-01T17:30:00Z"},
		"in the night, before midnight": {"22:00-06:00", "2026-01-31T23:00:00Z", "2026-02-01T22:00:00Z", "2026-02-01T06:00:00Z"},
		"in the night, after midnight":  {"22:00-06:00", "2026-02-01T01:00:00Z", "2026-02-01T22:00:00Z", "2026-02-01T06:00:00Z"},
		"a clock elsewhere":             {"09:00-17:30", "2026-01-31T23:00:00-08:00", "2026-02-01T09:00:00Z", "2026-02-01T17:30:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			l := rule.Limits{Window: c.window}
			opens, bounded := l.Opens(at)
			if got := opens.Format(time.RFC3339); got != c.opens || !bounded {
				t.Errorf("it opens at %s, want %s", got, c.opens)
			}
			closes, bounded := l.Closes(at)
			if got := closes.Format(time.RFC3339); got != c.closes || !bounded {
				t.Errorf("it closes at %s, want %s", got, c.closes)
			}
			if l.Shut(at) {
				t.Error("events move at any time unless the rule says otherwise")
			}
			if l.OutsideWindow = rule.Nothing; l.Shut(at) == l.Open(at) {
				t.Error("outside the window something moves, or within it nothing")
			}
		})
	}
	if _, bounded := (rule.Limits{}).Opens(time.Now()); bounded || (rule.Limits{OutsideWindow: rule.Nothing}).Shut(time.Now()) {
		t.Error("no window is never open")
	}
}

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
