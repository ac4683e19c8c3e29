package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/rule"
)

// newHomeStack is the replicator: everything but what must stand in another
// source region.
func newHomeStack(app constructs.Construct, settings Settings, config rule.Config, t topology) (awscdk.Stack, error) {
	stack := newStack(app, settings.StackName, settings, t.Home, "Replicates objects between S3 buckets")

	buckets := newBuckets(stack, "Buckets", t.Buckets, settings.Local)
	tables := newTables(stack, "Tables", settings.Local)
	queues := newEventQueues(stack, "Queues", settings)

	var rules []busRule
	for _, p := range patternsFor(t.sources(t.Home)) {
		rules = append(rules, busRule{Pattern: p})
	}
	if len(t.outposts()) > 0 {
		// It needs no policy: without one, only identities of this account
		// that may PutEvents on it can, and the stacks allow the forwarders.
		bus := awsevents.NewEventBus(stack, jsii.String("Forwarded"), &awsevents.EventBusProps{
			EventBusName: jsii.String(forwardedBusName(settings)),
		})
		rules = append(rules, busRule{Bus: bus.EventBusName(), Pattern: anyBucket()})
	}
	sources := newSourceEvents(stack, "Sources", settings, rules, queues.Events.QueueArn(), nil)
	allowRules(queues.Events, sources.RuleARNs)

	replicate := newReplicate(stack, "Replicate", settings, t, tables, queues)
	// After the rules and the event function: from the moment the rules are
	// in the table and EventBridge is on, objects are replicated.
	provision, err := newProvision(stack, "Provision", settings, config, t, tables, buckets, queues.construct, sources.construct, replicate)
	if err != nil {
		return nil, err
	}

	alarms := newAlarms(stack, "Alarms", settings)
	alarms.deadLetters("EventsDeadLetters", queues.DeadLetters, "Messages that cannot be decoded or crash the event function. Look at them, then `make redrive`.")
	alarms.deadLetters("UndeliveredEvents", sources.Undelivered, "Events that EventBridge could not deliver to the queue. Look at the ERROR_CODE attribute, then `make redrive`.")
	alarms.oldestMessage("EventsOldestMessage", queues.Events, t.Rules)
	alarms.functionErrors("ReplicateErrors", replicate)
	alarms.functionErrors("ProvisionErrors", provision)
	alarms.objectsFailed("ObjectsFailed")
	for _, r := range t.Rules {
		alarms.latency("Latency-"+r.Name, r)
	}
	dashboard := newDashboard(stack, "Dashboard", settings, queues, sources, tables, replicate)

	output(stack, "RulesTable", tables.Rules.TableName())
	output(stack, "ProvenanceTable", tables.Provenance.TableName())
	output(stack, "RunsTable", tables.Runs.TableName())
	output(stack, "EventsQueueUrl", queues.Events.QueueUrl())
	output(stack, "EventsDeadLettersUrl", queues.DeadLetters.QueueUrl())
	output(stack, "UndeliveredEventsUrl", sources.Undelivered.QueueUrl())
	output(stack, "ReplicateFunction", replicate.FunctionName())
	output(stack, "ReplicateLogGroup", replicate.LogGroup().LogGroupName())
	output(stack, "ProvisionFunction", provision.FunctionName())
	output(stack, "ProvisionLogGroup", provision.LogGroup().LogGroupName())
	output(stack, "AlarmTopicArn", alarms.Topic.TopicArn())
	output(stack, "DashboardName", dashboard.DashboardName())
	return stack, nil
}

// newStack is a stack in one region. On a local cloud assets are published
// with the caller's own credentials: it lets nobody assume the bootstrap roles
// while it evaluates policies.
func newStack(app constructs.Construct, name string, settings Settings, region, description string) awscdk.Stack {
	props := &awscdk.StackProps{
		StackName:   jsii.String(name),
		Description: jsii.String(description),
		Env:         &awscdk.Environment{Region: jsii.String(region)},
	}
	if settings.Account != "" {
		props.Env.Account = jsii.String(settings.Account)
	}
	if settings.Local {
		props.Synthesizer = awscdk.NewCliCredentialsStackSynthesizer(nil)
	}
	return awscdk.NewStack(app, jsii.String(name), props)
}

func output(stack awscdk.Stack, name string, value *string) {
	awscdk.NewCfnOutput(stack, jsii.String(name), &awscdk.CfnOutputProps{Value: value})
}

func forwardedBusName(settings Settings) string { return settings.StackName + "-forwarded" }
