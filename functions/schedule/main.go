// Command schedule does what is due, at every tick: see package schedule.
package main

import (
	"os"
	"time"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/schedule"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"
	"bucket-replicator/shared/wiring"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	env, err := config.ReadSchedule(os.Getenv)
	log, aws := wiring.Start(env.Function, err)
	items := ledger.New(aws, ledger.Tables{Rules: env.RulesTable, Runs: env.RunsTable, Transfers: env.TransfersTable})
	metrics := telemetry.NewMetrics(env.MetricsNamespace, os.Stdout, time.Now)
	runs := run.New(items, queue.Tickets{Queue: queue.New(aws, env.ShardsQueueURL)}, time.Now)
	runs.OnEnd = run.Report(log, metrics)
	handler := &schedule.Handler{
		Catalogs: items,
		Jobs:     items,
		Runs:     runs,
		Failures: items,
		Queue:    queue.New(aws, env.EventsQueueURL),
		Transfers: &transfer.Transfers{
			Store: items, Queue: queue.New(aws, env.TransfersQueueURL), Now: time.Now, Workers: env.Workers,
		},
		Metrics: metrics,
		Log:     log,
		Now:     time.Now,
	}
	lambda.Start(handler.Tick)
}
