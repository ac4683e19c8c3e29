package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// newDashboard shows, from top to bottom: what is done, how fast, what waits or
// is stuck, and what it costs.
func newDashboard(scope constructs.Construct, id string, settings Settings, queues eventQueues, sources sourceEvents, tables tables, replicate awslambda.Function) awscloudwatch.Dashboard {
	return awscloudwatch.NewDashboard(scope, jsii.String(id), &awscloudwatch.DashboardProps{
		Widgets: &[]*[]awscloudwatch.IWidget{
			{
				graph("Dead letters and undelivered events",
					queues.DeadLetters.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")),
					sources.Undelivered.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum"))),
				graph("Queue", queues.Events.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum"))),
				graph("Oldest event (seconds)", queues.Events.MetricApproximateAgeOfOldestMessage(every(1, "Maximum"))),
			},
			{
				graph("Event function", replicate.MetricInvocations(every(5, "Sum")), replicate.MetricErrors(every(5, "Sum")), replicate.MetricThrottles(every(5, "Sum"))),
			},
		},
	})
}

func graph(title string, metrics ...awscloudwatch.IMetric) awscloudwatch.IWidget {
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title: jsii.String(title),
		Width: jsii.Number(8),
		Left:  &metrics,
	})
}
