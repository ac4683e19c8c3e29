package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// access is a policy in the making: the ARNs that each IAM action is allowed on.
type access map[string][]string

func (a access) allow(arn string, actions ...string) {
	for _, action := range actions {
		a[action] = append(a[action], arn)
	}
}

// maxStatement is how many characters of ARNs go into one statement. A role's
// policies have limits of 6,144 and 10,240 characters, and CDK spreads
// statements over several policies but cannot cut one in two.
const maxStatement = 2000

// statements joins the actions that have the same resources, so that a policy
// over many buckets repeats their names as seldom as it can.
func (a access) statements() []awsiam.PolicyStatement {
	var statements []awsiam.PolicyStatement
	for _, actions := range a.grouped() {
		for _, arns := range chunks(a[actions[0]], maxStatement) {
			statements = append(statements, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
				Actions:   jsii.Strings(actions...),
				Resources: jsii.Strings(arns...),
			}))
		}
	}
	return statements
}

// grouped are the actions that have the same resources, each group in order.
func (a access) grouped() [][]string {
	actionsOn := map[string][]string{}
	for _, action := range slices.Sorted(maps.Keys(a)) {
		a[action] = slices.Compact(slices.Sorted(slices.Values(a[action])))
		all := strings.Join(a[action], " ")
		actionsOn[all] = append(actionsOn[all], action)
	}
	var groups [][]string
	for _, all := range slices.Sorted(maps.Keys(actionsOn)) {
		groups = append(groups, actionsOn[all])
	}
	return groups
}

// chunks cuts a list into pieces of at most so many characters, or of one
// element.
func chunks(list []string, characters int) [][]string {
	var cut [][]string
	begin, size := 0, 0
	for i, s := range list {
		if size += len(s); size > characters && i > begin {
			cut = append(cut, list[begin:i])
			begin, size = i, len(s)
		}
	}
	return append(cut, list[begin:])
}

// objectAccess is what the event function and the workers do with buckets, each
// what it does, and, through S3, with keys.
func objectAccess(stack awscdk.Stack, settings Settings, t topology, does func(string, []bucket) access) []awsiam.PolicyStatement {
	return slices.Concat(
		does(*stack.Partition(), t.Buckets).statements(),
		identities(t).statements(),
		keyAccess(stack, slices.Concat(t.Keys, settings.KMSKeys)),
	)
}

// copying is what copying and deleting takes. A verification takes no more.
//
// ListBucket makes S3 answer 404 and not 403 for a key that is not there. A
// conditional write needs GetObject on the destination.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func copying(partition string, buckets []bucket) access {
	a := access{}
	for _, b := range buckets {
		if b.Reads != nil || b.Writes != nil {
			a.allow(bucketARN(partition, b), "s3:ListBucket")
		}
		for _, prefix := range shortest(b.Reads) {
			arn := objectsARN(partition, b, prefix)
			a.allow(arn, "s3:GetObject")
			if b.CopiesTags || b.FiltersTags { // of the version that was looked at, where there are versions
				a.allow(arn, "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
			}
			if b.CopiesLocks { // without these a look tells of no lock
				a.allow(arn, "s3:GetObjectRetention", "s3:GetObjectLegalHold")
			}
		}
		for _, prefix := range shortest(b.Writes) {
			arn := objectsARN(partition, b, prefix)
			a.allow(arn, "s3:GetObject", "s3:PutObject")
			if b.CopiesTags { // and compared, where only they changed
				a.allow(arn, "s3:GetObjectTagging", "s3:GetObjectVersionTagging", "s3:PutObjectTagging", "s3:PutObjectVersionTagging")
			}
			if b.CopiesLocks {
				a.allow(arn, "s3:GetObjectRetention", "s3:GetObjectLegalHold", "s3:PutObjectRetention", "s3:PutObjectLegalHold")
			}
			if b.WritesACL {
				a.allow(arn, "s3:PutObjectAcl")
			}
		}
		for _, prefix := range shortest(b.Deletes) {
			a.allow(objectsARN(partition, b, prefix), "s3:DeleteObject")
		}
	}
	return a
}

// looking is what looking at both sides and listing them takes.
func looking(partition string, t topology) access {
	a := access{}
	for _, b := range t.Buckets {
		if b.Reads != nil || b.Writes != nil {
			a.allow(bucketARN(partition, b), "s3:ListBucket")
		}
		for _, prefix := range shortest(slices.Concat(b.Reads, b.Writes)) {
			a.allow(objectsARN(partition, b, prefix), "s3:GetObject")
		}
		for _, prefix := range shortest(b.Reads) {
			if b.FiltersTags {
				a.allow(objectsARN(partition, b, prefix), "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
			}
		}
	}
	return a
}

// identities is what it takes to sign requests to backends that the function's
// own role does not reach.
func identities(t topology) access {
	a := access{}
	for _, b := range t.Backends {
		if b.CredentialsSecret != "" {
			a.allow(b.CredentialsSecret, "secretsmanager:GetSecretValue")
		}
		if b.RoleARN != "" {
			a.allow(b.RoleARN, "sts:AssumeRole")
		}
	}
	return a
}

// provisionAccess is what it takes to switch EventBridge on for these buckets.
func provisionAccess(partition string, adopted []bucket) []awsiam.PolicyStatement {
	a := access{}
	for _, b := range adopted {
		a.allow(bucketARN(partition, b), "s3:GetBucketNotification", "s3:PutBucketNotification")
	}
	return a.statements()
}

// keyAccess lets S3 use KMS keys on the function's behalf. They are ids,
// aliases or ARNs. The function itself cannot use them.
func keyAccess(stack awscdk.Stack, keys []string) []awsiam.PolicyStatement {
	local := func(resource string) string {
		return *stack.FormatArn(&awscdk.ArnComponents{Service: jsii.String("kms"), Resource: jsii.String(resource)})
	}
	var arns, aliases []string
	for _, key := range keys {
		if _, name, found := strings.Cut(key, "alias/"); found {
			aliases = append(aliases, "alias/"+name)
		} else if strings.HasPrefix(key, "arn:") {
			arns = append(arns, key)
		} else {
			arns = append(arns, local("key/"+key))
		}
	}
	statement := func(resources []string, conditions map[string]any) awsiam.PolicyStatement {
		conditions["StringLike"] = map[string]any{"kms:ViaService": "s3.*.amazonaws.com*"}
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions:    jsii.Strings("kms:Decrypt", "kms:GenerateDataKey"),
			Resources:  jsii.Strings(resources...),
			Conditions: &conditions,
		})
	}
	var statements []awsiam.PolicyStatement
	if len(arns) > 0 {
		statements = append(statements, statement(arns, map[string]any{}))
	}
	if len(aliases) > 0 {
		// A policy cannot name an alias, only ask what aliases the key has.
		statements = append(statements, statement([]string{local("key/*")},
			map[string]any{"ForAnyValue:StringEquals": map[string]any{"kms:ResourceAliases": aliases}}))
	}
	return statements
}

func bucketARN(partition string, b bucket) string {
	return "arn:" + partition + ":s3:::" + b.Name
}

// objectsARN covers the objects under a prefix. What a policy cannot say
// literally (wildcards, variables, characters outside Latin-1) cuts the prefix
// short, which permits more and never less.
func objectsARN(partition string, b bucket, prefix string) string {
	cut := strings.IndexFunc(prefix, func(r rune) bool {
		return r < ' ' || r > 0xFF || strings.ContainsRune("*?$", r)
	})
	if cut >= 0 {
		prefix = prefix[:cut]
	}
	return bucketARN(partition, b) + "/" + prefix + "*"
}
