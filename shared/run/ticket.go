package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// UndecodableError says everything that keeps a message from being a ticket.
// Such a message belongs into the dead-letter queue as it came.
type UndecodableError struct {
	Problems []string // each names its field; never empty
}

func (e *UndecodableError) Error() string {
	return "undecodable ticket: " + strings.Join(e.Problems, "; ")
}

// Decode reads the body of a message of the shards queue. Fields it does not
// know are passed over, as a later version may send them. The error is an
// *UndecodableError.
func Decode(body string) (Ticket, error) {
	var d ticketDecoder
	t := d.ticket(body)
	if len(d.problems) > 0 {
		return Ticket{}, &UndecodableError{Problems: d.problems}
	}
	return t, nil
}

type ticketDecoder struct{ problems []string }

func (d *ticketDecoder) problem(format string, args ...any) {
	d.problems = append(d.problems, fmt.Sprintf(format, args...))
}

func (d *ticketDecoder) ticket(body string) Ticket {
	if !utf8.ValidString(body) {
		// Decoding would put U+FFFD into a name, and so name another rule.
		d.problem("the body is not UTF-8")
		return Ticket{}
	}
	var fields *struct{ Rule, Run, Shard, Phase, Hop json.RawMessage }
	err := json.Unmarshal([]byte(body), &fields)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		d.problem("the body is a JSON %s, want an object", wrong.Value)
	case err != nil:
		d.problem("the body is not JSON: %v", err)
	case fields == nil:
		d.problem("the body is null, want an object")
	default:
		return Ticket{
			Rule:  d.name("rule", fields.Rule),
			Run:   d.number("run", fields.Run, 1),
			Shard: d.name("shard", fields.Shard),
			Phase: Phase(d.number("phase", fields.Phase, int64(Copying))),
			Hop:   int(d.number("hop", fields.Hop, 0)),
		}
	}
	return Ticket{}
}

// name reads a text that must not be empty.
func (d *ticketDecoder) name(field string, text json.RawMessage) string {
	var s string
	switch {
	case text == nil:
		d.problem("%s is missing", field)
	case json.Unmarshal(text, &s) != nil:
		d.problem("%s is %s, want a text", field, shorten(text))
	case s == "":
		d.problem("%s is empty", field)
	}
	return s
}

// number reads a whole number; where there is none it is 0.
func (d *ticketDecoder) number(field string, text json.RawMessage, least int64) int64 {
	var n int64
	switch {
	case text == nil:
		if least > 0 {
			d.problem("%s is missing", field)
		}
	case json.Unmarshal(text, &n) != nil:
		d.problem("%s is %s, want a whole number", field, shorten(text))
	case n < least:
		d.problem("%s is %d, want at least %d", field, n, least)
	}
	return n
}

// shorten leaves of a value what a log line can bear.
func shorten(text json.RawMessage) string {
	const enough = 60
	if len(text) > enough {
		return strings.ToValidUTF8(string(text[:enough]), "") + "..."
	}
	return string(text)
}
