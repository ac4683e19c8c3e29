package event_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

func TestWhatBackblazeSends(t *testing.T) {
	of := func(kind object.Kind, with func(*object.Change)) object.Change {
		c := object.Change{
			Ref:       object.Ref{Bucket: object.Bucket{Backend: "b2", Name: "releases"}, Key: "v1/app.tar.gz"},
			Kind:      kind,
			Time:      time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
			VersionID: "4_zaea8c5bc362ae55070130333_f1",
			RequestID: "27b1a1f0-0d27-4a8f-8b0f-8e8f3d8c1b5e",
		}
		if !kind.Removes() && kind != object.Irrelevant {
			c.Size = 5
		}
		if with != nil {
			with(&c)
		}
		return c
	}
	lifecycle := func(c *object.Change) { c.Cause = object.ByLifecycle }
	for name, want := range map[string]event.Result{
		"created-upload": {Changes: []object.Change{of(object.Created, nil)}},
		"created-several": {Changes: []object.Change{of(object.Created, nil), of(object.Created, func(c *object.Change) {
			c.Ref.Key = "a b+c%2F%20/日本.txt" // never decoded
		})}},
		"deleted":           {Changes: []object.Change{of(object.Deleted, nil)}},
		"deleted-lifecycle": {Changes: []object.Change{of(object.Deleted, lifecycle)}},
		"hidden":            {Changes: []object.Change{of(object.MarkerCreated, nil)}},
		"hidden-lifecycle":  {Changes: []object.Change{of(object.MarkerCreated, lifecycle)}},
		"upload-live-read":  {Changes: []object.Change{of(object.Irrelevant, nil)}},
		"test-event":        {Test: true},
	} {
		got, err := event.Decode(sample(t, "backblaze/"+name+".json"), "b2")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// Whatever a backend sends is about its own buckets.
func TestWhatABackendSendsIsAboutItsOwnBuckets(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
	for _, name := range append(names(t, "s3-notification/*"), names(t, "backblaze/*")...) {
		body := sample(t, name)
		want, err := event.Decode(body, "hq")
		if err != nil {
			t.Fatal(err)
		}
		got, err := event.Decode(event.Forwarded("hq", body, now), object.AWS)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, want)
		}
	}
	for name, body := range map[string]string{
		"an event of EventBridge":     sample(t, "eventbridge/object-created.json"),
		"a retry of ours":             sample(t, "retry/object-retry.json"),
		"what another backend sent":   event.Forwarded("other", sample(t, "s3-notification/created-put.json"), now),
		"one of these in an envelope": `{"Type":"Notification","Message":"{\"source\":\"aws.s3\",\"detail-type\":\"Object Created\",\"detail\":{}}"}`,
		"nothing":                     "",
		"a page":                      "<html>",
	} {
		got, err := event.Decode(event.Forwarded("hq", body, now), object.AWS)
		if err == nil || len(got.Changes) > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		} else if !strings.Contains(err.Error(), "detail.body") {
			t.Errorf("%s: it does not say where: %v", name, err)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	for _, name := range append(names(f, "s3-notification/*"), names(f, "backblaze/*")...) {
		f.Add(sample(f, name))
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := event.Decode(event.Forwarded("hq", body, time.Unix(0, 0)), object.AWS)
		if err != nil {
			return
		}
		for _, c := range got.Changes {
			if c.Ref.Bucket.Backend != "hq" {
				t.Errorf("%s speaks for %s", body, c.Ref.Bucket)
			}
		}
	})
}
