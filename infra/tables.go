package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/ledger/schema"
)

// tables are what the stack remembers. They outlive it: outside a local cloud
// they are protected from deletion and kept when the stack goes.
type tables struct {
	construct constructs.Construct
	// Rules holds the rules and their pause state, Provenance one item per
	// replica, Runs the runs, their shards and the failures, Transfers the copies
	// by parts that are under way.
	Rules, Provenance, Runs, Transfers awsdynamodb.Table
}

func newTables(scope constructs.Construct, id string, local bool) tables {
	this := tables{construct: constructs.NewConstruct(scope, jsii.String(id))}
	this.Rules = newTable(this.construct, "Rules", schema.Rules, local)
	this.Provenance = newTable(this.construct, "Provenance", schema.Provenance, local)
	this.Runs = newTable(this.construct, "Runs", schema.Runs, local)
	this.Transfers = newTable(this.construct, "Transfers", schema.Transfers, local)
	return this
}

func newTable(scope constructs.Construct, id string, s schema.Table, local bool) awsdynamodb.Table {
	props := &awsdynamodb.TableProps{
		PartitionKey:       attribute(s.PartitionKey, awsdynamodb.AttributeType_STRING),
		BillingMode:        awsdynamodb.BillingMode_PAY_PER_REQUEST,
		DeletionProtection: jsii.Bool(!local),
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(!local),
		},
		RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
	}
	if local {
		props.RemovalPolicy = awscdk.RemovalPolicy_DESTROY
	}
	if s.SortKey != "" {
		props.SortKey = attribute(s.SortKey, awsdynamodb.AttributeType_STRING)
	}
	if s.TTL != "" {
		props.TimeToLiveAttribute = jsii.String(s.TTL)
	}
	table := awsdynamodb.NewTable(scope, jsii.String(id), props)
	for _, index := range s.Indexes {
		table.AddGlobalSecondaryIndex(&awsdynamodb.GlobalSecondaryIndexProps{
			IndexName:    jsii.String(index.Name),
			PartitionKey: attribute(index.PartitionKey, awsdynamodb.AttributeType_STRING),
			SortKey:      attribute(index.SortKey, awsdynamodb.AttributeType_NUMBER),
		})
	}
	return table
}

func attribute(name string, of awsdynamodb.AttributeType) *awsdynamodb.Attribute {
	return &awsdynamodb.Attribute{Name: jsii.String(name), Type: of}
}

// allowTable allows DynamoDB actions on the items of a table. A transaction is
// allowed by the actions of its parts.
func allowTable(function awslambda.Function, table awsdynamodb.Table, actions ...string) {
	allowItems(function, table.TableArn(), actions...)
}

// allowIndex allows to find items by an index of a table.
func allowIndex(function awslambda.Function, table awsdynamodb.Table, index schema.Index) {
	allowItems(function, jsii.String(*table.TableArn()+"/index/"+index.Name), "Query")
}

func allowItems(function awslambda.Function, arn *string, actions ...string) {
	var names []string
	for _, action := range actions {
		names = append(names, "dynamodb:"+action)
	}
	function.AddToRolePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings(names...),
		Resources: &[]*string{arn},
	}))
}
