package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/telemetry"
)

// shown is what the dashboard is about.
type shown struct {
	Events, Shards, Transfers      workQueue
	Sources                        sourceEvents
	Tables                         tables
	Replicate, Reconcile, Schedule awslambda.Function
	Transfer                       awslambda.Function
	Admin                          admin
}

// newDashboard shows, row by row: what is done, how fast, what waits or is
// stuck, the full reconciles, who works on them and the API, and what is paid
// for.
func newDashboard(scope constructs.Construct, id string, settings Settings, of shown) awscloudwatch.Dashboard {
	namespace := settings.metricsNamespace()
	by := func(metric, statistic string, dimensions ...string) awscloudwatch.IMetric {
		return search(namespace, metric, statistic, dimensions...)
	}
	total := func(metric string) awscloudwatch.IMetric {
		return replicationMetric(namespace, metric, nil, 5, "Sum")
	}
	return awscloudwatch.NewDashboard(scope, jsii.String(id), &awscloudwatch.DashboardProps{
		Widgets: &[]*[]awscloudwatch.IWidget{
			{
				graph("Copied, by rule", by(telemetry.ObjectsCopied, "Sum", telemetry.Rule)),
				graph("Deleted, by rule", by(telemetry.ObjectsDeleted, "Sum", telemetry.Rule)),
				graph("Skipped, by rule and reason", by(telemetry.ObjectsSkipped, "Sum", telemetry.Rule, telemetry.Reason)),
				graph("Failed, by rule and code", by(telemetry.ObjectsFailed, "Sum", telemetry.Rule, telemetry.Code)),
			},
			{
				graph("Seconds from event to replica, p50", by(telemetry.ReplicationLatency, "p50", telemetry.Rule)),
				graph("Seconds from event to replica, p99", by(telemetry.ReplicationLatency, "p99", telemetry.Rule)),
				graph("Bytes, by rule", by(telemetry.BytesCopied, "Sum", telemetry.Rule)),
				graph("Oldest waiting event, seconds", of.Events.Queue.MetricApproximateAgeOfOldestMessage(every(1, "Maximum"))),
			},
			{
				graph("Events waiting and in flight", depth(of.Events)...),
				graph("Dead letters and undelivered events",
					of.Events.DeadLetters.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
					of.Shards.DeadLetters.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
					of.Transfers.DeadLetters.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
					of.Sources.Undelivered.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum"))),
				graph("Put back, dropped, undecodable",
					total(telemetry.MessagesDeferred), total(telemetry.EventsDropped), total(telemetry.MessagesUndecodable)),
				graph("Event function: errors and throttles",
					of.Replicate.MetricErrors(every(5, "Sum")), of.Replicate.MetricThrottles(every(5, "Sum"))),
			},
			{
				graph("Full reconciles succeeded, by rule", by(telemetry.RunsSucceeded, "Sum", telemetry.Rule)),
				graph("Full reconciles failed, by rule", by(telemetry.RunsFailed, "Sum", telemetry.Rule)),
				graph("Deletes held for approval, by rule", by(telemetry.DeletesHeld, "Maximum", telemetry.Rule)),
				graph("Shards waiting and in flight", depth(of.Shards)...),
			},
			{
				graph("Reconcile workers at a time", of.Reconcile.Metric(jsii.String("ConcurrentExecutions"), every(1, "Maximum"))),
				graph("Reconcile and schedule: errors and throttles",
					of.Reconcile.MetricErrors(every(5, "Sum")), of.Reconcile.MetricThrottles(every(5, "Sum")),
					of.Schedule.MetricErrors(every(5, "Sum"))),
				graph("API: requests, refused and failed",
					of.Admin.API.MetricCount(every(5, "Sum")),
					of.Admin.API.MetricClientError(every(5, "Sum")), of.Admin.API.MetricServerError(every(5, "Sum"))),
				graph("API: milliseconds", of.Admin.API.MetricLatency(every(5, "p50")), of.Admin.API.MetricLatency(every(5, "p99"))),
			},
			{
				graph("Large objects: tickets waiting and in flight", depth(of.Transfers)...),
				graph("Large objects: workers at a time", of.Transfer.Metric(jsii.String("ConcurrentExecutions"), every(1, "Maximum"))),
				graph("Large objects: given up, revived", total(telemetry.TransfersAbandoned), total(telemetry.TransfersRevived)),
				graph("Transfer function: errors and throttles",
					of.Transfer.MetricErrors(every(5, "Sum")), of.Transfer.MetricThrottles(every(5, "Sum"))),
			},
			{
				// In the order of what they cost: https://aws.amazon.com/s3/pricing/
				graph("Paid for: COPY requests", total(telemetry.ObjectsCopied)),
				graph("Paid for: DynamoDB units",
					of.Tables.Provenance.MetricConsumedWriteCapacityUnits(every(5, "Sum")),
					of.Tables.Provenance.MetricConsumedReadCapacityUnits(every(5, "Sum")),
					of.Tables.Runs.MetricConsumedWriteCapacityUnits(every(5, "Sum")),
					of.Tables.Runs.MetricConsumedReadCapacityUnits(every(5, "Sum"))),
				graph("Paid for: messages",
					of.Events.Queue.MetricNumberOfMessagesSent(every(5, "Sum")),
					of.Shards.Queue.MetricNumberOfMessagesSent(every(5, "Sum")),
					of.Transfers.Queue.MetricNumberOfMessagesSent(every(5, "Sum"))),
				graph("Paid for: function calls and milliseconds",
					of.Replicate.MetricInvocations(every(5, "Sum")), of.Replicate.MetricDuration(every(5, "Sum")),
					of.Reconcile.MetricInvocations(every(5, "Sum")), of.Reconcile.MetricDuration(every(5, "Sum")),
					of.Transfer.MetricInvocations(every(5, "Sum")), of.Transfer.MetricDuration(every(5, "Sum"))),
			},
		},
	})
}

func depth(q workQueue) []awscloudwatch.IMetric {
	return []awscloudwatch.IMetric{
		q.Queue.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
		q.Queue.MetricApproximateNumberOfMessagesNotVisible(every(1, "Maximum")),
	}
}

// search finds a metric for every value of its dimensions, those of rules that
// are made later too.
func search(namespace, metric, statistic string, dimensions ...string) awscloudwatch.IMetric {
	const seconds = 300
	schema := fmt.Sprintf("%q,%s", namespace, strings.Join(dimensions, ","))
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf(`SEARCH('{%s} MetricName=%q', '%s', %d)`, schema, metric, statistic, seconds)),
		Label:      jsii.String(""), // each series keeps its own
		Period:     awscdk.Duration_Seconds(jsii.Number(seconds)),
	})
}

func graph(title string, metrics ...awscloudwatch.IMetric) awscloudwatch.IWidget {
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title: jsii.String(title),
		Width: jsii.Number(6),
		Left:  &metrics,
	})
}
