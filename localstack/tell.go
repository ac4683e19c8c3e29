package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/humanize"
	"bucket-replicator/shared/run"
)

// told tells the answer as it came, if that is wanted.
func (o operator) told(answer []byte) bool {
	if o.json {
		fmt.Fprintf(o.out, "%s\n", bytes.TrimSpace(answer))
	}
	return o.json
}

// table writes rows under each other. A row of one cell is a line of its own.
func (o operator) table(rows [][]string) error {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if len(row) > 1 {
				widths = append(widths, make([]int, max(0, i+1-len(widths)))...)
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if len(row) > 1 {
				line.WriteString(strings.Repeat(" ", widths[i]+2-utf8.RuneCountInString(cell)))
			}
		}
		if _, err := fmt.Fprintln(o.out, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// show writes a line over the one before, where there is a terminal.
func (o operator) show(format string, args ...any) {
	f, ok := o.notes.(*os.File)
	if !ok {
		return
	}
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(f, "\r"+format+"\x1b[K", args...)
	}
}

// when is a time as seen from now: "5 min ago", "in 23 h".
func (o operator) when(t time.Time, none string) string {
	switch now := o.now(); {
	case t.IsZero():
		return none
	case t.After(now):
		return "in " + humanize.Duration(t.Sub(now))
	default:
		return humanize.Duration(now.Sub(t)) + " ago"
	}
}

// large sums up large objects that are being copied by parts; without Objects
// there are none.
type large struct {
	Objects, Stalled, Bytes int64
	Copied                  int64 `json:"bytes_copied"`
}

// after tells it behind a text; nothing where there is nothing to tell.
func (l large) after(text string) string {
	if l.Objects == 0 {
		return ""
	}
	text += fmt.Sprintf("large objects under way: %d, %s of %s", l.Objects, humanize.Percent(l.Copied, l.Bytes), humanize.Bytes(l.Bytes))
	if l.Stalled > 0 {
		text += fmt.Sprintf(", %d stalled", l.Stalled)
	}
	return text
}

func words(s run.State) string { return strings.ReplaceAll(string(s), "_", " ") }
