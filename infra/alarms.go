package main

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/telemetry"
)

// alarms watch what nobody looks at, and tell a topic.
type alarms struct {
	construct constructs.Construct
	Topic     awssns.Topic
	namespace string // of the functions' metrics
}

func newAlarms(scope constructs.Construct, id string, settings Settings) alarms {
	this := alarms{construct: constructs.NewConstruct(scope, jsii.String(id)), namespace: settings.metricsNamespace()}
	this.Topic = awssns.NewTopic(this.construct, jsii.String("Topic"), &awssns.TopicProps{
		DisplayName: jsii.String(settings.StackName + " alarms"),
		EnforceSSL:  jsii.Bool(!settings.Local),
	})
	// A topic with a policy of its own has lost the default one, which let the
	// account's alarms publish.
	this.Topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{this.Topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Aws_ACCOUNT_ID()}},
	}))
	if settings.AlarmEmail != "" {
		this.Topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(jsii.String(settings.AlarmEmail), nil))
	}
	return this
}

// above rings once the metric is over the threshold for some periods in a row.
// No data is good news: nothing happened.
func (a alarms) above(id, description string, metric awscloudwatch.IMetric, threshold, periods float64) {
	a.add(id, &awscloudwatch.AlarmProps{
		AlarmDescription:   jsii.String(description),
		Metric:             metric,
		Threshold:          jsii.Number(threshold),
		EvaluationPeriods:  jsii.Number(periods),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD,
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	})
}

func (a alarms) add(id string, props *awscloudwatch.AlarmProps) {
	awscloudwatch.NewAlarm(a.construct, jsii.String(id), props).
		AddAlarmAction(awscloudwatchactions.NewSnsAction(a.Topic))
}

func (a alarms) deadLetters(id string, queue awssqs.Queue, description string) {
	a.above(id, description, queue.MetricApproximateNumberOfMessagesVisible(every(1, "Maximum")), 0, 1)
}

// oldestMessage rings before the strictest rule misses its target.
func (a alarms) oldestMessage(id string, queue awssqs.Queue, rules []rule.Rule) {
	limit := 15 * time.Minute
	for _, r := range rules {
		if target := time.Duration(r.LatencyTarget); target > 0 {
			limit = min(limit, target)
		}
	}
	a.above(id, "Events wait in the queue: the event function is throttled, failing, or bounded too tightly (max-concurrency).",
		queue.MetricApproximateAgeOfOldestMessage(every(1, "Maximum")), limit.Seconds(), 3)
}

func (a alarms) functionErrors(id string, function awslambda.Function) {
	a.above(id, "The function crashed or timed out. Its log says why.", function.MetricErrors(every(5, "Sum")), 0, 1)
}

// counted rings when the functions count something that is to be zero.
func (a alarms) counted(metric, description string) {
	a.above(metric, description, replicationMetric(a.namespace, metric, nil, 5, "Sum"), 0, 1)
}

// silent rings when the function was not called for five ticks: here no data is
// the bad news. So it may ring while the stack is new.
func (a alarms) silent(id string, schedule awslambda.Function, tick rule.Duration) {
	a.add(id, &awscloudwatch.AlarmProps{
		AlarmDescription: jsii.String("No full reconcile starts: the schedule does not call its function. " +
			"Look whether its EventBridge rule is switched off. This alarm may ring while the stack is new."),
		Metric:             schedule.MetricInvocations(every(time.Duration(tick).Minutes(), "Sum")),
		Threshold:          jsii.Number(1),
		EvaluationPeriods:  jsii.Number(5),
		ComparisonOperator: awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD,
		TreatMissingData:   awscloudwatch.TreatMissingData_BREACHING,
	})
}

func (a alarms) latency(id string, r rule.Rule) {
	target := time.Duration(r.LatencyTarget)
	if target <= 0 {
		return
	}
	a.above(id, fmt.Sprintf("Rule %s takes longer than its latency_target of %s from event to replica.", r.Name, r.LatencyTarget),
		replicationMetric(a.namespace, telemetry.ReplicationLatency, &map[string]*string{telemetry.Rule: jsii.String(r.Name)}, 5, "p99"), target.Seconds(), 3)
}

func replicationMetric(namespace, name string, dimensions *map[string]*string, minutes float64, statistic string) awscloudwatch.Metric {
	return awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String(namespace),
		MetricName:    jsii.String(name),
		DimensionsMap: dimensions,
		Period:        awscdk.Duration_Minutes(jsii.Number(minutes)),
		Statistic:     jsii.String(statistic),
	})
}

func every(minutes float64, statistic string) *awscloudwatch.MetricOptions {
	return &awscloudwatch.MetricOptions{
		Period:    awscdk.Duration_Minutes(jsii.Number(minutes)),
		Statistic: jsii.String(statistic),
	}
}
