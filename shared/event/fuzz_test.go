package event_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"testing"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

func FuzzDecode(f *testing.F) {
	for _, name := range names(f, "*/*") {
		f.Add(sample(f, name))
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := event.Decode(body, object.AWS)
		if err != nil {
			var u *event.UndecodableError
			if !errors.As(err, &u) || len(u.Problems) == 0 {
				t.Errorf("an error without a problem: %v", err)
			}
			return
		}
		if len(got.Changes)+len(got.Dropped) == 0 && !got.Test {
			t.Error("neither a change, nor a drop, nor a test, nor an error")
		}
		for _, c := range got.Changes {
			if c.Ref.Bucket.Name == "" || c.Ref.Key == "" || len(c.Ref.Key) > 1024 || !utf8.ValidString(c.Ref.Key) && c.Kind != object.Due ||
				c.Kind == 0 || c.Time.Location() != time.UTC || c.Size < 0 {
				t.Errorf("an impossible change: %+v", c)
			}
		}
	})
}

// A key comes out of either form as it went in: EventBridge sends it raw, a
// notification form-encoded.
func FuzzKeyRoundTrip(f *testing.F) {
	for _, key := range []string{"a b+c%2F%20.txt", "ü/日本/🙂.bin", "x//y", "=?&#.txt", "dir/", "%", "+", "\x00\n\"\\"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if key == "" || len(key) > 1024 || !utf8.ValidString(key) {
			return // S3 allows no such key
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		for form, body := range map[string]string{
			"EventBridge":  `{"source":"aws.s3","detail-type":"Object Created","time":"2026-03-01T12:00:00Z","detail":{"bucket":{"name":"b"},"object":{"key":` + string(quoted) + `}}}`,
			"notification": `{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","eventTime":"2026-03-01T12:00:00.000Z","s3":{"bucket":{"name":"b"},"object":{"key":"` + url.QueryEscape(key) + `"}}}]}`,
		} {
			got, err := event.Decode(body, object.AWS)
			if err != nil || len(got.Changes) != 1 || got.Changes[0].Ref.Key != key {
				t.Errorf("%s: %q became %+v, %v", form, key, got, err)
			}
		}
	})
}

// A retry names the object that failed, whatever bytes its key has.
func FuzzRetryRoundTrip(f *testing.F) {
	for _, key := range []string{"v1/app.tar.gz", "ü/日本/🙂.bin", "\x00\n\"\\", "v1/app\xff\xfe", "\xed\xa0\x80", "\uFFFD", "\uFFFE", "a\uFFFF"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if key == "" || len(key) > 1024 {
			return // S3 allows no such key
		}
		source := object.Ref{Bucket: object.Bucket{Backend: "hq", Name: "releases"}, Key: key}
		body := event.Retry(object.Failure{Rule: "mirror", Source: source}, time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("", 3600)))
		want := object.Change{Ref: source, Kind: object.Due, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		got, err := event.Decode(body, object.AWS)
		if err != nil || len(got.Changes) != 1 || got.Changes[0] != want {
			t.Errorf("%q became %+v, %v", key, got, err)
		}
		for _, r := range body {
			if !sqsTakes(r) {
				t.Errorf("SQS refuses %+q", body)
			}
		}
	})
}

// sqsTakes has the characters of a message body.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func sqsTakes(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= ' ' && r != 0xFFFE && r != 0xFFFF
}
