package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// newOutpostStack stands in a source region other than home and forwards the
// events of the sources there to the bus at home.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html
func newOutpostStack(app constructs.Construct, settings Settings, t topology, region string) awscdk.Stack {
	stack := newStack(app, settings.StackName+"-"+region, settings, region,
		"Forwards S3 events to the replicator in "+t.Home)

	bus := stack.FormatArn(&awscdk.ArnComponents{
		Service:      jsii.String("events"),
		Region:       jsii.String(t.Home),
		Resource:     jsii.String("event-bus"),
		ResourceName: jsii.String(forwardedBusName(settings)),
	})
	role := awsiam.NewRole(stack, jsii.String("Forwarder"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil),
	})
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions:   jsii.Strings("events:PutEvents"),
		Resources: &[]*string{bus},
	}))
	var rules []busRule
	for _, p := range patternsFor(t.sources(region)) {
		rules = append(rules, busRule{Pattern: p})
	}
	sources := newSourceEvents(stack, "Sources", settings, rules, bus, role.RoleArn())

	alarms := newAlarms(stack, "Alarms", settings)
	alarms.deadLetters("UndeliveredEvents", sources.Undelivered, "Events that EventBridge could not forward to the home region. Look at the ERROR_CODE attribute, then `make redrive`.")
	output(stack, "UndeliveredEventsUrl", sources.Undelivered.QueueUrl())
	output(stack, "AlarmTopicArn", alarms.Topic.TopicArn())
	return stack
}
