// Command replicate is the event Lambda: it takes batches of S3 notifications
// from the events queue, and copies or deletes one object at a time. See
// package replicate.
package main

import (
	"math/rand/v2"
	"os"
	"time"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/wiring"

	"github.com/aws/aws-lambda-go/lambda"
)

// patience is how long an object waits for its rule's limits before its message is
// put back, which costs as much as a function that waits for some seconds.
const patience = 2 * time.Second

func main() {
	env, err := config.ReadReplicate(os.Getenv)
	log, aws := wiring.Start(env.Function, err)
	items, _, replicator := wiring.Replicator(aws, env.Replication)
	wiring.ByParts(replicator, aws, items, env.ByParts)
	wiring.Limit(replicator, items, patience)
	handler := &replicate.Handler{
		Replicator:  replicator,
		Ledger:      items,
		Queue:       queue.New(aws, env.EventsQueueURL),
		Metrics:     telemetry.NewMetrics(env.MetricsNamespace, os.Stdout, time.Now),
		Log:         log,
		Now:         time.Now,
		Jitter:      rand.Float64,
		MaxReceives: env.MaxReceives,
	}
	lambda.Start(handler.Handle)
}
