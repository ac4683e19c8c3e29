package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"bucket-replicator/localstack/cloud"
)

func TestRedriveSendsDeadLettersAgain(t *testing.T) {
	c, err := cloud.Start(t.Context(), cloud.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	client := sqs.NewFromConfig(c.AWS())
	queues := map[string]string{}
	for _, name := range []string{"s-events", "s-events-dead-letters", "s-undelivered", "s-shards", "s-shards-dead-letters", "s-transfers", "s-transfers-dead-letters"} {
		made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
		if err != nil {
			t.Fatal(err)
		}
		queues[name] = *made.QueueUrl
	}
	var want []string
	for i := range 12 { // more than one receive can answer
		body := strings.Repeat("x", i+1)
		want = append(want, body)
		send(t, client, queues["s-events-dead-letters"], body)
	}
	want = append(want, "undelivered")
	send(t, client, queues["s-undelivered"], "undelivered")
	send(t, client, queues["s-shards-dead-letters"], "a ticket")
	send(t, client, queues["s-transfers-dead-letters"], "another")

	// Somebody's delivery got lost: the message is hidden, and comes back.
	if _, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(queues["s-undelivered"]), VisibilityTimeout: 3,
	}); err != nil {
		t.Fatal(err)
	}

	for _, variable := range c.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	t.Setenv("AWS_PROFILE", "")
	var out bytes.Buffer
	account, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	account.HTTPClient = c.AWS().HTTPClient
	if err := redrive(t.Context(), account, "s", &out); err != nil {
		t.Fatal(err)
	}

	got := receiveAll(t, client, queues["s-events"])
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the events queue holds %q, want %q", got, want)
	}
	if got := receiveAll(t, client, queues["s-shards"]); !slices.Equal(got, []string{"a ticket"}) {
		t.Errorf("the shards queue holds %q", got)
	}
	if got := receiveAll(t, client, queues["s-transfers"]); !slices.Equal(got, []string{"another"}) {
		t.Errorf("the transfers queue holds %q", got)
	}
	for _, name := range []string{"s-transfers-dead-letters", "s-events-dead-letters", "s-undelivered", "s-shards-dead-letters"} {
		if left := receiveAll(t, client, queues[name]); len(left) > 0 {
			t.Errorf("%s still holds %q", name, left)
		}
	}
	for _, line := range []string{"12 messages from s-events-dead-letters to ", "1 messages from s-undelivered to ", "1 messages from s-shards-dead-letters to "} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it does not say %q:\n%s", line, out.String())
		}
	}
}

func send(t *testing.T, client *sqs.Client, queue, body string) {
	t.Helper()
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body}); err != nil {
		t.Fatal(err)
	}
}

func receiveAll(t *testing.T, client *sqs.Client, queue string) []string {
	t.Helper()
	var bodies []string
	for {
		got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: 600,
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Messages) == 0 {
			return bodies
		}
		for _, m := range got.Messages {
			bodies = append(bodies, aws.ToString(m.Body))
		}
	}
}
