// Package queue sends messages, and puts those of the events queue back: later as
// they are, or as new ones whose wait counts as no try.
package queue

import (
	"context"
	"errors"
	"strconv"
	"time"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// What SQS allows at most; longer waits are shortened to it.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	MaxDelay      = 15 * time.Minute
	MaxVisibility = 12 * time.Hour
)

// Queue is one standard queue, safe for concurrent use. Its errors are
// *object.Error with the id of a message that was received as the key; Premise
// means that the message is no longer this receiver's.
type Queue struct {
	sqs *sqs.Client
	url string
}

// New makes a queue of the URL. No request is made before the first call.
func New(c aws.Config, url string) *Queue { return &Queue{sqs: sqs.NewFromConfig(c), url: url} }

// Defer sends the message again as a new one that is delivered after delay: the
// body as it is, its deferrals counted. The old message is left to its
// receiver, who finishes it; if that fails both are delivered, which is
// harmless.
func (q *Queue) Defer(ctx context.Context, m event.Message, delay time.Duration) error {
	_, err := q.sqs.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:     aws.String(q.url),
		MessageBody:  aws.String(m.Body),
		DelaySeconds: seconds(delay, MaxDelay),
		MessageAttributes: map[string]types.MessageAttributeValue{
			event.DeferralsAttribute: {DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(m.Deferrals + 1))},
		},
	})
	return q.classify("defer", m.ID, err)
}

// Backoff makes the message visible again after delay, counted from now.
func (q *Queue) Backoff(ctx context.Context, m event.Message, delay time.Duration) error {
	_, err := q.sqs.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl:          aws.String(q.url),
		ReceiptHandle:     aws.String(m.Receipt),
		VisibilityTimeout: seconds(delay, MaxVisibility),
	})
	return q.classify("back off", m.ID, err)
}

// seconds rounds up, so that no wait gets lost, and keeps to the limit.
func seconds(d, most time.Duration) int32 {
	d = min(max(d, 0), most)
	return int32((d + time.Second - 1) / time.Second)
}

// classes of what SQS answers. What is not here is tried again.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
var classes = map[string]object.Class{
	"MessageNotInflight":                          object.Premise,
	"AWS.SimpleQueueService.MessageNotInflight":   object.Premise,
	"ReceiptHandleIsInvalid":                      object.Premise,
	"AccessDenied":                                object.Permanent,
	"AccessDeniedException":                       object.Permanent,
	"AWS.SimpleQueueService.NonExistentQueue":     object.Permanent,
	"AWS.SimpleQueueService.UnsupportedOperation": object.Permanent,
	"InvalidClientTokenId":                        object.Permanent,
	"InvalidMessageContents":                      object.Permanent,
	"InvalidParameterValue":                       object.Permanent,
	"InvalidSecurity":                             object.Permanent,
	"KMS.AccessDeniedException":                   object.Permanent,
	"KmsAccessDenied":                             object.Permanent,
	"KMS.DisabledException":                       object.Permanent,
	"KmsDisabled":                                 object.Permanent,
	"KMS.NotFoundException":                       object.Permanent,
	"KmsNotFound":                                 object.Permanent,
	"QueueDoesNotExist":                           object.Permanent,
	"SignatureDoesNotMatch":                       object.Permanent,
	"UnrecognizedClientException":                 object.Permanent,
	"UnsupportedOperation":                        object.Permanent,
}

func (q *Queue) classify(op, messageID string, err error) error {
	if err == nil {
		return nil
	}
	e := &object.Error{
		Op: op, Code: "Internal", Err: err,
		Ref: object.Ref{Bucket: object.Bucket{Backend: "sqs", Name: q.url}, Key: messageID},
	}
	var api smithy.APIError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code = "RequestCanceled"
	case errors.As(err, &api):
		e.Code = api.ErrorCode()
		e.Class = classes[e.Code]
	}
	return e
}
