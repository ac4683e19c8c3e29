package event

import "bucket-replicator/shared/object"

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

func (d *decoder) bridge(path string, e envelope, depth int) {
	kind, known := detailTypes[e.DetailType]
	retry := e.Source == ownSource && e.DetailType == retryType
	forwarded := e.Source == ownSource && e.DetailType == forwardedType
	switch {
	case e.Source == "":
		d.problem(path, "source is missing")
		return
	case e.DetailType == "":
		d.problem(path, "detail-type is missing")
		return
	case !retry && !forwarded && (e.Source != "aws.s3" || !known):
		d.drop(e.Source, e.DetailType)
		return
	case len(e.Detail) == 0:
		d.problem(path, "detail is missing")
		return
	case retry:
		d.retry(path, e)
		return
	case forwarded:
		d.forwarded(path, e, depth)
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
