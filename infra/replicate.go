package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdaeventsources"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
)

// replicateTimeout leaves room for a copy of 5 GiB, the largest that S3 makes in
// one request.
const replicateTimeout = 120 // seconds

// newReplicate makes the event function: one message, one object, one
// conditional copy or delete.
func newReplicate(scope constructs.Construct, id string, settings Settings, t topology, tables tables, events workQueue) awslambda.Function {
	function := newFunction(scope, id, settings, tables, functionProps{
		Description: "Replicates the object that an S3 event points at",
		Code:        settings.code("replicate"),
		Timeout:     replicateTimeout,
		Memory:      512,
		PutsBack:    true,
		Environment: map[string]*string{
			variables.ProvenanceTable:   tables.Provenance.TableName(),
			variables.RunsTable:         tables.Runs.TableName(),
			variables.EventsQueueURL:    events.Queue.QueueUrl(),
			variables.MaxReceives:       jsii.String(fmt.Sprint(maxReceives)),
			variables.VisibilityTimeout: jsii.String(fmt.Sprint(events.Visibility)),
		},
		Policy: objectAccess(awscdk.Stack_Of(scope), settings, t, copying),
	})
	allowTable(function, tables.Rules, "BatchGetItem", "GetItem", "Scan")
	allowTable(function, tables.Provenance, "BatchGetItem", "PutItem", "DeleteItem")
	allowTable(function, tables.Runs, "Query", "UpdateItem", "DeleteItem")
	events.Queue.GrantSendMessages(function)
	function.AddEventSource(awslambdaeventsources.NewSqsEventSource(events.Queue, &awslambdaeventsources.SqsEventSourceProps{
		BatchSize:               jsii.Number(10),
		MaxConcurrency:          jsii.Number(settings.MaxConcurrency),
		ReportBatchItemFailures: jsii.Bool(true),
	}))
	return function
}
