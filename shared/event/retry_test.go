package event_test

import (
	"path"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

// damaged is the replica of the sample.
var damaged = object.Dest{
	ETag: "d41d8cd98f00b204e9800998ecf8427e", LastModified: time.Date(2026, 2, 28, 9, 30, 0, 0, time.UTC), VersionID: "3HL4kqtJlcpXrof3",
}

func TestRetrySamples(t *testing.T) {
	due := func(backend, key string) object.Change {
		return object.Change{
			Ref:  object.Ref{Bucket: object.Bucket{Backend: backend, Name: "releases"}, Key: key},
			Kind: object.Due,
			Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		}
	}
	of := due("aws", "v1/app.tar.gz")
	of.Damaged = damaged
	want := map[string]object.Change{
		"damaged":               of,
		"object-retry":          due("aws", "v1/app.tar.gz"),
		"key-not-utf8":          due("hq", "v1/app\xff\xfe"),
		"only-what-is-required": due("aws", "v1/app.tar.gz"),
	}
	for _, file := range names(t, "retry/*") {
		t.Run(file, func(t *testing.T) {
			got, err := event.Decode(sample(t, file), "elsewhere")
			if err != nil {
				t.Fatal(err)
			}
			w, ok := want[strings.TrimSuffix(path.Base(file), ".json")]
			if !ok {
				t.Fatal("nothing is expected of this sample")
			}
			expect(t, got, event.Result{Changes: []object.Change{w}})
		})
	}
}

// The schema is held against the samples, so a sample holds the schema against
// what is sent.
func TestARetryIsSentAsTheSampleSays(t *testing.T) {
	source := object.Ref{Bucket: object.Bucket{Backend: "aws", Name: "releases"}, Key: "v1/app.tar.gz"}
	for file, damaged := range map[string]object.Dest{"retry/object-retry.json": {}, "retry/damaged.json": damaged} {
		got := event.Retry(object.Failure{Rule: "mirror-releases", Source: source, Damaged: damaged}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		if want := strings.Join(strings.Fields(sample(t, file)), ""); strings.Join(strings.Fields(got), "") != want {
			t.Errorf("sent %s\nwant %s", got, want)
		}
	}
}
