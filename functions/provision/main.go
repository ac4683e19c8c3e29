// Command provision is the stack's custom resource: see package provision.
package main

import (
	"net/http"
	"os"
	"path/filepath"
	"time"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/provision"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/wiring"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	env, err := config.ReadProvision(os.Getenv)
	log, aws := wiring.Start(env.Function, err)
	resource := &provision.Resource{
		Provisioner: provision.Provisioner{
			Rules:         ledger.New(aws, ledger.Tables{Rules: env.RulesTable}),
			Notifications: s3store.NewNotifications(aws),
			Now:           time.Now,
		},
		ConfigFile: filepath.Join(os.Getenv("LAMBDA_TASK_ROOT"), "configuration.json"),
		Client:     http.DefaultClient,
		Log:        log,
	}
	lambda.Start(resource.Handle)
}
