package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// newBuckets makes those of the buckets that the stack is to own: private, encrypted, TLS only, and kept when the stack goes.
func newBuckets(scope constructs.Construct, id string, buckets []bucket, local bool) constructs.Construct {
	this := constructs.NewConstruct(scope, jsii.String(id))
	for _, b := range buckets {
		if !b.Create {
			continue
		}
		made := awss3.NewBucket(this, jsii.String(b.Name), &awss3.BucketProps{
			BucketName:        jsii.String(b.Name),
			Versioned:         jsii.Bool(b.Versioned),
			BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
			ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
			Encryption:        awss3.BucketEncryption_S3_MANAGED,
			EnforceSSL:        jsii.Bool(!local),
			RemovalPolicy:     awscdk.RemovalPolicy_RETAIN,
		})
		if b.isSource() {
			// The L2 switch would add a function of CDK's own that may change
			// the notifications of any bucket.
			made.Node().DefaultChild().(awss3.CfnBucket).SetNotificationConfiguration(
				&awss3.CfnBucket_NotificationConfigurationProperty{
					EventBridgeConfiguration: &awss3.CfnBucket_EventBridgeConfigurationProperty{
						EventBridgeEnabled: jsii.Bool(true),
					},
				})
		}
	}
	return this
}
