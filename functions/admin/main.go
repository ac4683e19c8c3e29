// Command admin is the administration API: see package adminapi.
package main

import (
	"os"
	"path/filepath"
	"time"

	"bucket-replicator/shared/adminapi"
	"bucket-replicator/shared/config"
	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/wiring"

	"github.com/aws/aws-lambda-go/lambda"
)

// lookers bounds how many objects are looked at, at a time.
const lookers = 32

func main() {
	env, err := config.ReadAdmin(os.Getenv)
	log, aws := wiring.Start(env.Function, err)
	items, objects, replicator := wiring.Replicator(aws, env.Replication)
	handler := &adminapi.Handler{
		Catalogs: items,
		Runs:     run.New(items, queue.Tickets{Queue: queue.New(aws, env.ShardsQueueURL)}, time.Now),
		Store:    items,
		Failures: items,
		Hours:    items,

		Transfers:    items,
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
		Sleep:  wiring.Sleep,
	}
	lambda.Start(handler.Handle)
}
