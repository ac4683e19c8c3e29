// Command replicate is the event Lambda: it takes batches of S3 notifications
// from the events queue, and copies or deletes one object at a time. See
// package replicate.
package main

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"os"
	"time"

	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"

	"github.com/aws/aws-lambda-go/lambda"
)

// patience is how long an object waits for its rule's limits before its message is
// put back, which costs as much as a function that waits for some seconds.
const patience = 2 * time.Second

func main() {
	env, err := config.ReadReplicate(os.Getenv)
	log := telemetry.NewLogger(os.Stdout, env.LogLevel)
	if err != nil {
		telemetry.Exit(log, err)
	}
	aws, err := awsconfig.Load(context.Background())
	if err != nil {
		telemetry.Exit(log, err)
	}
	var replicator *replicate.Replicator
	items := ledger.New(aws, ledger.Tables{
		Rules: env.RulesTable, Provenance: env.ProvenanceTable, Runs: env.RunsTable, Transfers: env.Transfers.Table,
	})
	objects := s3store.New(aws, s3store.Options{
		Backends:      func() []rule.Backend { return replicator.Backends() },
		Credentials:   awsconfig.Credentials(aws),
		Memory:        items,
		RequesterPays: func(b object.Bucket) bool { return replicator.RequesterPays(b) },
	})
	replicator = replicate.New(objects, items, items, time.Now, env.VisibilityTimeout)
	replicator.Transfers, replicator.ByParts = &transfer.Transfers{
		Store: items, Queue: queue.New(aws, env.Transfers.QueueURL), Now: time.Now, NewID: rand.Text,
	}, env.Transfers.Threshold
	replicator.Limits = &limit.Limiter{Store: items, Now: time.Now, Holder: rand.Text(), Patience: patience}
	handler := &replicate.Handler{
		Replicator:  replicator,
		Ledger:      items,
		Queue:       queue.New(aws, env.EventsQueueURL),
		Metrics:     telemetry.NewMetrics(env.MetricsNamespace, os.Stdout, time.Now),
		Log:         log,
		Now:         time.Now,
		Jitter:      mathrand.Float64,
		MaxReceives: env.MaxReceives,
	}
	lambda.Start(handler.Handle)
}
