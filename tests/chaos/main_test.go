// Package chaos kills workers, of a full reconcile and of a large object, as
// nothing else does: with SIGKILL, as processes of their own, over real servers.
// The tests start this test's own binary again as a worker; what a worker is made
// of is what functions/reconcile and functions/transfer have, but for a lease of
// seconds.
package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// workers work at a time.
	workers = 3
	// lease that a killed worker leaves behind. Twice as long after its end, a
	// tick sends another ticket.
	lease = time.Second
	// placeVariable makes the binary a worker at the place that it tells of.
	placeVariable = "CHAOS_WORKER"
)

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(placeVariable)
	if !ok {
		os.Exit(m.Run())
	}
	go func() { // a worker goes with the test, however that ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	var p place
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = p.work(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// place is where everything is. Credentials and the endpoint of DynamoDB and
// SQS come with the environment.
type place struct {
	S3     string // endpoint of the buckets
	Tables ledger.Tables
	Queue  string // URL of the shards queue, or of the transfers queue
	// To is the endpoint of the destination where the workers copy a large object.
	To string
}

const backend = "gateway"

// stores are what the workers share.
func (p place) stores(account aws.Config) (*ledger.Ledger, *run.Runs) {
	items := ledger.New(account, p.Tables)
	runs := run.New(items, queue.Tickets{Queue: queue.New(account, p.Queue)}, time.Now)
	runs.Lease = lease
	return items, runs
}

// work takes tickets until it is killed. It does not return without an error.
func (p place) work(ctx context.Context) error {
	account, err := awsconfig.Load(ctx)
	if err != nil {
		return err
	}
	items, runs := p.stores(account)
	var replicator *replicate.Replicator
	objects := s3store.New(account, s3store.Options{
		Backends: func() []rule.Backend { return replicator.Backends() },
		Emulated: map[string]s3store.Conditions{backend: {Copy: true}},
	})
	replicator = replicate.New(objects, items, items, time.Now, 12*time.Minute)
	if p.To != "" {
		large := &transfer.Handler{
			Worker: &transfer.Worker{
				Transfers: p.transfers(account, items), Replicator: replicator, Objects: objects, Failures: items, Hours: items, Events: discard{},
				Metrics: telemetry.NewMetrics("chaos", io.Discard, time.Now), Log: telemetry.NewLogger(os.Stderr, 0),
			},
			Queue: queue.New(account, p.Queue), Jitter: rand.Float64, MaxReceives: 6,
		}
		return p.receive(ctx, account, large.Handle)
	}
	handler := &reconcile.Handler{
		Worker: &reconcile.Worker{
			Replicator: replicator, Runs: runs, Lister: objects, Failures: items, Hours: items,
			Metrics: telemetry.NewMetrics("chaos", io.Discard, time.Now), Log: telemetry.NewLogger(os.Stderr, 0), Now: time.Now,
			Workers: workers, SaveGap: 100 * time.Millisecond, Slots: make(chan struct{}, 32),
		},
		Queue: queue.New(account, p.Queue), Jitter: rand.Float64,
	}
	return p.receive(ctx, account, handler.Handle)
}

// receive has messages handled, one at a time, for good.
func (p place) receive(ctx context.Context, account aws.Config, handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)) error {
	client := sqs.NewFromConfig(account)
	for {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &p.Queue, MaxNumberOfMessages: 1, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			return err
		}
		for _, m := range out.Messages {
			answer, err := handle(ctx, events.SQSEvent{Records: []events.SQSMessage{{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
			}}})
			if err != nil {
				return err
			}
			if len(answer.BatchItemFailures) > 0 {
				continue
			}
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.Queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return err
			}
		}
	}
}
