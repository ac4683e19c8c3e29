package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// replicateTimeout leaves room for a copy of 5 GiB, the largest that S3
	// makes in one request.
	replicateTimeout = 120 // seconds
	// eventsVisibility is the least that Lambda asks of a queue:
	// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
	eventsVisibility = 6 * replicateTimeout
	// maxReceives is how often a message is tried. On the last try the
	// function records the failure and finishes the message, so the dead
	// letters are only what cannot be decoded or crashes.
	maxReceives = 6
)

// eventQueues carry S3's events to the event function.
type eventQueues struct {
	construct           constructs.Construct
	Events, DeadLetters awssqs.Queue
}

func newEventQueues(scope constructs.Construct, id string, settings Settings) eventQueues {
	this := eventQueues{construct: constructs.NewConstruct(scope, jsii.String(id))}
	name := settings.StackName + "-events"
	// By its name and not by reference, or the two queues would wait for each
	// other.
	events := awssqs.Queue_FromQueueArn(this.construct, jsii.String("EventsByName"),
		awscdk.Stack_Of(this.construct).FormatArn(&awscdk.ArnComponents{Service: jsii.String("sqs"), Resource: jsii.String(name)}))
	this.DeadLetters = newDeadLetterQueue(this.construct, "DeadLetters", name+"-dead-letters", settings.Local,
		&awssqs.RedriveAllowPolicy{
			RedrivePermission: awssqs.RedrivePermission_BY_QUEUE,
			SourceQueues:      &[]awssqs.IQueue{events},
		})
	this.Events = awssqs.NewQueue(this.construct, jsii.String("Events"), &awssqs.QueueProps{
		QueueName:         jsii.String(name),
		VisibilityTimeout: awscdk.Duration_Seconds(jsii.Number(eventsVisibility)),
		RetentionPeriod:   awscdk.Duration_Days(jsii.Number(14)),
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:        jsii.Bool(!settings.Local),
		DeadLetterQueue:   &awssqs.DeadLetterQueue{MaxReceiveCount: jsii.Number(maxReceives), Queue: this.DeadLetters},
	})
	return this
}

// newDeadLetterQueue keeps what could not be handled or delivered for 14 days,
// the longest that SQS can.
func newDeadLetterQueue(scope constructs.Construct, id, name string, local bool, allow *awssqs.RedriveAllowPolicy) awssqs.Queue {
	return awssqs.NewQueue(scope, jsii.String(id), &awssqs.QueueProps{
		QueueName:          jsii.String(name),
		RetentionPeriod:    awscdk.Duration_Days(jsii.Number(14)),
		Encryption:         awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:         jsii.Bool(!local),
		RedriveAllowPolicy: allow,
	})
}

// allowRules lets EventBridge send to the queue for these rules and no others.
func allowRules(queue awssqs.Queue, ruleARNs []string) {
	if len(ruleARNs) == 0 {
		return
	}
	queue.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("events.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sqs:SendMessage"),
		Resources:  &[]*string{queue.QueueArn()},
		Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": ruleARNs}},
	}))
}
