// Command transfer is the worker of large objects: each message of the transfers
// queue invites it to one that is copied by parts. See package transfer.
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

// patience is how long a part waits for its rule's limits before the rest is left
// to later.
const patience = 30 * time.Second

func main() {
	env, err := config.ReadTransfer(os.Getenv)
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
		Rules: env.RulesTable, Provenance: env.ProvenanceTable, Runs: env.RunsTable, Transfers: env.TransfersTable,
	})
	objects := s3store.New(aws, s3store.Options{
		Backends:      func() []rule.Backend { return replicator.Backends() },
		Credentials:   awsconfig.Credentials(aws),
		Memory:        items,
		RequesterPays: func(b object.Bucket) bool { return replicator.RequesterPays(b) },
	})
	replicator = replicate.New(objects, items, items, time.Now, env.VisibilityTimeout)
	replicator.Limits = &limit.Limiter{Store: items, Now: time.Now, Holder: rand.Text(), Patience: patience}
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
