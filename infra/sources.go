package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// sourceEvents sends the events of source buckets on. S3 puts them on the
// default bus of the bucket's own region.
type sourceEvents struct {
	construct constructs.Construct
	// Undelivered holds the events that EventBridge could not deliver.
	Undelivered awssqs.Queue
	// RuleARNs are the rules', for the target's policy.
	RuleARNs []string
}

// busRule is one EventBridge rule: a bus (nil for the default one) and what to
// match on it.
type busRule struct {
	Bus     *string
	Pattern pattern
}

// newSourceEvents makes the rules. roleARN is nil where the target's own policy
// allows EventBridge, as a queue's does.
func newSourceEvents(scope constructs.Construct, id string, settings Settings, rules []busRule, targetARN, roleARN *string) sourceEvents {
	this := sourceEvents{construct: constructs.NewConstruct(scope, jsii.String(id))}
	this.Undelivered = newDeadLetterQueue(this.construct, "Undelivered", settings.StackName+"-undelivered", settings.Local,
		// No queue's dead letters: only EventBridge sends here.
		&awssqs.RedriveAllowPolicy{RedrivePermission: awssqs.RedrivePermission_DENY_ALL})
	for i, r := range rules {
		// L1: the L2 target adds a policy statement per rule to both queues,
		// and SQS takes 20.
		rule := awsevents.NewCfnRule(this.construct, jsii.String(fmt.Sprintf("Rule%d", i)), &awsevents.CfnRuleProps{
			Description:  jsii.String("S3 events of replicated buckets"),
			EventBusName: r.Bus,
			EventPattern: map[string]any(r.Pattern),
			Targets: []any{&awsevents.CfnRule_TargetProperty{
				Id:               jsii.String("target"),
				Arn:              targetARN,
				RoleArn:          roleARN,
				DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: this.Undelivered.QueueArn()},
			}},
		})
		this.RuleARNs = append(this.RuleARNs, *rule.AttrArn())
	}
	allowRules(this.Undelivered, this.RuleARNs)
	return this
}
