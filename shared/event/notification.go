package event

import (
	"net/url"
	"strings"

	"bucket-replicator/shared/object"
)

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
