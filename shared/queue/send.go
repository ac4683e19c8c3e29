package queue

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// sendLimit is how many messages one request can send. Together they may have
// 1 MiB; ours have a few hundred bytes each.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
const sendLimit = 10

// What a batch left out is sent again after each of these; the SDK repeats only
// requests that failed as a whole.
var waits = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

// Send sends a new message of each body, ten per request. Where it fails some
// may have been sent; and one may be sent twice, as an answer can get lost.
func (q *Queue) Send(ctx context.Context, bodies []string) error {
	for chunk := range slices.Chunk(bodies, sendLimit) {
		if err := q.sendBatch(ctx, chunk); err != nil {
			return q.classify("send", "", err)
		}
	}
	return nil
}

// sendBatch sends at most ten.
func (q *Queue) sendBatch(ctx context.Context, bodies []string) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(bodies))
	for n, body := range bodies {
		entries[n] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(n)), MessageBody: aws.String(body)}
	}
	for try := 0; ; try++ {
		out, err := q.sqs.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: aws.String(q.url), Entries: entries})
		if err != nil || len(out.Failed) == 0 {
			return err
		}
		refused := make(map[string]bool, len(out.Failed))
		for _, f := range out.Failed {
			refused[aws.ToString(f.Id)] = true
			err = &smithy.GenericAPIError{Code: aws.ToString(f.Code), Message: aws.ToString(f.Message)}
			if classes[aws.ToString(f.Code)] == object.Permanent {
				return err
			}
		}
		if try == len(waits) {
			return err
		}
		entries = slices.DeleteFunc(entries, func(e types.SendMessageBatchRequestEntry) bool { return !refused[*e.Id] })
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waits[try]):
		}
	}
}

// Tickets is the shards queue.
type Tickets struct{ *Queue }

// Send sends a message for each ticket, as JSON that run.Decode reads.
func (t Tickets) Send(ctx context.Context, tickets []run.Ticket) error {
	bodies := make([]string, len(tickets))
	for n, ticket := range tickets {
		body, err := json.Marshal(ticket)
		if err != nil {
			return err
		}
		bodies[n] = string(body)
	}
	return t.Queue.Send(ctx, bodies)
}
