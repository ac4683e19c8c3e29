// Command admin is the administration API: see package adminapi.
package main

import (
	"context"
	"os"
	"time"

	"bucket-replicator/shared/adminapi"
	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/telemetry"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	env, err := config.ReadAdmin(os.Getenv)
	log := telemetry.NewLogger(os.Stdout, env.LogLevel)
	if err != nil {
		telemetry.Exit(log, err)
	}
	aws, err := awsconfig.Load(context.Background())
	if err != nil {
		telemetry.Exit(log, err)
	}
	items := ledger.New(aws, ledger.Tables{Rules: env.RulesTable, Runs: env.RunsTable})
	handler := &adminapi.Handler{
		Catalogs: items,
		Runs:     run.New(items, queue.Tickets{Queue: queue.New(aws, env.ShardsQueueURL)}, time.Now),
		Store:    items,
		Failures: items,
		Log:      log,
		Now:      time.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		},
	}
	lambda.Start(handler.Handle)
}
