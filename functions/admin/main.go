// Command admin is the administration API: see package adminapi.
package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"bucket-replicator/shared/adminapi"
	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/config"
	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/telemetry"

	"github.com/aws/aws-lambda-go/lambda"
)

// lookers bounds how many objects are looked at, at a time.
const lookers = 32

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
	var replicator *replicate.Replicator
	items := ledger.New(aws, ledger.Tables{
		Rules: env.RulesTable, Provenance: env.ProvenanceTable, Runs: env.RunsTable, Transfers: env.TransfersTable,
	})
	objects := s3store.New(aws, s3store.Options{
		Backends:      func() []rule.Backend { return replicator.Backends() },
		Credentials:   awsconfig.Credentials(aws),
		RequesterPays: func(b object.Bucket) bool { return replicator.RequesterPays(b) },
	})
	replicator = replicate.New(objects, items, items, time.Now, env.VisibilityTimeout)
	handler := &adminapi.Handler{
		Catalogs: items,
		Runs:     run.New(items, queue.Tickets{Queue: queue.New(aws, env.ShardsQueueURL)}, time.Now),
		Store:    items,
		Failures: items,
		Hours:    items,

		Capabilities: items,

		Inspect: &inspect.Inspector{
			Replicator: replicator,
			Failures:   items,
			Transfers:  items,
			Lister:     objects,
			Now:        time.Now,
			Slots:      make(chan struct{}, lookers),
		},
		Assets: os.DirFS(filepath.Join(os.Getenv("LAMBDA_TASK_ROOT"), "assets")),
		Log:    log,
		Now:    time.Now,
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
