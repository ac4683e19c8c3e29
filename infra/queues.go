package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// maxReceives is how often a message is tried. On the last try the event function
// records the failure and finishes the message, so the dead letters of events are
// only what cannot be decoded or crashes. A ticket that failed so often is none to
// wait for either: while its run is active, the schedule sends another.
const maxReceives = 6

// workQueue is a queue that a function works off, and its dead letters.
type workQueue struct {
	construct          constructs.Construct
	Queue, DeadLetters awssqs.Queue
	Visibility         float64 // seconds for which a message is hidden while it is worked on
}

// newWorkQueue makes a queue for a function with this timeout in seconds. Its
// visibility timeout is six of them, the least that Lambda asks for:
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
func newWorkQueue(scope constructs.Construct, id, name string, settings Settings, timeout float64) workQueue {
	this := workQueue{construct: constructs.NewConstruct(scope, jsii.String(id)), Visibility: 6 * timeout}
	queueName := settings.StackName + "-" + strings.ToLower(name)
	// By its name and not by reference, or the two queues would wait for each
	// other.
	byName := awssqs.Queue_FromQueueArn(this.construct, jsii.String(name+"ByName"),
		awscdk.Stack_Of(this.construct).FormatArn(&awscdk.ArnComponents{Service: jsii.String("sqs"), Resource: jsii.String(queueName)}))
	this.DeadLetters = newDeadLetterQueue(this.construct, "DeadLetters", queueName+"-dead-letters", settings.Local,
		&awssqs.RedriveAllowPolicy{
			RedrivePermission: awssqs.RedrivePermission_BY_QUEUE,
			SourceQueues:      &[]awssqs.IQueue{byName},
		})
	this.Queue = awssqs.NewQueue(this.construct, jsii.String(name), &awssqs.QueueProps{
		QueueName:         jsii.String(queueName),
		VisibilityTimeout: awscdk.Duration_Seconds(jsii.Number(this.Visibility)),
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

// allowSend lets the function send messages, in batches too: the local cloud
// knows an action for those that AWS does not have.
func allowSend(function awslambda.Function, queue awssqs.Queue, settings Settings) {
	queue.GrantSendMessages(function)
	if settings.Local {
		queue.Grant(function, jsii.String("sqs:SendMessageBatch"))
	}
}

// subscribe has the topics' notifications delivered to the queue as they came,
// and lets in these topics and no others.
func subscribe(scope constructs.Construct, id string, queue awssqs.Queue, topics []string) {
	for i, topic := range topics {
		awssns.NewCfnSubscription(scope, jsii.String(fmt.Sprintf("%s%d", id, i)), &awssns.CfnSubscriptionProps{
			TopicArn:           jsii.String(topic),
			Region:             jsii.String(strings.Split(topic, ":")[3]),
			Protocol:           jsii.String("sqs"),
			Endpoint:           queue.QueueArn(),
			RawMessageDelivery: jsii.Bool(true),
		})
	}
	allowFrom(queue, "sns.amazonaws.com", topics)
}

// allowRules lets EventBridge send to the queue for these rules and no others.
func allowRules(queue awssqs.Queue, ruleARNs []string) {
	allowFrom(queue, "events.amazonaws.com", ruleARNs)
}

func allowFrom(queue awssqs.Queue, service string, arns []string) {
	if len(arns) == 0 {
		return
	}
	queue.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String(service), nil)},
		Actions:    jsii.Strings("sqs:SendMessage"),
		Resources:  &[]*string{queue.QueueArn()},
		Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": arns}},
	}))
}
