package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdaeventsources"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
)

// newReplicate makes the event function: one message, one object, one
// conditional copy or delete.
func newReplicate(scope constructs.Construct, id string, settings Settings, t topology, tables tables, queues eventQueues) awslambda.Function {
	stack := awscdk.Stack_Of(scope)
	function := newFunction(scope, id, functionProps{
		Description: "Replicates the object that an S3 event points at",
		Code:        filepath.Join(settings.Dist, goarch(settings.Local), "replicate"),
		Timeout:     replicateTimeout,
		Memory:      512,
		Local:       settings.Local,
		PutsBack:    true,
		Environment: map[string]*string{
			variables.RulesTable:        tables.Rules.TableName(),
			variables.ProvenanceTable:   tables.Provenance.TableName(),
			variables.RunsTable:         tables.Runs.TableName(),
			variables.EventsQueueURL:    queues.Events.QueueUrl(),
			variables.MaxReceives:       jsii.String(fmt.Sprint(maxReceives)),
			variables.VisibilityTimeout: jsii.String(fmt.Sprint(eventsVisibility)),
			variables.MetricsNamespace:  jsii.String(settings.metricsNamespace()),
			variables.LogLevel:          jsii.String(settings.LogLevel),
		},
		Policy: slices.Concat(
			replicateAccess(*stack.Partition(), t),
			keyAccess(stack, slices.Concat(t.Keys, settings.KMSKeys)),
		),
	})
	if settings.Local {
		// The local cloud's S3 ignores destination conditions on CopyObject.
		function.AddEnvironment(jsii.String(variables.EmulatedConditions), jsii.String("copy"), nil)
	}
	allowTable(function, tables.Rules, "BatchGetItem", "GetItem", "Scan")
	allowTable(function, tables.Provenance, "BatchGetItem", "PutItem", "DeleteItem")
	allowTable(function, tables.Runs, "UpdateItem")
	queues.Events.GrantSendMessages(function)
	function.AddEventSource(awslambdaeventsources.NewSqsEventSource(queues.Events, &awslambdaeventsources.SqsEventSourceProps{
		BatchSize:               jsii.Number(10),
		MaxConcurrency:          jsii.Number(settings.MaxConcurrency),
		ReportBatchItemFailures: jsii.Bool(true),
	}))
	return function
}
