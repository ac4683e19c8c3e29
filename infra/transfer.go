package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdaeventsources"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger/schema"
)

// transferTimeout is the longest that Lambda has: the larger an object, the
// longer each of its parts takes.
const transferTimeout = 900 // seconds

// transfers is where large objects wait for the workers that copy them by parts.
type transfers struct {
	tables tables
	queue  workQueue
}

// handOver lets a function hand large objects over, and tells it where.
func (t transfers) handOver(function awslambda.Function, settings Settings) {
	function.AddEnvironment(jsii.String(variables.TransfersTable), t.tables.Transfers.TableName(), nil)
	function.AddEnvironment(jsii.String(variables.TransfersQueueURL), t.queue.Queue.QueueUrl(), nil)
	function.AddEnvironment(jsii.String(variables.TransferThreshold), jsii.String(fmt.Sprint(settings.TransferThreshold)), nil)
	allowTable(function, t.tables.Transfers, "GetItem", "PutItem")
	allowSend(function, t.queue.Queue, settings)
}

// revive lets the schedule invite workers to transfers that nobody is at.
func (t transfers) revive(function awslambda.Function, settings Settings) {
	function.AddEnvironment(jsii.String(variables.TransfersTable), t.tables.Transfers.TableName(), nil)
	function.AddEnvironment(jsii.String(variables.TransfersQueueURL), t.queue.Queue.QueueUrl(), nil)
	function.AddEnvironment(jsii.String(variables.TransferWorkers), workersOf(settings), nil)
	allowTable(function, t.tables.Transfers, "PutItem")
	allowIndex(function, t.tables.Transfers, schema.Silent)
	allowSend(function, t.queue.Queue, settings)
}

// show lets a function tell how far transfers are.
func (t transfers) show(function awslambda.Function) {
	function.AddEnvironment(jsii.String(variables.TransfersTable), t.tables.Transfers.TableName(), nil)
	allowTable(function, t.tables.Transfers, "GetItem", "Query")
	allowIndex(function, t.tables.Transfers, schema.Silent)
	allowIndex(function, t.tables.Transfers, schema.Longest)
}

func workersOf(settings Settings) *string {
	return jsii.String(fmt.Sprint(settings.TransferConcurrency))
}

// newTransfer makes the workers: one message, one worker, one part at a time.
func newTransfer(scope constructs.Construct, id string, settings Settings, t topology, of transfers, events workQueue) awslambda.Function {
	function := newFunction(scope, id, settings, of.tables, functionProps{
		Description: "Copies parts of large objects",
		Code:        settings.code("transfer"),
		Timeout:     transferTimeout,
		// Where S3 copies, a worker only waits. What goes through it needs 64 MiB
		// beside the function's own at most, and about a third of a CPU for two
		// checksums at 100 MB/s.
		Memory:   512,
		PutsBack: true,
		Environment: map[string]*string{
			variables.ProvenanceTable:   of.tables.Provenance.TableName(),
			variables.RunsTable:         of.tables.Runs.TableName(),
			variables.TransfersTable:    of.tables.Transfers.TableName(),
			variables.TransfersQueueURL: of.queue.Queue.QueueUrl(),
			variables.EventsQueueURL:    events.Queue.QueueUrl(),
			variables.TransferWorkers:   workersOf(settings),
			variables.MaxReceives:       jsii.String(fmt.Sprint(maxReceives)),
			variables.VisibilityTimeout: jsii.String(fmt.Sprint(events.Visibility)),
		},
		Policy: objectAccess(awscdk.Stack_Of(scope), settings, t, transferring),
	})
	allowTable(function, of.tables.Rules, "BatchGetItem", "GetItem", "Scan")
	allowTable(function, of.tables.Provenance, "BatchGetItem", "PutItem", "DeleteItem")
	allowTable(function, of.tables.Runs, "Query", "UpdateItem", "DeleteItem")
	allowTable(function, of.tables.Transfers, "GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")
	allowSend(function, of.queue.Queue, settings)
	allowSend(function, events.Queue, settings)
	function.AddEventSource(awslambdaeventsources.NewSqsEventSource(of.queue.Queue, &awslambdaeventsources.SqsEventSourceProps{
		BatchSize:               jsii.Number(1), // a worker takes the whole of an invocation
		MaxConcurrency:          jsii.Number(settings.TransferConcurrency),
		ReportBatchItemFailures: jsii.Bool(true),
	}))
	return function
}

// transferring is what copying by parts takes: the version that is pinned is
// read, its tags too, and uploads of ours that were left behind are looked for.
// It deletes nothing.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html#mpuAndPermissions
func transferring(partition string, buckets []bucket) access {
	a := copying(partition, buckets)
	delete(a, "s3:DeleteObject")
	a.uploading(partition, buckets)
	return a
}

// uploading adds what uploads by parts take beside a copy.
func (a access) uploading(partition string, buckets []bucket) {
	for _, b := range buckets {
		for _, prefix := range shortest(b.Reads) {
			arn := objectsARN(partition, b, prefix)
			a.allow(arn, "s3:GetObjectVersion")
			if b.CopiesTags {
				a.allow(arn, "s3:GetObjectVersionTagging")
			}
		}
		if b.Writes != nil {
			a.allow(bucketARN(partition, b), "s3:ListBucketMultipartUploads")
		}
		for _, prefix := range shortest(b.Writes) {
			a.allow(objectsARN(partition, b, prefix), "s3:AbortMultipartUpload")
		}
	}
}
