// Command transfer is the worker of large objects: each message of the transfers
// queue invites it to one that is copied by parts. See package transfer.
package main

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"os"
	"time"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"
	"bucket-replicator/shared/wiring"

	"github.com/aws/aws-lambda-go/lambda"
)

// patience is how long a part waits for its rule's limits before the rest is left
// to later.
const patience = 30 * time.Second

func main() {
	env, err := config.ReadTransfer(os.Getenv)
	log, aws := wiring.Start(env.Function, err)
	items, objects, replicator := wiring.Replicator(aws, env.Replication)
	wiring.Limit(replicator, items, patience)
	tickets := queue.New(aws, env.TransfersQueueURL)
	handler := &transfer.Handler{
		Worker: &transfer.Worker{
			Transfers: &transfer.Transfers{
				Store: items, Queue: tickets, Now: time.Now, NewID: rand.Text, Workers: env.Workers,
			},
			Replicator: replicator,
			Objects:    objects,
			Failures:   items,
			Hours:      items,
			Events:     queue.New(aws, env.EventsQueueURL),
			Metrics:    telemetry.NewMetrics(env.MetricsNamespace, os.Stdout, time.Now),
			Log:        log,
		},
		Queue:       tickets,
		Jitter:      mathrand.Float64,
		MaxReceives: env.MaxReceives,
	}
	lambda.Start(handler.Handle)
}
