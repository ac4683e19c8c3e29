package main

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/rule"
)

// newSchedule makes the function that starts the runs that are due, brings those
// on that stand still, and sends failures whose retry is due to the event
// function again. It runs at every tick, whatever rules are deployed: rules are
// made at run time too.
func newSchedule(scope constructs.Construct, id string, settings Settings, tick rule.Duration, tables tables, shards, events workQueue) awslambda.Function {
	function := newFunction(scope, id, settings, tables, functionProps{
		Description: "Starts the full reconciles that are due, at every tick",
		Code:        settings.code("schedule"),
		Timeout:     60,
		Memory:      256,
		Environment: map[string]*string{
			variables.RunsTable:      tables.Runs.TableName(),
			variables.ShardsQueueURL: shards.Queue.QueueUrl(),
			variables.EventsQueueURL: events.Queue.QueueUrl(),
		},
	})
	allowTable(function, tables.Rules, "GetItem", "Scan")
	allowTable(function, tables.Runs, "BatchGetItem", "GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")
	allowIndex(function, tables.Runs, schema.Retries)
	allowSend(function, shards.Queue, settings)
	allowSend(function, events.Queue, settings)

	// A tick that failed or came late is not made up for: the next one finds
	// the same things due.
	const late = 60 // seconds, the least there is
	function.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
		RetryAttempts: jsii.Number(0),
		MaxEventAge:   awscdk.Duration_Seconds(jsii.Number(late)),
	})
	ticks := awsevents.NewCfnRule(scope, jsii.String(id+"Ticks"), &awsevents.CfnRuleProps{
		Description:        jsii.String("Looks for full reconciles that are due"),
		ScheduleExpression: jsii.String(rate(time.Duration(tick))),
		Targets: []any{&awsevents.CfnRule_TargetProperty{
			Id:  jsii.String("schedule"),
			Arn: function.FunctionArn(),
			RetryPolicy: &awsevents.CfnRule_RetryPolicyProperty{
				MaximumRetryAttempts:     jsii.Number(0),
				MaximumEventAgeInSeconds: jsii.Number(late),
			},
		}},
	})
	function.AddPermission(jsii.String("Ticks"), &awslambda.Permission{
		Principal: awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil),
		SourceArn: ticks.AttrArn(),
	})
	return function
}

// rate is how EventBridge writes whole minutes.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
func rate(d time.Duration) string {
	if d == time.Minute {
		return "rate(1 minute)"
	}
	return fmt.Sprintf("rate(%d minutes)", int(d.Minutes()))
}
