package event_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"bucket-replicator/events"
	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

// What the samples say, where they say it.
const (
	etag    = "5d41402abc4b2a76b9719d911017c592"
	version = "hB2xq0mQpL7aWv4ZrT9cYs1dKf6eJgUn"
)

// sample reads a file below events/samples.
func sample(t testing.TB, name string) string {
	t.Helper()
	text, err := events.FS.ReadFile("samples/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := fs.Glob(events.FS, "samples/"+pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d samples of %s, %v", len(names), pattern, err)
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "samples/")
	}
	return names
}

// change is what the samples have in common; with differs from it.
func change(kind object.Kind, with func(*object.Change)) object.Change {
	c := object.Change{
		Ref:       object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "releases"}, Key: "v1/app.tar.gz"},
		Kind:      kind,
		Time:      time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		VersionID: version,
	}
	if kind != object.Deleted && kind != object.MarkerCreated {
		c.ETag, c.Size = etag, 5
	}
	if with != nil {
		with(&c)
	}
	return c
}

// With these a case says how its sample differs.
func key(key string) func(*object.Change) { return func(c *object.Change) { c.Ref.Key = key } }
func noVersion(c *object.Change)          { c.VersionID = "" }
func noSize(c *object.Change)             { c.Size = 0 }
func expired(c *object.Change)            { c.Cause = object.ByLifecycle }
func expiredForGood(c *object.Change)     { c.Cause = object.ByLifecycle; c.VersionID = "" }
func large(c *object.Change)              { c.Size = 21474836480; c.ETag = "9b2cf535f27731c974343645a3985328-2560" }
func bare(c *object.Change)               { c.Size = 0; c.ETag = ""; c.VersionID = "" }

func TestEventBridgeSamples(t *testing.T) {
	want := map[string]object.Change{
		"object-created": change(object.Created, nil),
		"object-created-key-with-plus-and-percent": change(object.Created, key("a b+c%2F%20.txt")),
		"object-created-key-unicode":               change(object.Created, key("ü/日本/🙂.bin")),
		"object-created-multipart":                 change(object.Created, large),
		"object-created-unversioned":               change(object.Created, noVersion),
		"object-created-versioning-suspended":      change(object.Created, noVersion),
		"object-created-only-what-is-required":     change(object.Created, bare),
		"object-deleted":                           change(object.Deleted, noVersion),
		"object-deleted-version":                   change(object.Deleted, nil),
		"object-deleted-marker":                    change(object.MarkerCreated, nil),
		"object-deleted-lifecycle":                 change(object.Deleted, expiredForGood),
		"object-deleted-lifecycle-marker":          change(object.MarkerCreated, expired),
		"object-restore-initiated":                 change(object.Irrelevant, nil),
		"object-restore-completed":                 change(object.Restored, nil),
		"object-restore-expired":                   change(object.Irrelevant, noSize),
		"object-tags-added":                        change(object.Retagged, noSize),
		"object-tags-deleted":                      change(object.Retagged, noSize),
		"object-acl-updated":                       change(object.Irrelevant, noSize),
		"object-storage-class-changed":             change(object.Irrelevant, nil),
		"object-access-tier-changed":               change(object.Irrelevant, nil),
		"object-annotation-created":                change(object.Irrelevant, noSize),
		"object-annotation-removed":                change(object.Irrelevant, noSize),
	}
	for _, file := range names(t, "eventbridge/*") {
		t.Run(file, func(t *testing.T) {
			body := sample(t, file)
			// EventBridge speaks of AWS, whatever else the caller is for.
			got, err := event.Decode(body, "elsewhere")
			if err != nil {
				t.Fatal(err)
			}
			w, ok := want[strings.TrimSuffix(path.Base(file), ".json")]
			if !ok {
				t.Fatal("nothing is expected of this sample")
			}
			var raw struct {
				Detail struct {
					Object struct {
						Sequencer string `json:"sequencer"`
					} `json:"object"`
					RequestID string `json:"request-id"`
				} `json:"detail"`
			}
			if err := json.Unmarshal([]byte(body), &raw); err != nil {
				t.Fatal(err)
			}
			w.Sequencer, w.RequestID = raw.Detail.Object.Sequencer, raw.Detail.RequestID
			expect(t, got, event.Result{Changes: []object.Change{w}})
		})
	}
}

