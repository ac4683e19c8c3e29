package adminapi

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever was counted, a plot stays within its frame, and a single object is
// seen beside a million.
func TestAPlotStaysInItsFrame(t *testing.T) {
	begin := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	for situation, hours := range map[string][]hourBody{
		"nothing": make([]hourBody, day),
		"one":     {{Copied: 1}},
		"much":    {{Copied: 1}, {Copied: 999_999, Failed: 1}, {Copied: 1_000_001, Failed: 7_000_000}, {Failed: 1}},
		"lags":    {{Lag: &lagBody{Mean: 0}}, {Lag: &lagBody{Mean: 1 << 40}}, {}, {Lag: &lagBody{Mean: 1000, Most: new(int64)}}},
	} {
		for len(hours) < day {
			hours = append(hours, hourBody{})
		}
		for i := range hours {
			hours[i].BeginsAt = begin.Add(time.Duration(i) * time.Hour)
		}
		v := hoursViewOf(hoursBody{Hours: hours})
		within := func(least, most float64, texts ...string) {
			t.Helper()
			for _, text := range texts {
				if n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64); err != nil || n < least-0.1 || n > most+0.1 {
					t.Errorf("%s: %s is not within %v and %v", situation, text, least, most)
				}
			}
		}
		for _, p := range v.Plots {
			for _, b := range p.Bars {
				within(plotLeft, 100, b.X)
				within(plotTop-1.1, plotBase, b.Y)
				within(1.1, plotBase-plotTop+1.1, b.Height)
			}
			for _, l := range p.Lines {
				within(plotLeft, 100, l.X1, l.X2)
				within(plotTop, plotBase, l.Y1, l.Y2)
			}
			for _, d := range slices.Concat(p.Dots, p.Upright) {
				within(plotTop, plotBase, d.Y)
			}
			if len(p.Hours) != 4 || p.About == "" {
				t.Errorf("%s: %s has the hours %v, and is about %q", situation, p.Title, p.Hours, p.About)
			}
		}
		for _, b := range v.Spark {
			within(0, 100, b.X)
			within(-0.3, sparkBase, b.Y)
		}
	}
}

func TestAxesAreRound(t *testing.T) {
	for n, want := range map[int64]string{0: "2", 1: "2", 2: "2", 3: "4", 5: "10", 11: "20", 399: "400", 401: "1k", 1001: "2k", 3_999_999: "4M", 5_000_000_001: "10G"} {
		if got := brief(roundUp(n)); got != want {
			t.Errorf("%d goes up to %s, want %s", n, got, want)
		}
	}
}
