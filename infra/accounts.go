package main

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

func forwardedBusName(settings Settings) string { return settings.StackName + "-forwarded" }

// newForwardedBus is the bus at home that other regions, and other accounts,
// forward the events of their buckets to. Of this account only identities that
// may PutEvents on it can, and the stacks allow their forwarders; each other
// account is let in with events of S3.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-bus-perms.html
func newForwardedBus(scope constructs.Construct, id string, settings Settings, accounts []string) awsevents.EventBus {
	bus := awsevents.NewEventBus(scope, jsii.String(id), &awsevents.EventBusProps{
		EventBusName: jsii.String(forwardedBusName(settings)),
	})
	for _, account := range accounts {
		awsevents.NewCfnEventBusPolicy(scope, jsii.String(id+account), &awsevents.CfnEventBusPolicyProps{
			EventBusName: bus.EventBusName(),
			StatementId:  jsii.String("From" + account),
			Statement: document{
				"Effect":    "Allow",
				"Principal": document{"AWS": "arn:" + *awscdk.Stack_Of(scope).Partition() + ":iam::" + account + ":root"},
				"Action":    "events:PutEvents",
				"Resource":  bus.EventBusArn(),
				"Condition": document{"StringEquals": document{"events:source": "aws.s3"}},
			},
		})
	}
	return bus
}

// document is JSON in the making. It may hold what only a deployment knows.
type document map[string]any

func policyOf(statements ...document) document {
	return document{"Version": "2012-10-17", "Statement": statements}
}

// askOtherAccounts prints what only the owners of other accounts can do, as
// outputs in the very JSON that they need: for each backend in such an account
// the policies of its role, or of each bucket; and where buckets there are
// sources, what forwards their events.
func askOtherAccounts(stack awscdk.Stack, id string, settings Settings, t topology, functions ...awslambda.Function) {
	scope := constructs.NewConstruct(stack, jsii.String(id))
	var roles []*string
	for _, f := range functions {
		roles = append(roles, f.Role().RoleArn())
	}
	partition := *stack.Partition()
	for _, b := range t.Backends {
		if b.Owner() == "" {
			continue
		}
		say := func(what, about string, d document) {
			awscdk.NewCfnOutput(scope, jsii.String(b.Name+what), &awscdk.CfnOutputProps{
				Description: jsii.String(fmt.Sprintf("Account %s, backend %s: %s", b.Owner(), b.Name, about)),
				Value:       stack.ToJsonString(d, nil),
			})
		}
		if b.RoleARN != "" {
			trust := document{"Effect": "Allow", "Principal": document{"AWS": roles}, "Action": "sts:AssumeRole"}
			if b.ExternalID != "" {
				trust["Condition"] = document{"StringEquals": document{"sts:ExternalId": b.ExternalID}}
			}
			say("Trust", "the trust policy of "+b.RoleARN, policyOf(trust))
			say("Permissions", "the permissions policy of "+b.RoleARN, policyOf(allowing(reaching(partition, b.Buckets), nil)...))
		} else {
			for _, one := range b.Buckets {
				say(one.Name, "the policy of bucket "+one.Name+", or statements to add to it",
					policyOf(allowing(reaching(partition, []bucket{one}), document{"AWS": roles})...))
			}
		}
		var sources []string
		for _, bucket := range b.Buckets {
			if bucket.isSource() {
				sources = append(sources, bucket.Name)
			}
		}
		bus := stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("events"), Resource: jsii.String("event-bus"), ResourceName: jsii.String(forwardedBusName(settings)),
		})
		for i, p := range patternsFor(sources) {
			say(fmt.Sprintf("Events%d", i), fmt.Sprintf("pattern and target of a rule on the default bus in %s, and the policies of the role that it sends by; the buckets must send their events to EventBridge", b.Buckets[0].Region), document{
				"EventPattern": p,
				"TargetArn":    bus,
				"RoleTrust": policyOf(document{
					"Effect": "Allow", "Principal": document{"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole",
				}),
				"RolePermissions": policyOf(document{"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}),
			})
		}
	}
}

// reaching is what all functions do with buckets.
func reaching(partition string, buckets []bucket) access {
	a := copying(partition, buckets)
	a.uploading(partition, buckets)
	return a
}

// allowing writes out what is allowed, and to whom where it is the policy of a
// bucket.
func allowing(a access, principal document) []document {
	var all []document
	for _, actions := range a.grouped() {
		d := document{"Effect": "Allow", "Action": actions, "Resource": a[actions[0]]}
		if principal != nil {
			d["Principal"] = principal
		}
		all = append(all, d)
	}
	return all
}
