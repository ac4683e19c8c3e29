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

// newDashboard shows, row by row: what is done, how fast, what waits or is
// stuck, and what is paid for.
func newDashboard(scope constructs.Construct, id string, settings Settings, queues eventQueues, sources sourceEvents, tables tables, replicate awslambda.Function) awscloudwatch.Dashboard {
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
				graph("Oldest waiting event, seconds", queues.Events.MetricApproximateAgeOfOldestMessage(every(1, "Maximum"))),
			},
			{
				graph("Waiting and in flight",
					queues.Events.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
					queues.Events.MetricApproximateNumberOfMessagesNotVisible(every(1, "Maximum"))),
				graph("Dead letters and undelivered events",
					queues.DeadLetters.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
					sources.Undelivered.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum"))),
				graph("Put back, dropped, undecodable",
					total(telemetry.MessagesDeferred), total(telemetry.EventsDropped), total(telemetry.MessagesUndecodable)),
				graph("Event function: errors and throttles",
					replicate.MetricErrors(every(5, "Sum")), replicate.MetricThrottles(every(5, "Sum"))),
			},
			{
				// In the order of what they cost: https://aws.amazon.com/s3/pricing/
				graph("Paid for: COPY requests", total(telemetry.ObjectsCopied)),
				graph("Paid for: DynamoDB units",
					tables.Provenance.MetricConsumedWriteCapacityUnits(every(5, "Sum")),
					tables.Provenance.MetricConsumedReadCapacityUnits(every(5, "Sum"))),
				graph("Paid for: messages", queues.Events.MetricNumberOfMessagesSent(every(5, "Sum"))),
				graph("Paid for: function calls and milliseconds",
					replicate.MetricInvocations(every(5, "Sum")), replicate.MetricDuration(every(5, "Sum"))),
			},
		},
	})
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
