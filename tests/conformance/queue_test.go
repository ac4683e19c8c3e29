package conformance

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/tests/staging"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func TestQueueOnMiniStack(t *testing.T) {
	config, _ := client(staging.Server(t, server.MiniStack))
	client := sqs.NewFromConfig(config)
	var made atomic.Int64
	storetest.TestQueue(t, func(t *testing.T) storetest.QueueFixture {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
			QueueName:  aws.String(fmt.Sprintf("queue-%d", made.Add(1))),
			Attributes: map[string]string{string(types.QueueAttributeNameVisibilityTimeout): "3600"},
		})
		if err != nil {
			t.Fatal(err)
		}
		url := *out.QueueUrl
		return storetest.QueueFixture{
			Queue: queue.New(config, url),
			Send: func(t *testing.T, body string) {
				if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
					t.Fatal(err)
				}
			},
			Delete: func(t *testing.T, m event.Message) {
				if _, err := client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: &m.Receipt}); err != nil {
					t.Fatal(err)
				}
			},
			Receive: func(t *testing.T) []event.Message { return receive(t, client, url) },
			Sleep:   time.Sleep,
		}
	})
	t.Run("tickets arrive, each as it was sent", func(t *testing.T) {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
			QueueName:  aws.String("tickets"),
			Attributes: map[string]string{string(types.QueueAttributeNameVisibilityTimeout): "3600"},
		})
		if err != nil {
			t.Fatal(err)
		}
		waiting := map[run.Ticket]bool{}
		var tickets []run.Ticket
		for i := range 25 {
			ticket := run.Ticket{Rule: "mirror <&> ü", Run: 1 << 40, Shard: fmt.Sprintf("1.%d", i+1), Phase: run.Deleting, Hop: i}
			tickets = append(tickets, ticket)
			waiting[ticket] = true
		}
		if err := (queue.Tickets{Queue: queue.New(config, *out.QueueUrl)}).Send(t.Context(), tickets); err != nil {
			t.Fatal(err)
		}
		for tries := 0; len(waiting) > 0 && tries < 100; tries++ {
			for _, m := range receive(t, client, *out.QueueUrl) {
				got, err := run.Decode(m.Body)
				if err != nil || !waiting[got] {
					t.Errorf("received %q: %+v, %v", m.Body, got, err)
				}
				delete(waiting, got)
			}
		}
		if len(waiting) > 0 {
			t.Errorf("never received: %v", waiting)
		}
	})
	t.Run("a queue that does not exist", func(t *testing.T) {
		q := queue.New(config, *config.BaseEndpoint+"/000000000000/nothing-of-that-name")
		for name, err := range map[string]error{
			"send":     q.Send(t.Context(), []string{"b"}),
			"defer":    q.Defer(t.Context(), event.Message{ID: "m", Body: "b"}, 0),
			"back off": q.Backoff(t.Context(), event.Message{ID: "m", Receipt: "r"}, 0),
		} {
			if object.ClassOf(err) != object.Permanent {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// receive hands messages over as Lambda does, so that they are read as the
// functions read them.
func receive(t *testing.T, client *sqs.Client, url string) []event.Message {
	t.Helper()
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl:                    &url,
		MaxNumberOfMessages:         10,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	var batch lambda.SQSEvent
	for _, m := range out.Messages {
		record := lambda.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body,
			Attributes: m.Attributes, MessageAttributes: map[string]lambda.SQSMessageAttribute{},
		}
		for name, v := range m.MessageAttributes {
			record.MessageAttributes[name] = lambda.SQSMessageAttribute{StringValue: v.StringValue, DataType: *v.DataType}
		}
		batch.Records = append(batch.Records, record)
	}
	return event.Messages(batch)
}