func TestNotificationSamples(t *testing.T) {
	one := func(c object.Change) event.Result { return event.Result{Changes: []object.Change{c}} }
	want := map[string]event.Result{
		"created-put":              one(change(object.Created, nil)),
		"created-key-form-encoded": one(change(object.Created, key("a b+c%2F%20.txt"))),
		"created-key-unicode": one(change(object.Created, func(c *object.Change) {
			c.Ref.Key, c.ETag, c.Size, c.VersionID = "ü/日本/🙂.bin", "9b2cf535f27731c974343645a3985328-2", 12582912, ""
		})),
		"created-several-records": {Changes: []object.Change{
			change(object.Created, key("first")),
			change(object.Created, key("second")),
			change(object.Deleted, func(c *object.Change) { c.Ref.Key, c.VersionID = "third", "" }),
		}},
		"created-minio":                      one(change(object.Created, noVersion)),
		"removed-delete":                     one(change(object.Deleted, noVersion)),
		"removed-delete-marker":              one(change(object.MarkerCreated, nil)),
		"lifecycle-expiration-delete":        one(change(object.Deleted, expiredForGood)),
		"lifecycle-expiration-delete-marker": one(change(object.MarkerCreated, expired)),
		"restore-post":                       one(change(object.Irrelevant, nil)),
		"restore-completed":                  one(change(object.Restored, nil)),
		"restore-delete":                     one(change(object.Irrelevant, noSize)),
		"tagging-put":                        one(change(object.Retagged, noSize)),
		"tagging-delete":                     one(change(object.Retagged, noSize)),
		"acl-put":                            one(change(object.Irrelevant, noSize)),
		"annotation-put":                     one(change(object.Irrelevant, noSize)),
		"lifecycle-transition":               one(change(object.Irrelevant, nil)),
		"intelligent-tiering":                one(change(object.Irrelevant, nil)),
		"replication-failed":                 one(change(object.Irrelevant, nil)),
		"test-event":                         {Test: true},
	}
	for _, file := range names(t, "s3-notification/*") {
		t.Run(file, func(t *testing.T) {
			body := sample(t, file)
			got, err := event.Decode(body, "minio-hq")
			if err != nil {
				t.Fatal(err)
			}
			w, ok := want[strings.TrimSuffix(path.Base(file), ".json")]
			if !ok {
				t.Fatal("nothing is expected of this sample")
			}
			var raw struct {
				Records []struct {
					S3 struct{ Object struct{ Sequencer string } }
				}
			}
			if err := json.Unmarshal([]byte(body), &raw); err != nil {
				t.Fatal(err)
			}
			for i := range w.Changes {
				c := &w.Changes[i]
				c.Ref.Bucket.Backend = "minio-hq"
				c.Time = c.Time.Add(123 * time.Millisecond)
				c.Sequencer, c.RequestID = raw.Records[i].S3.Object.Sequencer, "Q7M2D5X9B1C4F6H8"
			}
			expect(t, got, w)
		})
	}
}

func TestFieldsAreBroughtIntoTheFormThatAChangePromises(t *testing.T) {
	body := sample(t, "s3-notification/created-put.json")
	body = strings.Replace(body, etag, `\"`+etag+`\"`, 1)
	body = strings.Replace(body, "0069A42D40B8D29F17", "0069a42d40b8d29f17", 1)
	body = strings.Replace(body, "T12:00:00.123Z", "T14:00:00.123+02:00", 1)
	got, err := event.Decode(body, object.AWS)
	if err != nil {
		t.Fatal(err)
	}
	want, err := event.Decode(sample(t, "s3-notification/created-put.json"), object.AWS)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, got, want)

	got, err = event.Decode(strings.Replace(body, "0069a42d40b8d29f17", "after lunch", 1), object.AWS)
	if err != nil {
		t.Fatal(err)
	}
	want.Changes[0].Sequencer = "" // in no order at all
	expect(t, got, want)
}

