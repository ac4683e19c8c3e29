// Command reconcile is the worker of runs: it takes tickets from the shards
// queue, each one a range of keys of one rule to bring into step. See package
// reconcile.
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
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"
	"bucket-replicator/shared/verify"

	"github.com/aws/aws-lambda-go/lambda"
)

// concurrency bounds how many objects one function copies or deletes at a time.
// S3 takes 3,500 writes per second and prefix, and answers one in about 40 ms.
const concurrency = 128

// saveGap lets a thousand workers save no more often than half of what one
// partition of the table takes.
const saveGap = 2 * time.Second

// patience is how long an object waits for its rule's limits before its shard is
// put away, so that others do not wait beside it.
const patience = 30 * time.Second

func main() {
	env, err := config.ReadReconcile(os.Getenv)
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
	tickets := queue.New(aws, env.ShardsQueueURL)
	metrics := telemetry.NewMetrics(env.MetricsNamespace, os.Stdout, time.Now)
	runs := run.New(items, queue.Tickets{Queue: tickets}, time.Now)
	runs.OnEnd = run.Report(log, metrics)
	handler := &reconcile.Handler{
		Worker: &reconcile.Worker{
			Replicator: replicator,
			Verifier: &verify.Verifier{
				Objects:   objects,
				Ledger:    items,
				Now:       time.Now,
				Sleep:     sleep,
				LeaseTTL:  env.VisibilityTimeout,
				Transfers: items,
				ByParts:   env.Transfers.Threshold,
			},
			Runs:     runs,
			Lister:   objects,
			Failures: items,
			Hours:    items,
			Metrics:  metrics,
			Log:      log,
			Now:      time.Now,
			Workers:  int64(env.SweepConcurrency),
			SaveGap:  saveGap,
			Slots:    make(chan struct{}, concurrency),
		},
		Queue:  tickets,
		Jitter: mathrand.Float64,
	}
	lambda.Start(handler.Handle)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
