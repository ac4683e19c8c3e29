package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/object"
)

const (
	// MaxBody is the longest body that is read, in bytes: what SQS allows.
	MaxBody = 1 << 20
	// maxDepth bounds envelopes in envelopes; SNS in a forwarded SQS batch
	// needs three.
	maxDepth = 4
	// maxKey is the longest key S3 allows, in bytes.
	maxKey = 1024
)

// Result is what one message's body says. An S3 test event says nothing, and
// leaves it empty but for Test.
type Result struct {
	// Changes in the order of the body; more than one only where a classic
	// notification or an envelope carries several records.
	Changes []object.Change
	// Dropped names each event that was understood well enough to know that
	// it is none of ours, such as "aws.ec2: EC2 Instance State-change
	// Notification". To be counted and forgotten.
	Dropped []string
	// Test is true for the s3:TestEvent that S3 sends when somebody
	// configures a notification.
	Test bool
}

// UndecodableError says everything that keeps a message from being understood.
// Such a message belongs into the dead-letter queue as it came.
type UndecodableError struct {
	Problems []string // each names the field by its path; never empty
}

func (e *UndecodableError) Error() string {
	const shown = 20
	if more := len(e.Problems) - shown; more > 0 {
		return fmt.Sprintf("undecodable event: %s; and %d more", strings.Join(e.Problems[:shown], "; "), more)
	}
	return "undecodable event: " + strings.Join(e.Problems, "; ")
}

// Decode reads the body of one message. It tells the forms apart by their
// structure: an EventBridge event, a classic S3 notification, either of them in
// an SNS envelope (or delivered raw) or in a batch forwarded from another
// queue; a Backblaze event; and our own Retry and Forwarded.
//
// A classic notification's bucket is on the named backend; EventBridge speaks
// of object.AWS only. Keys come out raw: EventBridge sends them so, a classic
// notification form-encodes them.
//
// The error is an *UndecodableError. Then the result is empty, also where some
// records of the body were sound: a message is understood as a whole or kept
// as a whole.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
func Decode(body, backend string) (Result, error) {
	d := decoder{backend: backend}
	switch {
	case len(body) > MaxBody:
		d.problem("", "the body has %d bytes, at most %d are read", len(body), MaxBody)
	case !utf8.ValidString(body):
		// Decoding would put U+FFFD into the key, and so name another object.
		d.problem("", "the body is not UTF-8")
	default:
		d.body("", body, 1)
	}
	if len(d.problems) > 0 {
		return Result{}, &UndecodableError{Problems: d.problems}
	}
	return d.result, nil
}

// decoder collects what one body says. Paths are prefixes such as
// "Message.Records[1].", empty for the body itself.
type decoder struct {
	backend  string
	inside   bool // what a backend sent to its webhook
	result   Result
	problems []string
}

func (d *decoder) problem(path, format string, args ...any) {
	d.problems = append(d.problems, path+fmt.Sprintf(format, args...))
}

func (d *decoder) drop(source, what string) {
	const enough = 120 // for a log line
	name := source + ": " + what
	if len(name) > enough {
		name = strings.ToValidUTF8(name[:enough], "") + "..."
	}
	d.result.Dropped = append(d.result.Dropped, name)
}

