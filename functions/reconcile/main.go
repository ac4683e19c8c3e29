// Command reconcile is the worker of runs: it takes tickets from the shards
// queue, each one a range of keys of one rule to bring into step. See package
// reconcile.
package main

import (
	"math/rand/v2"
	"os"
	"time"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/verify"
	"bucket-replicator/shared/wiring"

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
	log, aws := wiring.Start(env.Function, err)
	items, objects, replicator := wiring.Replicator(aws, env.Replication)
	wiring.ByParts(replicator, aws, items, env.ByParts)
	wiring.Limit(replicator, items, patience)
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
				Sleep:     wiring.Sleep,
				LeaseTTL:  env.VisibilityTimeout,
				Transfers: items,
				ByParts:   env.ByParts.Threshold,
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
		Jitter: rand.Float64,
	}
	lambda.Start(handler.Handle)
}
