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
	"bucket-replicator/shared/webhook"
	"bucket-replicator/shared/wiring"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	env, err := config.ReadWebhook(os.Getenv)
	log, aws := wiring.Start(env.Function, err)
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
