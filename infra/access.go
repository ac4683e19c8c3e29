package main

import (
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// access is a policy in the making: an IAM action to the ARNs it is allowed on.
type access map[string][]string

func (a access) allow(arn string, actions ...string) {
	for _, action := range actions {
		a[action] = append(a[action], arn)
	}
}

// statements joins the actions that have the same resources, so that a policy
// over many buckets repeats their names as seldom as it can.
func (a access) statements() []awsiam.PolicyStatement {
	actionsOn := map[string][]string{}
	for _, action := range sortedKeys(a) {
		resources := strings.Join(sortedSet(a[action]), "\x00")
		actionsOn[resources] = append(actionsOn[resources], action)
	}
	var all []awsiam.PolicyStatement
	for _, resources := range sortedKeys(actionsOn) {
		all = append(all, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions:   jsii.Strings(actionsOn[resources]...),
			Resources: jsii.Strings(strings.Split(resources, "\x00")...),
		}))
	}
	return all
}

// replicateAccess is what the event function does with the buckets.
//
// ListBucket makes S3 answer 404 and not 403 for a key that is not there. A
// conditional write needs GetObject on the destination
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
func replicateAccess(t topology) []awsiam.PolicyStatement {
	a := access{}
	for _, b := range t.Buckets {
		if b.Reads != nil || b.Writes != nil {
			a.allow(bucketARN(b), "s3:ListBucket")
		}
		for _, prefix := range b.Reads {
			a.allow(objectsARN(b, prefix), "s3:GetObject")
			if b.ReadTags {
				a.allow(objectsARN(b, prefix), "s3:GetObjectTagging")
			}
		}
		for _, prefix := range b.Writes {
			a.allow(objectsARN(b, prefix), "s3:GetObject", "s3:PutObject")
			if b.WriteTags {
				a.allow(objectsARN(b, prefix), "s3:PutObjectTagging")
			}
			if b.WriteACL {
				a.allow(objectsARN(b, prefix), "s3:PutObjectAcl")
			}
		}
		for _, prefix := range b.Deletes {
			a.allow(objectsARN(b, prefix), "s3:DeleteObject")
		}
	}
	for _, secret := range t.Secrets {
		a.allow(secret, "secretsmanager:GetSecretValue")
	}
	return a.statements()
}

// provisionAccess is what switches EventBridge on for sources that the stack
// did not make.
func provisionAccess(t topology) []awsiam.PolicyStatement {
	a := access{}
	for _, b := range t.Buckets {
		if b.IsSource() && !b.Create {
			a.allow(bucketARN(b), "s3:GetBucketNotification", "s3:PutBucketNotification")
		}
	}
	return a.statements()
}

// keyAccess lets S3 use KMS keys on the function's behalf: those that rules
// encrypt replicas with, and those that the deployment names because its
// buckets use them. It is bound to S3, so the function cannot decrypt by itself.
func keyAccess(stack awscdk.Stack, t topology, others []string) []awsiam.PolicyStatement {
	var keys, aliases []string
	arn := func(resource string) string {
		return *stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("kms"), Resource: jsii.String(resource)})
	}
	for _, key := range append(slices.Clone(t.Keys), others...) {
		_, alias, isAlias := strings.Cut(key, "alias/")
		switch {
		case isAlias:
			aliases = append(aliases, "alias/"+alias)
		case strings.HasPrefix(key, "arn:"):
			keys = append(keys, key)
		default:
			keys = append(keys, arn("key/"+key))
		}
	}
	viaS3 := map[string]any{"kms:ViaService": "s3.*." + *stack.UrlSuffix()}
	var all []awsiam.PolicyStatement
	if len(keys) > 0 {
		all = append(all, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions:    jsii.Strings("kms:Decrypt", "kms:GenerateDataKey"),
			Resources:  jsii.Strings(sortedSet(keys)...),
			Conditions: &map[string]any{"StringLike": viaS3},
		}))
	}
	if len(aliases) > 0 {
		all = append(all, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions:   jsii.Strings("kms:Decrypt", "kms:GenerateDataKey"),
			Resources: jsii.Strings(arn("key/*")),
			Conditions: &map[string]any{
				"StringLike":             viaS3,
				"ForAnyValue:StringLike": map[string]any{"kms:ResourceAliases": sortedSet(aliases)},
			},
		}))
	}
	return all
}

func bucketARN(b bucket) string {
	return "arn:" + *awscdk.Aws_PARTITION() + ":s3:::" + b.Name
}

// objectsARN covers the objects under a prefix. What a policy cannot say
// literally (wildcards, variables, characters outside Latin-1) cuts the prefix
// short, which permits more and never less.
func objectsARN(b bucket, prefix string) string {
	cut := strings.IndexFunc(prefix, func(r rune) bool {
		return r < ' ' || r > 0xFF || strings.ContainsRune("*?$", r)
	})
	if cut >= 0 {
		prefix = prefix[:cut]
	}
	return bucketARN(b) + "/" + prefix + "*"
}
