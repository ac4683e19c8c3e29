package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/cloud"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// patience bounds every wait. What is waited for takes a second or two, a tick a
// minute; on a busy machine more.
const patience = 3 * time.Minute

// at is where an object is.
type at struct{ bucket, key string }

func (a at) String() string {
	if len(a.key) > 60 {
		return fmt.Sprintf("%s/%s... (%d bytes)", a.bucket, a.key[:20], len(a.key))
	}
	return a.bucket + "/" + a.key
}

// content is all of an object that travels.
type content struct {
	Body        string
	ContentType string
	Metadata    map[string]string
	Tags        map[string]string
}

func text(body string) content { return content{Body: body, ContentType: "text/plain"} }

// put writes an object as a person would, and answers what S3 said.
func (s *stage) put(t *testing.T, to at, c content) *s3.PutObjectOutput {
	t.Helper()
	return s.putIn(t, to, c, "")
}

func (s *stage) putIn(t *testing.T, to at, c content, class types.StorageClass) *s3.PutObjectOutput {
	t.Helper()
	in := &s3.PutObjectInput{
		Bucket: &to.bucket, Key: &to.key, Body: strings.NewReader(c.Body), ContentType: &c.ContentType, Metadata: c.Metadata, StorageClass: class,
	}
	if len(c.Tags) > 0 {
		tags := url.Values{}
		for k, v := range c.Tags {
			tags.Set(k, v)
		}
		in.Tagging = aws.String(tags.Encode())
	}
	out, err := s.S3.PutObject(t.Context(), in)
	if err != nil {
		t.Fatalf("put %s: %v", to, err)
	}
	return out
}

func (s *stage) delete(t *testing.T, what at) *s3.DeleteObjectOutput {
	t.Helper()
	out, err := s.S3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &what.bucket, Key: &what.key})
	if err != nil {
		t.Fatalf("delete %s: %v", what, err)
	}
	return out
}

// tag gives the object these tags and no others.
func (s *stage) tag(t *testing.T, what at, tags map[string]string) {
	t.Helper()
	set := []types.Tag{}
	for k, v := range tags {
		set = append(set, types.Tag{Key: &k, Value: &v})
	}
	if _, err := s.S3.PutObjectTagging(t.Context(), &s3.PutObjectTaggingInput{
		Bucket: &what.bucket, Key: &what.key, Tagging: &types.Tagging{TagSet: set},
	}); err != nil {
		t.Fatalf("tag %s: %v", what, err)
	}
}

// get answers false where there is no object.
func (s *stage) get(ctx context.Context, from at) (content, bool, error) {
	out, err := s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &from.bucket, Key: &from.key})
	var absent *types.NoSuchKey
	if errors.As(err, &absent) {
		return content{}, false, nil
	}
	if err != nil {
		return content{}, false, fmt.Errorf("get %s: %w", from, err)
	}
	defer out.Body.Close()
	var body bytes.Buffer
	if _, err := io.Copy(&body, out.Body); err != nil {
		return content{}, false, err
	}
	tags, err := s.S3.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &from.bucket, Key: &from.key})
	if err != nil {
		return content{}, false, fmt.Errorf("get the tags of %s: %w", from, err)
	}
	c := content{Body: body.String(), ContentType: aws.ToString(out.ContentType), Metadata: map[string]string{}, Tags: map[string]string{}}
	maps.Copy(c.Metadata, out.Metadata)
	for _, tag := range tags.TagSet {
		c.Tags[*tag.Key] = *tag.Value
	}
	return c, true, nil
}

// holds fails unless the object is there with this content.
func (s *stage) holds(t *testing.T, where at, want content) {
	t.Helper()
	got, found, err := s.get(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Errorf("%s is not there", where)
	} else if !same(got, want) {
		t.Errorf("%s is %.200q, want %.200q", where, fmt.Sprint(got), fmt.Sprint(want))
	}
}

func same(a, b content) bool {
	return a.Body == b.Body && a.ContentType == b.ContentType && maps.Equal(a.Metadata, b.Metadata) && maps.Equal(a.Tags, b.Tags)
}

