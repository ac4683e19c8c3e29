package adminapi

import (
	"fmt"
	"math"
	"strings"
	"time"

	"bucket-replicator/shared/humanize"
)

// The plots are SVG in percent of their width, so that they fit any screen and
// their text keeps its size, and in pixels of their height.
const (
	plotLeft = 12.0 // percent, for the labels of the upright axis
	plotTop  = 10.0 // pixels
	plotBase = 120.0

	sparkBase = 22.0
)

// The axis of lags is logarithmic: a lag is of interest by its order.
const (
	shortestLag = 100 * time.Millisecond
	longestLag  = time.Hour
)

// plot is a chart of the last day.
type plot struct {
	Title, About string // About says in words what it shows
	Upright      []mark
	Hours        []mark
	Bars         []bar
	Lines        []stroke
	Dots         []mark
}

// mark is a place, with what is said of it.
type mark struct{ X, Y, Text string }

// bar is a rectangle, and stroke a line: "copied", "failed", "mean" or "most".
type (
	bar    struct{ Class, X, Y, Width, Height, Text string }
	stroke struct{ Class, X1, Y1, X2, Y2 string }
)

// hoursView is hoursBody as the page shows it.
type hoursView struct {
	hoursBody
	Plots []plot
	Spark []bar // of what was copied, for a row
	// Latest hour in which lags were counted; nil: there is none.
	Latest *hourBody
	Sum    hourBody
}

func hoursViewOf(b hoursBody) hoursView {
	v := hoursView{hoursBody: b}
	copied, lag := plot{Title: "Objects copied per hour"}, plot{Title: "Lag, from the event to the copy"}
	var most int64
	var busiest hourBody
	for i, h := range b.Hours {
		v.Sum.Copied += h.Copied
		v.Sum.Failed += h.Failed
		most = max(most, h.Copied+h.Failed)
		if h.Copied > busiest.Copied {
			busiest = h
		}
		if h.Lag != nil {
			v.Latest = &b.Hours[i]
		}
	}
	full := roundUp(most)
	for _, n := range []int64{0, full / 2, full} {
		copied.Upright = append(copied.Upright, mark{Y: pixels(float64(n)/float64(full), plotTop, plotBase), Text: brief(n)})
	}
	for _, tick := range []struct {
		at   time.Duration
		text string
	}{{shortestLag, "0.1 s"}, {time.Second, "1 s"}, {10 * time.Second, "10 s"}, {time.Minute, "1 min"}, {10 * time.Minute, "10 min"}, {longestLag, "1 h"}} {
		lag.Upright = append(lag.Upright, mark{Y: pixels(height(tick.at), plotTop, plotBase), Text: tick.text})
	}
	var before *mark
	for i, h := range b.Hours {
		clock := h.BeginsAt.UTC().Format("15:04")
		column := (100 - plotLeft) / float64(len(b.Hours))
		left := plotLeft + float64(i)*column
		middle := percent(left + column/2)
		if h.BeginsAt.UTC().Hour()%6 == 0 {
			copied.Hours = append(copied.Hours, mark{X: middle, Text: clock})
			lag.Hours = append(lag.Hours, mark{X: middle, Text: clock})
		}
		said := fmt.Sprintf("%s UTC: %s copied, %s failed", clock, countOf(h.Copied, "object"), countOf(h.Failed, "attempt"))
		below := 0.0
		for _, part := range []struct {
			class string
			n     int64
		}{{"copied", h.Copied}, {"failed", h.Failed}} {
			if part.n == 0 {
				continue
			}
			share := max(float64(part.n)/float64(full), 0.01) // so that one object is seen
			tall := share * (plotBase - plotTop)
			copied.Bars = append(copied.Bars, bar{part.class, percent(left + column*0.12), pixel(plotBase - below - tall), percent(column * 0.76), pixel(tall), said})
			small := share * sparkBase
			v.Spark = append(v.Spark, bar{part.class, percent(float64(i) * 100 / float64(len(b.Hours))), pixel(sparkBase - below*sparkBase/(plotBase-plotTop) - small), percent(75 / float64(len(b.Hours))), pixel(small), ""})
			below += tall
		}
		if h.Lag == nil {
			before = nil
			continue
		}
		mean := time.Duration(h.Lag.Mean) * time.Millisecond
		at := mark{X: middle, Y: pixels(height(mean), plotTop, plotBase), Text: fmt.Sprintf("%s UTC: %s on average, 99%% within %s", clock, humanize.Duration(mean), bound(h.Lag.Most))}
		top := 1.0
		if h.Lag.Most != nil {
			top = height(time.Duration(*h.Lag.Most) * time.Millisecond)
		}
		lag.Lines = append(lag.Lines, stroke{"most", middle, at.Y, middle, pixels(top, plotTop, plotBase)})
		if before != nil {
			lag.Lines = append(lag.Lines, stroke{"mean", before.X, before.Y, at.X, at.Y})
		}
		lag.Dots = append(lag.Dots, at)
		before = &at
	}
	copied.About = "Nothing was copied in the last 24 hours."
	if v.Sum.Copied > 0 {
		copied.About = fmt.Sprintf("In the last 24 hours %s copied, most of them (%s) in the hour from %s UTC; %s failed.",
			countOf(v.Sum.Copied, "object"), number(busiest.Copied), busiest.BeginsAt.UTC().Format("15:04"), countOf(v.Sum.Failed, "attempt"))
	}
	lag.About = "No copy of an event was counted in the last 24 hours."
	if l := v.Latest; l != nil {
		lag.About = "Of the hours in which events were copied: " + v.Lag() + "."
	}
	v.Plots = []plot{copied, lag}
	return v
}

// Lag says how long the latest counted copies took.
func (v hoursView) Lag() string {
	l := v.Latest
	return fmt.Sprintf("%s on average, 99%% within %s, in the hour from %s UTC",
		humanize.Duration(time.Duration(l.Lag.Mean)*time.Millisecond), bound(l.Lag.Most), l.BeginsAt.UTC().Format("15:04"))
}

// height of a lag on its axis, from 0 to 1.
func height(d time.Duration) float64 {
	d = min(max(d, shortestLag), longestLag)
	return math.Log(float64(d)/float64(shortestLag)) / math.Log(float64(longestLag)/float64(shortestLag))
}

// bound is an upper bound in milliseconds, in words.
func bound(ms *int64) string {
	if ms == nil {
		return "more than 1 h"
	}
	return strings.Replace(humanize.Duration(time.Duration(*ms)*time.Millisecond), ".0 s", " s", 1)
}

// roundUp is the next number whose half is as round as itself.
func roundUp(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, of := range []int64{2, 4, 10} {
			if n <= of*unit {
				return of * unit
			}
		}
	}
}

// brief is a round number in few characters.
func brief(n int64) string {
	for _, unit := range []struct {
		of     int64
		suffix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= unit.of {
			return fmt.Sprint(n/unit.of) + unit.suffix
		}
	}
	return fmt.Sprint(n)
}

func pixels(share, top, base float64) string { return pixel(base - share*(base-top)) }
func pixel(y float64) string                 { return fmt.Sprintf("%.1f", y) }
func percent(x float64) string               { return fmt.Sprintf("%.2f%%", x) }
