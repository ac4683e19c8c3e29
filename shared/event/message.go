// Package event turns wire bytes into what the use cases speak: the SQS batch
// that Lambda hands over into messages, and a message's body into changes.
package event

import (
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// DeferralsAttribute is the message attribute (a number) that counts deferrals.
const DeferralsAttribute = "deferrals"

// Message is one SQS message of a batch, as Lambda hands it over.
type Message struct {
	ID      string
	Receipt string // the receipt handle
	Body    string // untouched
	// Received counts deliveries, this one included, from 1
	// (ApproximateReceiveCount).
	Received int
	SentAt   time.Time // UTC; zero where the queue did not say
	// Deferrals counts how often the message was put back without a try. It
	// travels in the message attribute "deferrals".
	Deferrals int
}

// Backoff is the delay before the next delivery: first, doubled by each that there
// was up to most, and half of it random, so that a storm does not come back in
// step. jitter is in [0, 1).
func (m Message) Backoff(first, most time.Duration, jitter float64) time.Duration {
	d := min(first<<min(max(m.Received-1, 0), 20), most)
	return d/2 + time.Duration(jitter*float64(d/2))
}

// Messages reads a batch as Lambda's event source mapping delivers it, in its
// order. An attribute that is missing or malformed counts as its first value (a
// first delivery, never deferred): what is known of a message may be lost, the
// message never.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func Messages(batch events.SQSEvent) []Message {
	messages := make([]Message, 0, len(batch.Records))
	for _, r := range batch.Records {
		m := Message{
			ID:       r.MessageId,
			Receipt:  r.ReceiptHandle,
			Body:     r.Body,
			Received: max(1, number(r.Attributes["ApproximateReceiveCount"])),
		}
		if ms, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64); err == nil && ms > 0 {
			m.SentAt = time.UnixMilli(ms).UTC()
		}
		if a := r.MessageAttributes[DeferralsAttribute]; a.StringValue != nil {
			m.Deferrals = max(0, number(*a.StringValue))
		}
		messages = append(messages, m)
	}
	return messages
}

// number is s, or 0 where it is none.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