func TestEnvelopesSayWhatTheirContentSays(t *testing.T) {
	notification := sample(t, "s3-notification/created-key-form-encoded.json")
	tests := map[string]struct{ body, content string }{
		"a notification by SNS":          {sample(t, "sns-envelope/s3-notification.json"), notification},
		"a test event by SNS":            {sample(t, "sns-envelope/test-event.json"), sample(t, "s3-notification/test-event.json")},
		"a batch from another queue":     {wrap("aws:sqs", `{"body":%s}`, notification), notification},
		"a batch that Lambda has of SNS": {wrap("aws:sns", `{"Sns":{"Message":%s}}`, notification), notification},
		"SNS in a batch from a queue": {
			wrap("aws:sqs", `{"body":%s}`, sample(t, "sns-envelope/s3-notification.json")), notification,
		},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			want, err := event.Decode(test.content, "minio-hq")
			if err != nil {
				t.Fatal(err)
			}
			got, err := event.Decode(test.body, "minio-hq")
			if err != nil {
				t.Fatal(err)
			}
			expect(t, got, want)
		})
	}

	got, err := event.Decode(sample(t, "sns-envelope/eventbridge.json"), object.AWS)
	if err != nil || len(got.Changes) != 1 || got.Changes[0].Ref.Key != "a b+c%2F%20.txt" {
		t.Errorf("an EventBridge event by SNS: %+v, %v", got, err)
	}
}

// wrap is a batch of one record from source, with the text as a JSON string in
// the place of form's %s.
func wrap(source, form, text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	record := strings.Replace(form, "%s", string(quoted), 1)
	return `{"Records":[{"eventSource":"` + source + `",` + record[1:] + `]}`
}

func TestUnknownEventsAreDroppedByName(t *testing.T) {
	want := map[string]string{
		"dropped/foreign-source.json":         "aws.ec2: EC2 Instance State-change Notification",
		"dropped/unknown-detail-type.json":    "aws.s3: Object Polished",
		"dropped/unknown-event-name.json":     "aws:s3: ObjectPolished:Put",
		"dropped/foreign-record.json":         "aws:dynamodb: INSERT",
		"dropped/not-sent-by-s3.json":         "example.s3: Object Created",
		"dropped/own-unknown-type.json":       "bucket-replicator: Object Polished",
		"dropped/backblaze-unknown-type.json": "b2: b2:ObjectPolished:Twice",
	}
	for _, file := range names(t, "dropped/*") {
		got, err := event.Decode(sample(t, file), object.AWS)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		expect(t, got, event.Result{Dropped: []string{want[file]}})
	}

	long, err := event.Decode(`{"source":"ours","detail-type":"`+strings.Repeat("é", 500)+`"}`, object.AWS)
	if err != nil || len(long.Dropped) != 1 || len(long.Dropped[0]) > 130 || !utf8.ValidString(long.Dropped[0]) {
		t.Errorf("a long name: %+v, %v", long, err)
	}
}

