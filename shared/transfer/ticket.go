package transfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"bucket-replicator/shared/object"
)

// Ticket is one message of the transfers queue: it invites one worker.
type Ticket struct {
	To object.Ref
	ID string // of the transfer
	// Seat numbers those who are invited, from 0: each begins with parts of its own.
	Seat int
	// Hop counts how often a worker passed it on before its deadline.
	Hop int
}

// ticket is how it is written. The key is base64, for it may have any bytes.
type ticket struct {
	Backend string `json:"backend"`
	Bucket  string `json:"bucket"`
	Key     []byte `json:"key"`
	ID      string `json:"transfer"`
	Seat    int    `json:"seat,omitempty"`
	Hop     int    `json:"hop,omitempty"`
}

// Body is the message of the ticket.
func (t Ticket) Body() string {
	b, err := json.Marshal(ticket{t.To.Bucket.Backend, t.To.Bucket.Name, []byte(t.To.Key), t.ID, t.Seat, t.Hop})
	if err != nil {
		panic(err) // of strings and bytes
	}
	return string(b)
}

// Decode reads a message. Fields it does not know are passed over, as a later
// version may send them. The error names every problem.
func Decode(body string) (Ticket, error) {
	if !utf8.ValidString(body) {
		// Decoding would put U+FFFD into a name, and so name another one.
		return Ticket{}, errors.New("undecodable ticket: the body is not UTF-8")
	}
	var w ticket
	if err := json.Unmarshal([]byte(body), &w); err != nil {
		return Ticket{}, fmt.Errorf("undecodable ticket: %w", err)
	}
	var problems []string
	for name, empty := range map[string]bool{
		"backend": w.Backend == "", "bucket": w.Bucket == "", "key": len(w.Key) == 0, "transfer": w.ID == "",
	} {
		if empty {
			problems = append(problems, name+" is missing or empty")
		}
	}
	for name, n := range map[string]int{"seat": w.Seat, "hop": w.Hop} {
		if n < 0 {
			problems = append(problems, fmt.Sprintf("%s is %d, want at least 0", name, n))
		}
	}
	if len(problems) > 0 {
		return Ticket{}, errors.New("undecodable ticket: " + strings.Join(problems, "; "))
	}
	return Ticket{To: object.Ref{Bucket: object.Bucket{Backend: w.Backend, Name: w.Bucket}, Key: string(w.Key)}, ID: w.ID, Seat: w.Seat, Hop: w.Hop}, nil
}