// isAbsent fails if a reader finds an object there.
func (s *stage) isAbsent(t *testing.T, where at) {
	t.Helper()
	_, found, err := s.get(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	if found {
		t.Errorf("%s is there", where)
	}
}

// told waits until the event function has logged as many outcomes of the rule
// for the source object, and fails unless they are these, in this order, each
// "result" or "result reason". Waits for others ("deferred") are no outcome.
func (s *stage) told(t *testing.T, rule string, source at, want ...string) {
	t.Helper()
	var got []string
	await(t, func() (bool, error) {
		outcomes, err := s.outcomes(t.Context(), rule, source)
		got = words(outcomes)
		return len(got) >= len(want), err
	}, func() string {
		return fmt.Sprintf("the outcomes %q of %s for %s; there are %q", want, rule, source, got)
	})
	if !slices.Equal(got, want) {
		t.Fatalf("the outcomes of %s for %s are %q, want %q", rule, source, got, want)
	}
}

// words are outcomes as "result" or "result reason".
func words(outcomes []cloud.Outcome) []string {
	var all []string
	for _, o := range outcomes {
		all = append(all, strings.TrimSpace(o.Result+" "+o.Reason))
	}
	return all
}

// outcomes are those logged so far, by source object; all objects where the
// key is empty.
func (s *stage) outcomes(ctx context.Context, rule string, source at) ([]cloud.Outcome, error) {
	all, err := s.Cloud.Outcomes(ctx, s.Stack)
	return slices.DeleteFunc(all, func(o cloud.Outcome) bool {
		return o.Rule != rule || o.Bucket != "aws/"+source.bucket || source.key != "" && o.Key != source.key || o.Result == "deferred"
	}), err
}

// queues of the stack, by the names of their URLs in its outputs.
const (
	events      = "EventsQueueUrl"
	deadLetters = "EventsDeadLettersUrl"
	undelivered = "UndeliveredEventsUrl"
)

// send puts a message into a queue, past S3 and EventBridge, and answers its id.
func (s *stage) send(t *testing.T, queue, body string) string {
	t.Helper()
	out, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(s.Stack.Outputs[queue]), MessageBody: &body})
	if err != nil {
		t.Fatalf("send to %s: %v", queue, err)
	}
	return *out.MessageId
}

// settles waits until the events queue holds nothing, waiting or at work, and
// fails if there are dead letters.
func (s *stage) settles(t *testing.T) {
	t.Helper()
	var n int
	await(t, func() (bool, error) {
		var err error
		n, err = s.count(t.Context(), events)
		return n == 0, err
	}, func() string { return fmt.Sprintf("an empty events queue; it holds %d", n) })
	for _, queue := range []string{deadLetters, undelivered} {
		n, err := s.count(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			t.Errorf("%s holds %d messages", queue, n)
		}
	}
}

// count is how many messages a queue holds, those at work and those delayed
// too.
func (s *stage) count(ctx context.Context, queue string) (int, error) {
	names := []sqstypes.QueueAttributeName{
		sqstypes.QueueAttributeNameApproximateNumberOfMessages,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := s.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(s.Stack.Outputs[queue]), AttributeNames: names})
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", queue, err)
	}
	total := 0
	for _, name := range names {
		var n int
		if _, err := fmt.Sscan(out.Attributes[string(name)], &n); err != nil {
			return 0, fmt.Errorf("attribute %s of %s: %w", name, queue, err)
		}
		total += n
	}
	return total, nil
}

// takes removes one message from a queue and answers its body; it waits for
// one.
func (s *stage) takes(t *testing.T, queue string) string {
	t.Helper()
	var body string
	from := aws.String(s.Stack.Outputs[queue])
	await(t, func() (bool, error) {
		out, err := s.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: from, MaxNumberOfMessages: 1})
		if err != nil || len(out.Messages) == 0 {
			return false, err
		}
		body = *out.Messages[0].Body
		_, err = s.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: from, ReceiptHandle: out.Messages[0].ReceiptHandle})
		return true, err
	}, func() string { return "a message in " + queue })
	return body
}

// silence switches a bucket's events off: a test sends its own.
func (s *stage) silence(t *testing.T, bucket string) {
	t.Helper()
	if _, err := s.S3.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
		Bucket: &bucket, NotificationConfiguration: &types.NotificationConfiguration{},
	}); err != nil {
		t.Fatal(err)
	}
}

// news is what an event says of an object.
type news struct {
	kind      string // the detail-type
	at        at
	etag      string
	size      int
	versionID string
	sequencer int
	time      time.Time
	marker    bool // of a deletion: it put a marker
}

// body is the event as EventBridge sends it.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func (n news) body(t *testing.T) string {
	t.Helper()
	object := map[string]any{"key": n.at.key, "sequencer": fmt.Sprintf("%016X", n.sequencer)}
	if n.etag != "" {
		object["etag"], object["size"] = n.etag, n.size
	}
	if n.versionID != "" {
		object["version-id"] = n.versionID
	}
	detail := map[string]any{
		"version": "0", "bucket": map[string]string{"name": n.at.bucket}, "object": object,
		"request-id": fmt.Sprintf("REQUEST%d", n.sequencer), "requester": cloud.Account,
	}
	if n.kind == "Object Deleted" {
		detail["deletion-type"], detail["reason"] = "Permanently Deleted", "DeleteObject"
		if n.marker {
			detail["deletion-type"] = "Delete Marker Created"
		}
	}
	if n.time.IsZero() {
		n.time = time.Now()
	}
	text, err := json.Marshal(map[string]any{
		"version": "0", "id": fmt.Sprintf("event-%d", n.sequencer), "source": "aws.s3", "detail-type": n.kind,
		"account": cloud.Account, "region": "us-east-1", "time": n.time.UTC().Format(time.RFC3339),
		"resources": []string{"arn:aws:s3:::" + n.at.bucket}, "detail": detail,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// await asks until the answer is yes.
func await(t *testing.T, ready func() (bool, error), what func() string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ready()
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("waited %s in vain for %s", patience, what())
		case <-tick.C:
		}
	}
}
