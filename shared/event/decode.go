package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
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
// an SNS envelope (or delivered raw) or in a batch forwarded from another queue.
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
	case e.Source != "" || e.DetailType != "":
		d.bridge(path, e)
	case e.Type == "Notification":
		d.body(path+"Message.", e.Message, depth+1)
	case e.Type == "SubscriptionConfirmation":
		// Dropped, nobody would ever learn why no event arrives.
		d.problem(path, "Type is SubscriptionConfirmation: SNS waits for somebody to open its SubscribeURL")
	case e.Event == "s3:TestEvent":
		d.result.Test = true
	default:
		d.problem(whole(path), " is not an S3 event: it has neither source and detail-type, nor Records, nor an SNS Notification")
	}
}

// detailTypes are all that S3 sends to EventBridge.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
var detailTypes = map[string]object.Kind{
	"Object Created":               object.Created,
	"Object Deleted":               object.Deleted, // or MarkerCreated, by its deletion-type
	"Object Restore Initiated":     object.Irrelevant,
	"Object Restore Completed":     object.Restored,
	"Object Restore Expired":       object.Irrelevant,
	"Object Tags Added":            object.Retagged,
	"Object Tags Deleted":          object.Retagged,
	"Object ACL Updated":           object.Irrelevant,
	"Object Storage Class Changed": object.Irrelevant,
	"Object Access Tier Changed":   object.Irrelevant,
	"Object Annotation Created":    object.Irrelevant, // annotations are not replicated
	"Object Annotation Removed":    object.Irrelevant,
}

type bridgeDetail struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       string `json:"key"`
		Size      int64  `json:"size"`
		ETag      string `json:"etag"`
		VersionID string `json:"version-id"`
		Sequencer string `json:"sequencer"`
	} `json:"object"`
	RequestID    string `json:"request-id"`
	Reason       string `json:"reason"`
	DeletionType string `json:"deletion-type"`
}

func (d *decoder) bridge(path string, e envelope) {
	kind, known := detailTypes[e.DetailType]
	switch {
	case e.Source == "":
		d.problem(path, "source is missing")
		return
	case e.DetailType == "":
		d.problem(path, "detail-type is missing")
		return
	case e.Source != "aws.s3" || !known:
		d.drop(e.Source, e.DetailType)
		return
	case len(e.Detail) == 0:
		d.problem(path, "detail is missing")
		return
	}
	var detail bridgeDetail
	if !d.unmarshal(path+"detail.", e.Detail, &detail) {
		return
	}
	if detail.DeletionType == "Delete Marker Created" {
		kind = object.MarkerCreated
	}
	cause := object.ByRequest
	if detail.Reason == "Lifecycle Expiration" {
		cause = object.ByLifecycle
	}
	o := detail.Object
	d.change(fields{path + "detail.bucket.name", path + "detail.object.key", path + "detail.object.size", path + "time"}, object.Change{
		Ref:       object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: detail.Bucket.Name}, Key: o.Key},
		Kind:      kind,
		Cause:     cause,
		ETag:      o.ETag,
		Size:      o.Size,
		VersionID: o.VersionID,
		Sequencer: o.Sequencer,
		RequestID: detail.RequestID,
	}, e.Time)
}

// eventNames are the classic names by their beginnings; the first that fits
// decides. A new member of the first three families is taken for what its
// family is: that costs one look. The tagging names among ObjectCreated are
// MinIO's.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
var eventNames = []struct {
	beginning string
	kind      object.Kind
	cause     object.Cause
}{
	{"ObjectCreated:PutTagging", object.Retagged, object.ByRequest},
	{"ObjectCreated:DeleteTagging", object.Retagged, object.ByRequest},
	{"ObjectCreated:", object.Created, object.ByRequest},
	{"ObjectRemoved:DeleteMarkerCreated", object.MarkerCreated, object.ByRequest},
	{"ObjectRemoved:", object.Deleted, object.ByRequest},
	{"LifecycleExpiration:DeleteMarkerCreated", object.MarkerCreated, object.ByLifecycle},
	{"LifecycleExpiration:", object.Deleted, object.ByLifecycle},
	{"ObjectRestore:Completed", object.Restored, object.ByRequest},
	{"ObjectRestore:", object.Irrelevant, object.ByRequest},
	{"ObjectTagging:", object.Retagged, object.ByRequest},
	{"ObjectAcl:", object.Irrelevant, object.ByRequest},
	{"ObjectAnnotation:", object.Irrelevant, object.ByRequest},
	{"LifecycleTransition", object.Irrelevant, object.ByRequest},
	{"IntelligentTiering", object.Irrelevant, object.ByRequest},
	{"ReducedRedundancyLostObject", object.Irrelevant, object.ByRequest},
	{"Replication:", object.Irrelevant, object.ByRequest},
}

type record struct {
	EventName string `json:"eventName"`
	EventTime string `json:"eventTime"`
	S3        struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key       string `json:"key"`
			Size      int64  `json:"size"`
			ETag      string `json:"eTag"`
			VersionID string `json:"versionId"`
			Sequencer string `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`
	Response struct {
		RequestID string `json:"x-amz-request-id"`
	} `json:"responseElements"`
}

// record reads one member of Records: by its source, of S3 or something that
// speaks like it (aws:s3, minio:s3, ceph:s3), or of an envelope.
func (d *decoder) record(path string, text []byte, depth int) {
	var r struct {
		Source string `json:"eventSource"`
		Name   string `json:"eventName"`
		Body   string `json:"body"`
		SNS    struct {
			Message string `json:"Message"`
		} `json:"Sns"`
	}
	if !d.unmarshal(path, text, &r) {
		return
	}
	switch {
	case r.Source == "":
		d.problem(path, "eventSource is missing")
	case r.Source == "aws:sqs":
		d.body(path+"body.", r.Body, depth+1)
	case r.Source == "aws:sns":
		d.body(path+"Sns.Message.", r.SNS.Message, depth+1)
	case strings.HasSuffix(r.Source, ":s3"):
		d.notification(path, r.Source, text)
	default:
		d.drop(r.Source, r.Name)
	}
}

func (d *decoder) notification(path, source string, text []byte) {
	var r record
	if !d.unmarshal(path, text, &r) {
		return
	}
	if r.EventName == "" {
		d.problem(path, "eventName is missing")
		return
	}
	name := strings.TrimPrefix(r.EventName, "s3:") // MinIO writes it as it is configured
	for _, n := range eventNames {
		if !strings.HasPrefix(name, n.beginning) {
			continue
		}
		o := r.S3.Object
		key, err := url.QueryUnescape(o.Key)
		if err != nil {
			d.problem(path, "s3.object.key is not form-encoded: %v", err)
			key = "?" // reported; the other fields are still looked at
		}
		d.change(fields{path + "s3.bucket.name", path + "s3.object.key", path + "s3.object.size", path + "eventTime"}, object.Change{
			Ref:       object.Ref{Bucket: object.Bucket{Backend: d.backend, Name: r.S3.Bucket.Name}, Key: key},
			Kind:      n.kind,
			Cause:     n.cause,
			ETag:      o.ETag,
			Size:      o.Size,
			VersionID: o.VersionID,
			Sequencer: o.Sequencer,
			RequestID: r.Response.RequestID,
		}, r.EventTime)
		return
	}
	d.drop(source, r.EventName)
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
	case !utf8.ValidString(key):
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
