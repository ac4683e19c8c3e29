package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/telemetry"
)

// newHomeStack is the replicator: everything but what must stand in another
// source region.
func newHomeStack(app constructs.Construct, settings Settings, config rule.Config, t topology) (awscdk.Stack, error) {
	stack := newStack(app, settings.StackName, settings, t.Home, "Replicates objects between S3 buckets")

	buckets := newBuckets(stack, "Buckets", t.Buckets, settings.Local)
	tables := newTables(stack, "Tables", settings.Local)
	events := newWorkQueue(stack, "Queues", "Events", settings, replicateTimeout)
	shards := newWorkQueue(stack, "ShardQueues", "Shards", settings, reconcileTimeout)
	large := transfers{tables, newWorkQueue(stack, "TransferQueues", "Transfers", settings, transferTimeout)}

	var rules []busRule
	for _, p := range patternsFor(t.sources(t.Home)) {
		rules = append(rules, busRule{Pattern: p})
	}
	if len(t.outposts()) > 0 || len(t.outsiders()) > 0 {
		bus := newForwardedBus(stack, "Forwarded", settings, t.outsiders())
		rules = append(rules, busRule{Bus: bus.EventBusName(), Pattern: anyBucket()})
	}
	sources := newSourceEvents(stack, "Sources", settings, rules, events.Queue.QueueArn(), nil)
	allowRules(events.Queue, sources.RuleARNs)
	subscribe(stack, "Topic", events.Queue, t.Topics)

	replicate := newReplicate(stack, "Replicate", settings, t, tables, events)
	large.handOver(replicate, settings)
	transfer := newTransfer(stack, "Transfer", settings, t, large, events)
	// After the rules and the event function: from the moment the rules are
	// in the table and EventBridge is on, objects are replicated.
	provision, err := newProvision(stack, "Provision", settings, config, t, tables, buckets, events.construct, sources.construct, replicate)
	if err != nil {
		return nil, err
	}

	// These need not wait for the rules, nor the rules for them: a new rule is
	// due at the next tick, whenever that is.
	tick := config.Storage.Replication.TickInterval
	reconcile := newReconcile(stack, "Reconcile", settings, t, tables, shards, events)
	large.handOver(reconcile, settings)
	schedule := newSchedule(stack, "Schedule", settings, tick, tables, shards, events)
	large.revive(schedule, settings)
	admin := newAdmin(stack, "Admin", settings, newTopology(allOn(config.Storage), t.Home), tables, shards, events, len(t.Webhooks) > 0)
	var webhook awslambda.Function
	if len(t.Webhooks) > 0 {
		webhook = newWebhook(stack, "Webhook", settings, t, tables, events, admin.API)
	}

	large.show(admin.Function)

	askOtherAccounts(stack, "OtherAccounts", settings, t, replicate, reconcile, transfer, admin.Function)

	alarms := newAlarms(stack, "Alarms", settings)
	alarms.deadLetters("EventsDeadLetters", events.DeadLetters, "Messages that cannot be decoded or crash the event function. Look at them, then `make redrive`.")
	alarms.deadLetters("UndeliveredEvents", sources.Undelivered, "Events that EventBridge could not deliver to the queue. Look at the ERROR_CODE attribute, then `make redrive`.")
	alarms.deadLetters("ShardsDeadLetters", shards.DeadLetters, "Tickets that cannot be decoded, or that the reconcile function failed or crashed on again and again. Its log says why. The schedule sends new ones while a run is active; `make redrive` empties the queue.")
	alarms.deadLetters("TransfersDeadLetters", large.queue.DeadLetters, "Tickets that cannot be decoded or crash the transfer function. Its log says why. The schedule sends new ones while a transfer is under way; `make redrive` empties the queue.")
	alarms.oldestMessage("EventsOldestMessage", events.Queue, t.Rules)
	// How long tickets wait is nobody's alarm: those of a large run wait for hours.
	alarms.functionErrors("ReplicateErrors", replicate)
	alarms.functionErrors("ReconcileErrors", reconcile)
	alarms.functionErrors("TransferErrors", transfer)
	alarms.functionErrors("ScheduleErrors", schedule)
	alarms.functionErrors("AdminErrors", admin.Function)
	if webhook != nil {
		alarms.functionErrors("WebhookErrors", webhook)
	}
	alarms.functionErrors("ProvisionErrors", provision)
	alarms.silent("ScheduleSilent", schedule, tick)
	alarms.counted(telemetry.ObjectsFailed, "Objects could not be replicated. The log line of each says what to do.")
	alarms.counted(telemetry.RunsFailed, "A full reconcile did not see all keys. It is tried again within the hour; GET "+adminPath+"/jobs says why it failed.")
	alarms.counted(telemetry.DeletesHeld, "A full reconcile found more deletes than max_deletes allows and made none. GET "+adminPath+"/jobs shows how many and some of them; POST .../approve-deletes lets them go.")
	alarms.counted(telemetry.DifferencesFound, "A verification found objects that are missing, orphans or mismatches. GET "+adminPath+"/jobs/{rule}/verify shows some of them, and what repairs them.")
	for _, r := range t.Rules {
		alarms.latency("Latency-"+r.Name, r)
	}
	dashboard := newDashboard(stack, "Dashboard", settings, shown{
		Events: events, Shards: shards, Transfers: large.queue, Sources: sources, Tables: tables,
		Replicate: replicate, Reconcile: reconcile, Transfer: transfer, Schedule: schedule, Admin: admin,
	})

	output(stack, "RulesTable", tables.Rules.TableName())
	output(stack, "ProvenanceTable", tables.Provenance.TableName())
	output(stack, "RunsTable", tables.Runs.TableName())
	output(stack, "TransfersTable", tables.Transfers.TableName())
	output(stack, "EventsQueueUrl", events.Queue.QueueUrl())
	output(stack, "EventsDeadLettersUrl", events.DeadLetters.QueueUrl())
	output(stack, "UndeliveredEventsUrl", sources.Undelivered.QueueUrl())
	output(stack, "ShardsQueueUrl", shards.Queue.QueueUrl())
	output(stack, "ShardsDeadLettersUrl", shards.DeadLetters.QueueUrl())
	output(stack, "TransfersQueueUrl", large.queue.Queue.QueueUrl())
	output(stack, "TransfersDeadLettersUrl", large.queue.DeadLetters.QueueUrl())
	outputFunction(stack, "Replicate", replicate)
	outputFunction(stack, "Reconcile", reconcile)
	outputFunction(stack, "Transfer", transfer)
	outputFunction(stack, "Schedule", schedule)
	outputFunction(stack, "Admin", admin.Function)
	outputFunction(stack, "Provision", provision)
	if webhook != nil {
		outputFunction(stack, "Webhook", webhook)
		output(stack, "WebhookUrl", admin.API.UrlForPath(jsii.String("/events")))
	}
	output(stack, "AdminUrl", admin.url())
	output(stack, "AdminApiId", admin.API.RestApiId())
	output(stack, "AdminInvokeArn", admin.invokeARN())
	output(stack, "AdminAccessLogGroup", admin.AccessLog.LogGroupName())
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

func outputFunction(stack awscdk.Stack, name string, function awslambda.Function) {
	output(stack, name+"Function", function.FunctionName())
	output(stack, name+"LogGroup", function.LogGroup().LogGroupName())
}
