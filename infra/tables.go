package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// tables are what the stack remembers. They outlive it: outside a local cloud
// they are protected from deletion and kept when the stack goes.
type tables struct {
	construct constructs.Construct
	// Rules holds the rules and their pause state, Provenance one item per
	// replica, Runs the runs, their shards and the failures.
	Rules, Provenance, Runs awsdynamodb.Table
}

func newTables(scope constructs.Construct, id string, local bool) tables {
	this := tables{construct: constructs.NewConstruct(scope, jsii.String(id))}
	table := func(id string, props awsdynamodb.TableProps) awsdynamodb.Table {
		props.BillingMode = awsdynamodb.BillingMode_PAY_PER_REQUEST
		props.DeletionProtection = jsii.Bool(!local)
		props.PointInTimeRecoverySpecification = &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(!local),
		}
		props.RemovalPolicy = awscdk.RemovalPolicy_RETAIN
		if local {
			props.RemovalPolicy = awscdk.RemovalPolicy_DESTROY
		}
		return awsdynamodb.NewTable(this.construct, jsii.String(id), &props)
	}
	this.Rules = table("Rules", awsdynamodb.TableProps{PartitionKey: text("name")})
	this.Provenance = table("Provenance", awsdynamodb.TableProps{PartitionKey: text("address")})
	this.Runs = table("Runs", awsdynamodb.TableProps{
		PartitionKey:        text("rule"),
		SortKey:             text("item"),
		TimeToLiveAttribute: jsii.String("expires"),
	})
	// Sparse: only failures that will be retried have the attribute.
	this.Runs.AddGlobalSecondaryIndex(&awsdynamodb.GlobalSecondaryIndexProps{
		IndexName:    jsii.String("retry"),
		PartitionKey: text("rule"),
		SortKey:      &awsdynamodb.Attribute{Name: jsii.String("retry_at"), Type: awsdynamodb.AttributeType_NUMBER},
	})
	return this
}

func text(name string) *awsdynamodb.Attribute {
	return &awsdynamodb.Attribute{Name: jsii.String(name), Type: awsdynamodb.AttributeType_STRING}
}

// allowTable allows DynamoDB actions on a table and its indexes.
func allowTable(function awslambda.Function, table awsdynamodb.Table, actions ...string) {
	for i, action := range actions {
		actions[i] = "dynamodb:" + action
	}
	table.Grant(function, *jsii.Strings(actions...)...)
}
