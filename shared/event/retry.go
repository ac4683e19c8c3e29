package event

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/object"
)

// Our own events have the shape of EventBridge's. Whoever else sends one makes
// us look, and does no harm.
const (
	ownSource = "bucket-replicator"
	retryType = "Object Retry"
)

// retryEvent is the wire form of a retry. Every rule that concerns the object
// looks at it, which costs next to nothing and does no harm: Rule is there for
// people who read the message.
type retryEvent struct {
	Source     string      `json:"source"`
	DetailType string      `json:"detail-type"`
	Time       time.Time   `json:"time"`
	Detail     retryDetail `json:"detail"`
}

type retryDetail struct {
	Rule    string `json:"rule,omitempty"`
	Backend string `json:"backend,omitempty"` // object.AWS where empty
	Bucket  struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		// One of the two.
		Key       string `json:"key,omitempty"`
		KeyBase64 []byte `json:"key-base64,omitempty"`
	} `json:"object"`
	// Damaged is the replica that a comparison found to be another than the
	// source, if that is what failed.
	Damaged *retryDamaged `json:"damaged,omitempty"`
}

type retryDamaged struct {
	ETag         string    `json:"etag"`
	LastModified time.Time `json:"last-modified"`
	VersionID    string    `json:"version-id,omitempty"`
}

// Retry is the body of a message for the events queue: a failure is to be tried
// again now. Its Rule, Source and Damaged are all that counts. Decode makes a
// change of Kind object.Due of it. The key may have any bytes.
func Retry(f object.Failure, now time.Time) string {
	e := retryEvent{Source: ownSource, DetailType: retryType, Time: now.UTC()}
	e.Detail.Rule, e.Detail.Backend, e.Detail.Bucket.Name = f.Rule, f.Source.Bucket.Backend, f.Source.Bucket.Name
	if inText(f.Source.Key) {
		e.Detail.Object.Key = f.Source.Key
	} else {
		e.Detail.Object.KeyBase64 = []byte(f.Source.Key)
	}
	if d := f.Damaged; d.ETag != "" {
		e.Detail.Damaged = &retryDamaged{d.ETag, d.LastModified, d.VersionID}
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // of strings, bytes, and a time within this era
	}
	return string(body)
}

// inText reports whether the key survives JSON, which is UTF-8, and SQS, which
// takes no more than XML does. Control characters are escaped by the former.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func inText(key string) bool {
	return utf8.ValidString(key) && !strings.ContainsAny(key, "\uFFFE\uFFFF")
}

func (d *decoder) retry(path string, e envelope) {
	var detail retryDetail
	if !d.unmarshal(path+"detail.", e.Detail, &detail) {
		return
	}
	change := object.Change{
		Ref: object.Ref{
			Bucket: object.Bucket{Backend: cmp.Or(detail.Backend, object.AWS), Name: detail.Bucket.Name},
			Key:    cmp.Or(detail.Object.Key, string(detail.Object.KeyBase64)),
		},
		Kind: object.Due,
	}
	if was := detail.Damaged; was != nil {
		change.Damaged = object.Dest{ETag: was.ETag, LastModified: was.LastModified.UTC(), VersionID: was.VersionID}
	}
	d.change(fields{bucket: path + "detail.bucket.name", key: path + "detail.object.key", time: path + "time"}, change, e.Time)
}
