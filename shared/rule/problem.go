package rule

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a configuration, or that is likely
// not meant.
type Problem struct {
	// Path of the field, such as storage.replication.rules[2].conflict.
	Path string
	// Line in the text the configuration was read from, from 1; 0 where
	// there is no text.
	Line int
	// Message says what is wrong, what is allowed, and the nearest known
	// name where it is about a name.
	Message string
	// Warning: the configuration works as it stands.
	Warning bool
}

// String is "line: path: message", without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d: ", p.Line)
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems of one configuration, in the order of its text.
type Problems []Problem

// Err is nil where there is nothing but warnings, otherwise an error that
// reads one problem per line, without the warnings.
func (ps Problems) Err() error {
	var lines []string
	for _, p := range ps {
		if !p.Warning {
			lines = append(lines, p.String())
		}
	}
	if lines == nil {
		return nil
	}
	return invalid(lines)
}

// invalid is the error of a configuration that is refused.
type invalid []string

func (e invalid) Error() string { return strings.Join(e, "\n") }

// In renders every problem, warnings too, as the lines a compiler prints:
// "replication.yaml:12: path: message". It is empty where there is none.
func (ps Problems) In(file string) string {
	var b strings.Builder
	for _, p := range ps {
		sep := ":"
		if p.Line == 0 {
			sep = ": "
		}
		b.WriteString(file + sep + p.String() + "\n")
	}
	return b.String()
}
