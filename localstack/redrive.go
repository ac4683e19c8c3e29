package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// redrive sends what is in the dead-letter queues again: events and tickets that
// could not be decoded or crashed, and events that EventBridge could not
// deliver. It moves message by message because SQS's own redrive refuses the
// last queue, whose messages never were in another one.
//
// A message is deleted only after it was sent. If that is interrupted it is
// sent twice, which does no harm: an event only says where to look, and of two
// tickets one finds its work taken.
func redrive(ctx context.Context, cfg aws.Config, stack string, out io.Writer) error {
	client := sqs.NewFromConfig(cfg)
	for _, way := range []struct{ from, to string }{
		{stack + "-events-dead-letters", stack + "-events"},
		{stack + "-undelivered", stack + "-events"},
		{stack + "-shards-dead-letters", stack + "-shards"},
		{stack + "-transfers-dead-letters", stack + "-transfers"},
	} {
		to, err := queueURL(ctx, client, way.to)
		if err != nil {
			return err
		}
		from, err := queueURL(ctx, client, way.from)
		if err != nil {
			return err
		}
		n, err := move(ctx, client, from, to)
		fmt.Fprintf(out, "%d messages from %s to %s\n", n, way.from, to)
		if err != nil {
			return err
		}
	}
	return nil
}

func queueURL(ctx context.Context, client *sqs.Client, name string) (string, error) {
	answer, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("find queue %s: %w", name, err)
	}
	return *answer.QueueUrl, nil
}

// held is for how long a received message is hidden from others, in seconds.
const held = 20

// move sends until the queue is empty, and answers how many. A message whose
// delivery was lost on its way is hidden for a while, and waited for. Message
// attributes are left behind: they describe the failure, and how often the
// message was put back.
func move(ctx context.Context, client *sqs.Client, from, to string) (int, error) {
	moved := 0
	for deadline := time.Now().Add(3 * held * time.Second); ; {
		batch, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &from, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: held,
		})
		if err != nil {
			return moved, fmt.Errorf("receive from %s: %w", from, err)
		}
		for _, m := range batch.Messages {
			if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &to, MessageBody: m.Body}); err != nil {
				return moved, fmt.Errorf("send message %s to %s: %w", *m.MessageId, to, err)
			}
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &from, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return moved, fmt.Errorf("delete message %s from %s: %w", *m.MessageId, from, err)
			}
			moved++
		}
		if len(batch.Messages) > 0 {
			deadline = time.Now().Add(3 * held * time.Second)
			continue
		}
		left, err := hidden(ctx, client, from)
		switch {
		case err != nil:
			return moved, err
		case left == 0:
			return moved, nil
		case time.Now().After(deadline):
			return moved, fmt.Errorf("%s: somebody else holds %d messages; run this again when they are done", from, left)
		}
	}
}

// hidden is about how many messages of a queue somebody received and did not
// delete yet.
func hidden(ctx context.Context, client *sqs.Client, queue string) (int, error) {
	const name = types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	answer, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{name},
	})
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", queue, err)
	}
	n, err := strconv.Atoi(answer.Attributes[string(name)])
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", queue, err)
	}
	return n, nil
}