// unmarshal reports whether text fits v, and notes why where it does not.
func (d *decoder) unmarshal(path string, text []byte, v any) bool {
	err := json.Unmarshal(text, v)
	if err == nil {
		return true
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		d.problem(path, "%s is a JSON %s, which it cannot be", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		d.problem(whole(path), " is a JSON %s, want an object", wrong.Value)
	default:
		d.problem(whole(path), " is not JSON: %v", err)
	}
	return false
}

// whole names what the fields at path are of.
func whole(path string) string {
	if path == "" {
		return "the body"
	}
	return strings.TrimSuffix(path, ".")
}

// envelope has the fields by which the forms differ.
type envelope struct {
	// EventBridge.
	Source     string          `json:"source"`
	DetailType string          `json:"detail-type"`
	Time       string          `json:"time"`
	Detail     json.RawMessage `json:"detail"`
	// A classic notification, or a batch that Lambda would get.
	Records []json.RawMessage `json:"Records"`
	// Backblaze.
	Events []json.RawMessage `json:"events"`
	// SNS.
	Type    string `json:"Type"`
	Message string `json:"Message"`
	// The test event.
	Event string `json:"Event"`
}

func (d *decoder) body(path, text string, depth int) {
	if depth > maxDepth {
		d.problem(whole(path), " is nested more than %d deep", maxDepth)
		return
	}
	var e envelope
	if !d.unmarshal(path, []byte(text), &e) {
		return
	}
	switch {
	case e.Records != nil:
		if len(e.Records) == 0 {
			d.problem(path, "Records is empty")
		}
		for i, r := range e.Records {
			d.record(fmt.Sprintf("%sRecords[%d].", path, i), r, depth)
		}
	case e.Events != nil:
		if len(e.Events) == 0 {
			d.problem(path, "events is empty")
		}
		for i, one := range e.Events {
			d.blaze(fmt.Sprintf("%sevents[%d].", path, i), one)
		}
	case (e.Source != "" || e.DetailType != "") && d.inside:
		d.problem(whole(path), " is an event of EventBridge, which no backend sends")
	case e.Source != "" || e.DetailType != "":
		d.bridge(path, e, depth)
	case e.Type == "Notification":
		d.body(path+"Message.", e.Message, depth+1)
	case e.Type == "SubscriptionConfirmation":
		// Dropped, nobody would ever learn why no event arrives.
		d.problem(path, "Type is SubscriptionConfirmation: SNS waits for somebody to open its SubscribeURL")
	case e.Event == "s3:TestEvent":
		d.result.Test = true
	default:
		d.problem(whole(path), " is not an S3 event: it has neither source and detail-type, nor Records, nor events, nor an SNS Notification")
	}
}

// fields says where a change's parts stood, for problems.
type fields struct{ bucket, key, size, time string }

// change checks c, brings its fields into the form that object.Change
// promises, and adds it.
func (d *decoder) change(at fields, c object.Change, when string) {
	before := len(d.problems)
	if c.Ref.Bucket.Name == "" {
		d.problem(at.bucket, " is missing")
	}
	switch key := c.Ref.Key; {
	case key == "":
		d.problem(at.key, " is missing")
	case len(key) > maxKey:
		d.problem(at.key, " has %d bytes, S3 allows %d", len(key), maxKey)
	case !utf8.ValidString(key) && c.Kind != object.Due: // ours comes as it was listed
		d.problem(at.key, " is not UTF-8 once decoded")
	}
	if c.Size < 0 {
		d.problem(at.size, " is %d", c.Size)
	}
	// Without a time an event could be taken for older than what was copied.
	t, err := time.Parse(time.RFC3339, when)
	switch {
	case when == "":
		d.problem(at.time, " is missing")
	case err != nil:
		d.problem(at.time, " is %q, want a time such as 2006-01-02T15:04:05Z", when)
	}
	if len(d.problems) > before {
		return
	}

	c.Time = t.UTC()
	c.ETag = strings.Trim(c.ETag, `"`)
	// The forms differ in case; without one, digits cannot be compared.
	c.Sequencer = strings.ToUpper(c.Sequencer)
	if strings.Trim(c.Sequencer, "0123456789ABCDEF") != "" {
		c.Sequencer = ""
	}
	if c.Kind == object.Deleted || c.Kind == object.MarkerCreated {
		c.ETag, c.Size = "", 0 // S3 sends the marker's own, of nothing
	}
	// Provenance takes an equal version id as proof that an event was seen.
	// "null" names no write, but the one slot of all writes to a bucket whose
	// versioning is off or suspended.
	if c.VersionID == "null" {
		c.VersionID = ""
	}
	d.result.Changes = append(d.result.Changes, c)
}
