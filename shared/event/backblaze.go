package event

import (
	"strings"
	"time"

	"bucket-replicator/shared/object"
)

// blazeTypes are Backblaze's by their beginnings; the first that fits decides.
// https://www.backblaze.com/docs/cloud-storage-event-notifications-reference-guide
var blazeTypes = []struct {
	beginning string
	kind      object.Kind
	cause     object.Cause
}{
	{"b2:ObjectCreated:", object.Created, object.ByRequest},
	{"b2:ObjectDeleted:LifecycleRule", object.Deleted, object.ByLifecycle},
	{"b2:ObjectDeleted:", object.Deleted, object.ByRequest},
	{"b2:HideMarkerCreated:LifecycleRule", object.MarkerCreated, object.ByLifecycle},
	{"b2:HideMarkerCreated:", object.MarkerCreated, object.ByRequest},
	{"b2:MultipartUploadCreated:", object.Irrelevant, object.ByRequest},
}

// blaze reads one member of events, as Backblaze sends them. It has neither a
// tag nor a sequencer, so whoever gets it looks. The key is raw.
func (d *decoder) blaze(path string, text []byte) {
	var e struct {
		Type      string `json:"eventType"`
		Timestamp int64  `json:"eventTimestamp"` // Unix milliseconds
		ID        string `json:"eventId"`
		Bucket    string `json:"bucketName"`
		Key       string `json:"objectName"`
		Size      int64  `json:"objectSize"`
		VersionID string `json:"objectVersionId"`
	}
	if !d.unmarshal(path, text, &e) {
		return
	}
	switch e.Type {
	case "":
		d.problem(path, "eventType is missing")
		return
	case "b2:TestEvent":
		d.result.Test = true
		return
	}
	for _, t := range blazeTypes {
		if !strings.HasPrefix(e.Type, t.beginning) {
			continue
		}
		when := ""
		if e.Timestamp > 0 {
			when = time.UnixMilli(e.Timestamp).UTC().Format(time.RFC3339Nano)
		}
		d.change(fields{path + "bucketName", path + "objectName", path + "objectSize", path + "eventTimestamp"}, object.Change{
			Ref:       object.Ref{Bucket: object.Bucket{Backend: d.backend, Name: e.Bucket}, Key: e.Key},
			Kind:      t.kind,
			Cause:     t.cause,
			Size:      e.Size,
			VersionID: e.VersionID,
			RequestID: e.ID,
		}, when)
		return
	}
	d.drop("b2", e.Type)
}
