package event_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	lambda "github.com/aws/aws-lambda-go/events"

	"bucket-replicator/events"
	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
)

func TestABatchFromLambdaBecomesMessagesAndTheirBodiesDecode(t *testing.T) {
	payload, err := events.FS.ReadFile("samples/sqs-batch/three-messages.json")
	if err != nil {
		t.Fatal(err)
	}
	var batch lambda.SQSEvent
	if err := json.Unmarshal(payload, &batch); err != nil {
		t.Fatal(err)
	}
	messages := event.Messages(batch)
	if len(messages) != 3 {
		t.Fatalf("%d messages, want 3", len(messages))
	}
	sent := time.Date(2026, 3, 1, 12, 0, 0, 500e6, time.UTC)
	want := []struct {
		received, deferrals int
		key                 string
	}{{1, 0, "first"}, {1, 2, "second"}, {4, 0, "third"}}
	for i, m := range messages {
		if m.ID != batch.Records[i].MessageId || m.Receipt != batch.Records[i].ReceiptHandle || m.Body != batch.Records[i].Body {
			t.Errorf("message %d is not record %d", i, i)
		}
		if m.Received != want[i].received || m.Deferrals != want[i].deferrals || !m.SentAt.Equal(sent) {
			t.Errorf("message %d: received %d, deferred %d, sent at %s", i, m.Received, m.Deferrals, m.SentAt)
		}
		result, err := event.Decode(m.Body, object.AWS)
		if err != nil || len(result.Changes) != 1 || result.Changes[0].Ref.Key != want[i].key {
			t.Errorf("message %d: %+v, %v", i, result, err)
		}
	}
}

func TestMalformedAttributesNeverLoseTheMessage(t *testing.T) {
	text := func(s string) lambda.SQSMessageAttribute { return lambda.SQSMessageAttribute{StringValue: &s} }
	tests := map[string]lambda.SQSMessage{
		"no attributes at all": {},
		"words for numbers": {
			Attributes:        map[string]string{"ApproximateReceiveCount": "many", "SentTimestamp": "today"},
			MessageAttributes: map[string]lambda.SQSMessageAttribute{"deferrals": text("often")},
		},
		"numbers out of range": {
			Attributes:        map[string]string{"ApproximateReceiveCount": "-3", "SentTimestamp": "-1"},
			MessageAttributes: map[string]lambda.SQSMessageAttribute{"deferrals": text("-1")},
		},
		"numbers beyond any integer": {
			Attributes:        map[string]string{"ApproximateReceiveCount": "99999999999999999999", "SentTimestamp": "99999999999999999999"},
			MessageAttributes: map[string]lambda.SQSMessageAttribute{"deferrals": text("99999999999999999999")},
		},
		"a binary deferrals attribute": {
			MessageAttributes: map[string]lambda.SQSMessageAttribute{"deferrals": {DataType: "Binary", BinaryValue: []byte{1}}},
		},
	}
	for situation, record := range tests {
		t.Run(situation, func(t *testing.T) {
			record.MessageId, record.ReceiptHandle, record.Body = "id", "receipt", "body"
			got := event.Messages(lambda.SQSEvent{Records: []lambda.SQSMessage{record}})
			want := []event.Message{{ID: "id", Receipt: "receipt", Body: "body", Received: 1}}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestABackoffDoubles(t *testing.T) {
	const first, most = 5 * time.Second, 5 * time.Minute
	for received, want := range map[int]time.Duration{0: first, 1: first, 2: 2 * first, 6: 32 * first, 7: most, 1000: most} {
		m := event.Message{Received: received}
		if least, almost := m.Backoff(first, most, 0), m.Backoff(first, most, 0.5); least != want/2 || almost != want*3/4 {
			t.Errorf("delivery %d: from %s, in the middle %s, want %s and %s", received, least, almost, want/2, want*3/4)
		}
	}
}
