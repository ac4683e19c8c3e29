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

// redrive sends the messages of both dead-letter queues to the events queue
// again: what could not be decoded or crashed, and what EventBridge could not
// deliver. It moves message by message because SQS's own redrive refuses the
// second queue, whose messages never were in another one.
//
// A message is deleted only after it was sent. If that is interrupted it is
// sent twice, which does no harm: an event only says where to look.
func redrive(ctx context.Context, cfg aws.Config, stack string, out io.Writer) error {
	client := sqs.NewFromConfig(cfg)
	events, err := queueURL(ctx, client, stack+"-events")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "sending dead letters to %s\n", events)
	for _, name := range []string{stack + "-events-dead-letters", stack + "-undelivered"} {
		from, err := queueURL(ctx, client, name)
		if err != nil {
			return err
		}
		n, err := move(ctx, client, from, events)
		fmt.Fprintf(out, "  %d from %s\n", n, name)
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
