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

// reconcileTimeout is the longest that Lambda has: a worker that comes to it
// saves its cursor and puts the rest of its shard back, which costs requests.
const reconcileTimeout = 900 // seconds

// newReconcile makes the workers of a run: one message, one range of keys.
func newReconcile(scope constructs.Construct, id string, settings Settings, t topology, tables tables, shards, events workQueue) awslambda.Function {
	function := newFunction(scope, id, settings, tables, functionProps{
		Description: "Walks one range of keys of a full reconcile",
		Code:        settings.code("reconcile"),
		Timeout:     reconcileTimeout,
		// One virtual CPU, which is what Lambda gives at this size. Two
		// listings are decoded, at about 14 ms of CPU for a page of 1,000 keys
		// each, and many copies are in flight: with a part of a CPU decoding
		// would set the pace and not S3. What it costs more is less than the
		// listings cost.
		// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
		Memory:   1769,
		PutsBack: true,
		Environment: map[string]*string{
			variables.ProvenanceTable:   tables.Provenance.TableName(),
			variables.RunsTable:         tables.Runs.TableName(),
			variables.ShardsQueueURL:    shards.Queue.QueueUrl(),
			variables.SweepConcurrency:  jsii.String(fmt.Sprint(settings.SweepConcurrency)),
			variables.VisibilityTimeout: jsii.String(fmt.Sprint(events.Visibility)),
		},
		Policy: objectAccess(awscdk.Stack_Of(scope), settings, t, copying),
	})
	allowTable(function, tables.Rules, "BatchGetItem", "GetItem", "Scan")
	allowTable(function, tables.Provenance, "BatchGetItem", "PutItem", "DeleteItem")
	allowTable(function, tables.Runs, "BatchGetItem", "GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")
	allowSend(function, shards.Queue, settings)
	function.AddEventSource(awslambdaeventsources.NewSqsEventSource(shards.Queue, &awslambdaeventsources.SqsEventSourceProps{
		BatchSize:               jsii.Number(1), // a shard takes the whole of an invocation
		MaxConcurrency:          jsii.Number(settings.SweepConcurrency),
		ReportBatchItemFailures: jsii.Bool(true),
	}))
	return function
}
