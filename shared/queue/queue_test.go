package queue_test

import (
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

var _ replicate.Queue = (*queue.Queue)(nil)

// endpoint answers every request alike and keeps the last.
type endpoint struct {
	status int
	code   string
	asked  struct {
		DelaySeconds, VisibilityTimeout int
		MessageBody                     string
	}
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.status == 0 {
		return nil, errors.New("connection reset")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &e.asked); err != nil {
		return nil, err
	}
	answer := fmt.Sprintf(`{"MD5OfMessageBody":"%x"}`, md5.Sum([]byte(e.asked.MessageBody)))
	if e.code != "" {
		answer = `{"__type":"com.amazonaws.sqs#` + e.code + `","message":"no"}`
	}
	return &http.Response{
		StatusCode: e.status, Body: io.NopCloser(strings.NewReader(answer)), Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
	}, nil
}

func open(e http.RoundTripper) *queue.Queue {
	return queue.New(aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: e},
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}, "https://sqs.us-east-1.amazonaws.com/111122223333/events")
}

func TestWaitsAreWholeSecondsWithinTheLimits(t *testing.T) {
	for _, c := range []struct {
		wait              time.Duration
		delay, visibility int
	}{
		{-time.Minute, 0, 0},
		{0, 0, 0},
		{time.Nanosecond, 1, 1},
		{1500 * time.Millisecond, 2, 2},
		{queue.MaxDelay, 900, 900},
		{queue.MaxDelay + 1, 900, 901},
		{13 * time.Hour, 900, 43200},
	} {
		e := &endpoint{status: 200}
		if err := open(e).Defer(t.Context(), event.Message{Body: "b"}, c.wait); err != nil || e.asked.DelaySeconds != c.delay {
			t.Errorf("defer by %v: %d s, %v", c.wait, e.asked.DelaySeconds, err)
		}
		if err := open(e).Backoff(t.Context(), event.Message{Receipt: "r"}, c.wait); err != nil || e.asked.VisibilityTimeout != c.visibility {
			t.Errorf("back off by %v: %d s, %v", c.wait, e.asked.VisibilityTimeout, err)
		}
	}
}

func TestWhatSQSAnswersIsClassifiedOnce(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		class  object.Class
	}{
		{400, "QueueDoesNotExist", object.Permanent},
		{403, "AccessDenied", object.Permanent},
		{400, "KmsDisabled", object.Permanent},
		{400, "InvalidMessageContents", object.Permanent},
		{400, "MessageNotInflight", object.Premise},
		{400, "ReceiptHandleIsInvalid", object.Premise},
		{400, "RequestThrottled", object.Retryable},
		{400, "KmsThrottled", object.Retryable},
		{400, "ExpiredToken", object.Retryable},
		{503, "ServiceUnavailable", object.Retryable},
	} {
		err := open(&endpoint{status: c.status, code: c.code}).Backoff(t.Context(), event.Message{ID: "m1", Receipt: "r"}, 0)
		var e *object.Error
		if !errors.As(err, &e) || e.Class != c.class || e.Code != c.code || !strings.Contains(err.Error(), "m1") {
			t.Errorf("%s: %v", c.code, err)
		}
	}
	if err := open(&endpoint{}).Backoff(t.Context(), event.Message{Receipt: "r"}, 0); object.ClassOf(err) != object.Retryable {
		t.Errorf("no answer: %v", err)
	}
}