func TestUndecodableSamplesSayWhatIsWrong(t *testing.T) {
	want := map[string][]string{
		"not-json.txt":                             {"the body is not JSON"},
		"empty.txt":                                {"the body is not JSON"},
		"truncated.json":                           {"the body is not JSON"},
		"null.json":                                {"the body is not an S3 event"},
		"array.json":                               {"the body is a JSON array, want an object"},
		"not-an-event.json":                        {"the body is not an S3 event"},
		"records-empty.json":                       {"Records is empty"},
		"no-bucket.json":                           {"detail.bucket.name is missing"},
		"empty-key.json":                           {"detail.object.key is missing"},
		"no-detail.json":                           {"detail is missing"},
		"no-time.json":                             {"time is missing"},
		"no-source.json":                           {"source is missing"},
		"size-is-text.json":                        {"detail.object.size is a JSON string"},
		"key-too-long.json":                        {"detail.object.key has 1025 bytes, S3 allows 1024"},
		"key-with-bad-escape.json":                 {"Records[0].s3.object.key is not form-encoded"},
		"key-not-utf8.json":                        {"Records[0].s3.object.key is not UTF-8 once decoded"},
		"one-bad-record-of-two.json":               {"Records[1].s3.object.key is missing"},
		"no-event-name.json":                       {"Records[0].eventName is missing"},
		"no-event-source.json":                     {"Records[0].eventSource is missing"},
		"sns-of-text.json":                         {"Message is not JSON"},
		"sns-of-another-event.json":                {"Message is not an S3 event"},
		"sns-subscription-confirmation.json":       {"SubscribeURL"},
		"retry-without-key.json":                   {"detail.object.key is missing"},
		"backblaze-without-a-key.json":             {"events[0].objectName is missing"},
		"backend-notification-of-eventbridge.json": {"detail.body is an event of EventBridge"},
		"backend-notification-of-our-own.json":     {"detail.body is an event of EventBridge"},
		"retry-key-not-base64.json":                {"detail is not JSON: illegal base64 data"},
		"everything-wrong-at-once.json": {
			"detail.bucket.name is missing", "detail.object.key is missing", "detail.object.size is -1", `time is "yesterday"`,
		},
	}
	for _, file := range names(t, "undecodable/*") {
		t.Run(file, func(t *testing.T) {
			undecodable(t, sample(t, file), want[path.Base(file)]...)
		})
	}
}

func TestBodiesNoFileCanHoldAreUndecodable(t *testing.T) {
	sound := sample(t, "eventbridge/object-created.json")
	tests := map[string]struct{ body, says string }{
		"longer than SQS allows": {sound + strings.Repeat(" ", event.MaxBody), "at most 1048576 are read"},
		"not UTF-8":              {strings.Replace(sound, "v1/app", "v1/\xff", 1), "not UTF-8"},
		"two documents":          {sound + sound, "not JSON"},
		"envelopes without end": {
			wrap("aws:sqs", `{"body":%s}`, wrap("aws:sqs", `{"body":%s}`, wrap("aws:sqs", `{"body":%s}`, wrap("aws:sqs", `{"body":%s}`, sound)))),
			"nested more than 4 deep",
		},
		"an S3 event without a type": {`{"source":"aws.s3"}`, "detail-type is missing"},
		"a detail that is no object": {
			`{"source":"aws.s3","detail-type":"Object Created","detail":7}`, "detail is a JSON number, want an object",
		},
		"a record that is no object": {`{"Records":[7]}`, "Records[0] is a JSON number, want an object"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) { undecodable(t, test.body, test.says) })
	}
}

func TestAThousandProblemsMakeAReadableError(t *testing.T) {
	_, err := event.Decode(`{"Records":[{}`+strings.Repeat(`,{}`, 999)+`]}`, object.AWS)
	if err == nil || len(err.Error()) > 2000 || !strings.HasSuffix(err.Error(), "and 980 more") {
		t.Errorf("got %v", err)
	}
}

// undecodable wants one problem for each part, and nothing decoded.
func undecodable(t *testing.T, body string, says ...string) {
	t.Helper()
	got, err := event.Decode(body, object.AWS)
	var u *event.UndecodableError
	if !errors.As(err, &u) {
		t.Fatalf("got %+v, %v", got, err)
	}
	expect(t, got, event.Result{})
	if len(says) == 0 || len(u.Problems) != len(says) {
		t.Errorf("%d problems, want %d: %v", len(u.Problems), len(says), err)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func expect(t *testing.T, got, want event.Result) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
