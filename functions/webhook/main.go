// Command webhook takes the events of backends that send none to EventBridge:
// see package webhook.
package main

import (
	"context"
	"os"
	"time"

	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/config"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/webhook"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	env, err := config.ReadWebhook(os.Getenv)
	log := telemetry.NewLogger(os.Stdout, env.LogLevel)
	if err != nil {
		telemetry.Exit(log, err)
	}
	aws, err := awsconfig.Load(context.Background())
	if err != nil {
		telemetry.Exit(log, err)
	}
	handler := &webhook.Handler{
		Secrets: map[string]func(context.Context) (string, error){},
		Queue:   queue.New(aws, env.EventsQueueURL),
		Log:     log,
		Now:     time.Now,
	}
	for backend, arn := range env.Secrets {
		handler.Secrets[backend] = awsconfig.Secret(aws, arn)
	}
	lambda.Start(handler.Handle)
}
