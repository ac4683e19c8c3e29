package event

import "time"

// Message is one SQS message of a batch, as Lambda hands it over.
type Message struct {
	ID      string
	Receipt string // the receipt handle
	Body    string // untouched
	// Received counts deliveries, this one included, from 1
	// (ApproximateReceiveCount).
	Received int
	SentAt   time.Time
	// Deferrals counts how often the message was put back without a try. It
	// travels in the message attribute "deferrals".
	Deferrals int
}
