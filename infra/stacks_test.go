package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/telemetry"
)

func TestEveryQueueHasDeadLettersOrHoldsThem(t *testing.T) {
	each(t, func(t *testing.T, _ *deployment, stack template) {
		holders := map[string]bool{}
		for _, id := range stack.of("AWS::SQS::Queue") {
			if target := at(stack.Resources[id].Properties, "RedrivePolicy", "deadLetterTargetArn"); target != nil {
				holders[text(target)] = true
			}
		}
		for _, id := range stack.of("AWS::Events::Rule") {
			for _, target := range list(stack.Resources[id].Properties["Targets"]) {
				holder := at(target, "DeadLetterConfig", "Arn")
				if holder == nil {
					t.Errorf("rule %s: a target without dead letters", id)
				}
				holders[text(holder)] = true
			}
		}
		for _, id := range stack.of("AWS::SQS::Queue") {
			p := stack.Resources[id].Properties
			redrive := p["RedrivePolicy"]
			switch {
			case redrive == nil && p["RedriveAllowPolicy"] == nil && !holders["${"+id+"}"]:
				t.Errorf("queue %s has no dead letters and holds none", id)
			case redrive != nil && at(redrive, "maxReceiveCount").(float64) < 5:
				t.Errorf("queue %s: a message is tried %v times, want 5 or more", id, at(redrive, "maxReceiveCount"))
			case redrive == nil && p["MessageRetentionPeriod"] != float64(14*24*3600):
				t.Errorf("queue %s keeps dead letters for %v s, want 14 days", id, p["MessageRetentionPeriod"])
			}
			if p["SqsManagedSseEnabled"] != true {
				t.Errorf("queue %s is not encrypted", id)
			}
		}
	})
}

func TestQueuesOutlastSixTimeoutsOfTheirFunction(t *testing.T) {
	each(t, func(t *testing.T, _ *deployment, stack template) {
		for _, id := range stack.of("AWS::Lambda::EventSourceMapping") {
			m := stack.Resources[id].Properties
			queue := stack.Resources[strings.Trim(text(m["EventSourceArn"]), "${}")].Properties
			function := stack.Resources[strings.Trim(text(m["FunctionName"]), "${}")].Properties
			visibility, timeout := queue["VisibilityTimeout"].(float64), function["Timeout"].(float64)
			if visibility < 6*timeout {
				t.Errorf("%s: a message is hidden for %v s, the function runs for up to %v s", id, visibility, timeout)
			}
			if !slices.Contains(texts(m["FunctionResponseTypes"]), "ReportBatchItemFailures") {
				t.Errorf("%s: one failure fails its whole batch", id)
			}
			if at(m, "ScalingConfig", "MaximumConcurrency") == nil {
				t.Errorf("%s has no bound on its concurrency", id)
			}
			if m["MaximumBatchingWindowInSeconds"] != nil {
				t.Errorf("%s waits for a batch to fill", id)
			}
		}
	})
}

func TestTheEventFunctionsEnvironmentIsWhatItReads(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		queueID, queue := stack.the(t, "AWS::SQS::Queue", "QueuesEvents")
		_, function := stack.the(t, "AWS::Lambda::Function", "Replicate")
		variables := at(function.Properties, "Environment", "Variables")
		environment, err := config.ReadReplicate(func(name string) string {
			value := at(variables, name)
			if value == nil {
				return ""
			}
			return strings.Replace(text(value), "${"+queueID+"}", "https://sqs.example/"+queueID, 1)
		})
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		if want := at(queue.Properties, "RedrivePolicy", "maxReceiveCount"); float64(environment.MaxReceives) != want {
			t.Errorf("%s: the function counts to %d receives, the queue to %v", d.name, environment.MaxReceives, want)
		}
		if want := queue.Properties["VisibilityTimeout"]; environment.VisibilityTimeout.Seconds() != want {
			t.Errorf("%s: the function believes in a visibility timeout of %s, the queue has %v s", d.name, environment.VisibilityTimeout, want)
		}
		if got, want := environment.Emulated, (config.Conditions{Copy: d == local}); got != want {
			t.Errorf("%s: emulates %+v, want %+v", d.name, got, want)
		}
		for name, table := range map[string]string{
			environment.RulesTable: "TablesRules", environment.ProvenanceTable: "TablesProvenance", environment.RunsTable: "TablesRuns",
		} {
			if id, _ := stack.the(t, "AWS::DynamoDB::Table", table); name != "${"+id+"}" {
				t.Errorf("%s: %s for %s", d.name, name, id)
			}
		}
	}
}

func TestNoStatementAllowsEveryActionOrResource(t *testing.T) {
	each(t, func(t *testing.T, _ *deployment, stack template) {
		for _, p := range stack.policies() {
			for _, s := range statements(p.document) {
				if slices.Contains(s.Actions, "*") || slices.Contains(s.Resources, "*") {
					t.Errorf("%s: %v on %v", p.id, s.Actions, s.Resources)
				}
			}
		}
		// AWS's own policies do, and a role that CDK makes by itself gets one.
		for id, r := range stack.Resources {
			if arns := texts(r.Properties["ManagedPolicyArns"]); slices.ContainsFunc(arns, func(arn string) bool { return strings.Contains(arn, ":aws:policy/") }) {
				t.Errorf("%s has the managed policies %v", id, arns)
			}
		}
	})
}

func TestQueuesTakeEventsOfOurRulesOnly(t *testing.T) {
	each(t, func(t *testing.T, d *deployment, stack template) {
		rules := map[string]bool{}
		for _, id := range stack.of("AWS::Events::Rule") {
			rules["${"+id+"}"] = true
		}
		for _, p := range stack.policies() {
			if p.kind != "AWS::SQS::QueuePolicy" {
				continue
			}
			for _, s := range statements(p.document) {
				from := texts(at(s.Condition, "ArnEquals", "aws:SourceArn"))
				if s.Effect != "Allow" {
					continue
				}
				if len(from) == 0 {
					t.Errorf("%s lets anybody in: %v", p.id, s)
				}
				for _, arn := range from {
					if !rules[arn] {
						t.Errorf("%s lets %s in, which is no rule of this stack", p.id, arn)
					}
				}
			}
		}
		// Every rule gets through to its target and to its dead letters.
		for rule := range rules {
			properties := stack.Resources[strings.Trim(rule, "${}")].Properties
			for _, target := range list(properties["Targets"]) {
				queues := []string{text(at(target, "DeadLetterConfig", "Arn"))}
				if at(target, "RoleArn") == nil {
					queues = append(queues, text(at(target, "Arn")))
				}
				for _, queue := range queues {
					if !slices.ContainsFunc(stack.policies(), func(p policy) bool {
						return slices.ContainsFunc(statements(p.document), func(s statement) bool {
							return s.Effect == "Allow" && slices.Contains(s.Resources, queue) &&
								slices.Contains(texts(at(s.Condition, "ArnEquals", "aws:SourceArn")), rule)
						})
					}) {
						t.Errorf("%s may not send to %s", rule, queue)
					}
				}
			}
		}
	})
}

func TestEachBucketIsReachableByExactlyWhoNeedsIt(t *testing.T) {
	stack := everything.home(t)
	wantReplicate := map[string][]string{
		"releases":       {"GetObject *", "GetObjectTagging *", "ListBucket"},
		"releases-dr":    {"DeleteObject *", "GetObject *", "ListBucket", "PutObject *", "PutObjectTagging *"},
		"fresh":          {"GetObject reports/*", "GetObjectTagging reports/*", "GetObjectVersionTagging reports/*", "ListBucket"},
		"frankfurt-logs": {"GetObject 2026 *", "GetObjectTagging 2026 *", "ListBucket"},
		"plain":          {"GetObject *", "GetObjectTagging *", "ListBucket"},
		"archive": {
			"GetObject fresh/*", "GetObject logs/*", "GetObject plain/*", "ListBucket",
			"PutObject fresh/*", "PutObject logs/*", "PutObject plain/*",
			"PutObjectAcl fresh/*", "PutObjectAcl logs/*", "PutObjectAcl plain/*",
			"PutObjectTagging fresh/*", "PutObjectTagging logs/*", "PutObjectTagging plain/*",
		},
	}
	wantProvision := map[string][]string{}
	for _, source := range []string{"releases", "frankfurt-logs", "plain"} { // the stack owns fresh
		wantProvision[source] = []string{"GetBucketNotification", "PutBucketNotification"}
	}
	for function, want := range map[string]map[string][]string{"Replicate": wantReplicate, "Provision": wantProvision} {
		got := onBuckets(stack.allowed(t, function))
		for bucket := range maps.Keys(merged(got, want)) {
			if !slices.Equal(got[bucket], want[bucket]) {
				t.Errorf("%s on %s: %q, want %q", function, bucket, got[bucket], want[bucket])
			}
		}
	}
}

func TestEachOfManyBucketsIsReachableByExactlyWhoNeedsIt(t *testing.T) {
	stack := many.home(t)
	replicate, provision := onBuckets(stack.allowed(t, "Replicate")), onBuckets(stack.allowed(t, "Provision"))
	storage := parse(t, many.config).Storage
	for _, r := range storage.Replication.Rules {
		from, to := r.Source.Bucket, r.Destination.Bucket
		if got, want := replicate[from], []string{"GetObject incoming/*", "GetObjectTagging incoming/*", "ListBucket"}; !slices.Equal(got, want) {
			t.Errorf("Replicate on %s: %q, want %q", from, got, want)
		}
		if got, want := replicate[to], []string{"DeleteObject copies/*", "GetObject copies/*", "ListBucket", "PutObject copies/*", "PutObjectTagging copies/*"}; !slices.Equal(got, want) {
			t.Errorf("Replicate on %s: %q, want %q", to, got, want)
		}
		if provision[from] == nil || provision[to] != nil {
			t.Errorf("Provision: %q on source %s, %q on destination %s", provision[from], from, provision[to], to)
		}
	}
	if len(replicate) != len(storage.Buckets) {
		t.Errorf("Replicate reaches %d buckets, %d are configured", len(replicate), len(storage.Buckets))
	}
}

func merged(a, b map[string][]string) map[string][]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// No local cloud evaluates what Lambda does in a function's name.
func TestLambdaMayReadTheEventsAndWriteTheLogs(t *testing.T) {
	stack := everything.home(t)
	for function, actions := range map[string][]string{
		"Replicate": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "logs:CreateLogStream", "logs:PutLogEvents"},
		"Provision": {"logs:CreateLogStream", "logs:PutLogEvents"},
	} {
		allowed := stack.allowed(t, function)
		for _, action := range actions {
			if len(allowed[action]) != 1 {
				t.Errorf("%s may %s on %q, want one resource", function, action, allowed[action])
			}
		}
	}
}

func TestKMSKeysAreUsedByS3Only(t *testing.T) {
	stack := everything.home(t)
	got := stack.allowed(t, "Replicate")["kms:GenerateDataKey"]
	want := []string{
		"arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-0000-0000-000000000000",
		"arn:aws:kms:us-east-1:111122223333:key/*", // alias/replicas, by condition
		"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	for _, p := range stack.policies() {
		for _, s := range statements(p.document) {
			if !slices.Contains(s.Actions, "kms:GenerateDataKey") {
				continue
			}
			if at(s.Condition, "StringLike", "kms:ViaService") == nil {
				t.Errorf("%v without S3 in between", s.Resources)
			}
			aliases := texts(at(s.Condition, "ForAnyValue:StringEquals", "kms:ResourceAliases"))
			if strings.HasSuffix(s.Resources[0], "/*") && !slices.Equal(aliases, []string{"alias/replicas"}) {
				t.Errorf("%v for the aliases %q", s.Resources, aliases)
			}
		}
	}
}

// TestPoliciesFitIAM checks the quotas that stop a deployment half way.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func TestPoliciesFitIAM(t *testing.T) {
	each(t, func(t *testing.T, _ *deployment, stack template) {
		inline, attached := map[string]int{}, map[string]int{}
		for _, p := range stack.policies() {
			for _, role := range p.roles {
				switch size := written(p.document); p.kind {
				case "AWS::IAM::ManagedPolicy":
					attached[role]++
					if size > 6144 {
						t.Errorf("managed policy %s has %d characters, IAM takes 6,144", p.id, size)
					}
				default:
					inline[role] += size
				}
			}
		}
		for role, size := range inline {
			if size > 10240 {
				t.Errorf("%s has %d characters of inline policies, IAM takes 10,240", role, size)
			}
		}
		for role, n := range attached {
			if n > 10 {
				t.Errorf("%s has %d managed policies, IAM takes 10", role, n)
			}
		}
		if n := len(stack.Resources); n > 500 {
			t.Errorf("%d resources, CloudFormation takes 500", n)
		}
	})
}

// written is about how long a policy is once its ARNs are known.
func written(document any) int {
	size := 0
	for _, s := range statements(document) {
		size += 60
		for _, one := range slices.Concat(s.Actions, s.Resources) {
			size += len(one) + 3
			if strings.Contains(one, "${") {
				size += 60
			}
		}
		if s.Condition != nil {
			b, _ := json.Marshal(s.Condition)
			size += len(b)
		}
	}
	return size
}

func TestEverySourceHasARuleInItsOwnRegion(t *testing.T) {
	for _, d := range deployments {
		stacks := d.synth(t)
		topology := newTopology(parse(t, d.config).Storage, "us-east-1")
		listened := map[string][]string{} // bucket to stacks
		for name, stack := range stacks {
			for _, id := range stack.of("AWS::Events::Rule") {
				pattern := stack.Resources[id].Properties["EventPattern"]
				b, err := json.Marshal(pattern)
				if err != nil {
					t.Fatal(err)
				}
				if len(b) > 2048 {
					t.Errorf("%s: pattern of %s has %d characters, EventBridge takes 2,048", name, id, len(b))
				}
				for _, bucket := range texts(at(pattern, "detail", "bucket", "name")) {
					listened[bucket] = append(listened[bucket], name)
				}
			}
		}
		sources := 0
		for _, b := range topology.Buckets {
			if !b.isSource() {
				continue
			}
			sources++
			want := "bucket-replicator"
			if b.Region != "us-east-1" {
				want += "-" + b.Region
			}
			if !slices.Equal(listened[b.Name], []string{want}) {
				t.Errorf("%s: events of %s are taken by %q, want once by %s", d.name, b.Name, listened[b.Name], want)
			}
		}
		if len(listened) != sources {
			t.Errorf("%s: %d buckets are listened to, %d are sources", d.name, len(listened), sources)
		}
	}
}

func TestOtherRegionsForwardToTheBusAtHome(t *testing.T) {
	for _, d := range []*deployment{everything, many, local} {
		_, bus := d.home(t).the(t, "AWS::Events::EventBus", "Forwarded")
		busARN := "arn:aws:events:us-east-1:" + account + ":event-bus/" + text(bus.Properties["Name"])
		outpost := d.synth(t)["bucket-replicator-eu-central-1"]
		roleID, _ := outpost.the(t, "AWS::IAM::Role", "Forwarder")
		for _, id := range outpost.of("AWS::Events::Rule") {
			for _, target := range list(outpost.Resources[id].Properties["Targets"]) {
				if text(at(target, "Arn")) != busARN || text(at(target, "RoleArn")) != "${"+roleID+"}" {
					t.Errorf("%s: %s sends to %v, want %s by the forwarder's role", d.name, id, target, busARN)
				}
			}
		}
		for _, p := range outpost.policies() {
			if !slices.Contains(p.roles, "${"+roleID+"}") {
				continue
			}
			if s := statements(p.document); len(s) != 1 || !slices.Equal(s[0].Actions, []string{"events:PutEvents"}) || !slices.Equal(s[0].Resources, []string{busARN}) {
				t.Errorf("%s: the forwarder may %+v", d.name, s)
			}
		}
		home := d.home(t)
		if !slices.ContainsFunc(home.of("AWS::Events::Rule"), func(id string) bool {
			return strings.HasPrefix(text(home.Resources[id].Properties["EventBusName"]), "${Forwarded")
		}) {
			t.Errorf("%s: nobody listens on the bus", d.name)
		}
	}
}

func TestTablesAreTheLedgersAndAreProtected(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		for prefix, want := range map[string]schema.Table{
			"TablesRules": schema.Rules, "TablesProvenance": schema.Provenance, "TablesRuns": schema.Runs,
		} {
			id, table := stack.the(t, "AWS::DynamoDB::Table", prefix)
			p := table.Properties
			if p["BillingMode"] != "PAY_PER_REQUEST" {
				t.Errorf("%s/%s is not on demand", d.name, id)
			}
			if kept := table.DeletionPolicy == "Retain" && p["DeletionProtectionEnabled"] == true &&
				at(p, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled") == true; kept != (d != local) {
				t.Errorf("%s/%s: protected %t", d.name, id, kept)
			}
			var keys []string
			for _, key := range list(p["KeySchema"]) {
				keys = append(keys, text(at(key, "AttributeName")))
			}
			if wantKeys := slices.DeleteFunc([]string{want.PartitionKey, want.SortKey}, func(s string) bool { return s == "" }); !slices.Equal(keys, wantKeys) {
				t.Errorf("%s/%s has the keys %q, want %q", d.name, id, keys, wantKeys)
			}
			if ttl := at(p, "TimeToLiveSpecification", "AttributeName"); want.TTL != "" && ttl != want.TTL {
				t.Errorf("%s/%s expires by %v, want %s", d.name, id, ttl, want.TTL)
			}
			if indexes := list(p["GlobalSecondaryIndexes"]); want.Index.Name != "" && (len(indexes) != 1 || at(indexes[0], "IndexName") != want.Index.Name) {
				t.Errorf("%s/%s has the indexes %v, want %s", d.name, id, indexes, want.Index.Name)
			}
		}
	}
}

func TestFunctionsWriteToALogGroupThatForgets(t *testing.T) {
	each(t, func(t *testing.T, _ *deployment, stack template) {
		for _, id := range stack.of("AWS::Lambda::Function") {
			group := strings.Trim(text(at(stack.Resources[id].Properties, "LoggingConfig", "LogGroup")), "${}")
			if stack.Resources[group].Properties["RetentionInDays"] == nil {
				t.Errorf("%s logs to %q, which keeps everything or does not exist", id, group)
			}
		}
	})
}

func TestFunctionsRunOnARM64ExceptLocally(t *testing.T) {
	each(t, func(t *testing.T, d *deployment, stack template) {
		want := map[string]string{"arm64": "arm64", "amd64": "x86_64"}[goarch(d == local)]
		for _, id := range stack.of("AWS::Lambda::Function") {
			p := stack.Resources[id].Properties
			if got := texts(p["Architectures"]); !slices.Equal(got, []string{want}) || p["Runtime"] != "provided.al2023" {
				t.Errorf("%s runs on %v %v, want %s", id, got, p["Runtime"], want)
			}
		}
	})
	_, replicate := everything.home(t).the(t, "AWS::Lambda::Function", "Replicate")
	if replicate.Properties["RecursiveLoop"] != "Allow" {
		t.Errorf("Lambda stops the event function as a loop when it puts messages back: %v", replicate.Properties["RecursiveLoop"])
	}
}

func TestEveryDocumentedAlarmExistsAndTellsTheTopic(t *testing.T) {
	each(t, func(t *testing.T, d *deployment, stack template) {
		want := []string{"UndeliveredEvents"}
		if stack.name == "bucket-replicator" {
			want = append(want, "EventsDeadLetters", "EventsOldestMessage", "ObjectsFailed", "ReplicateErrors", "ProvisionErrors")
		}
		for _, name := range want {
			stack.the(t, "AWS::CloudWatch::Alarm", "Alarms"+name)
		}
		topic, _ := stack.the(t, "AWS::SNS::Topic", "AlarmsTopic")
		for _, id := range stack.of("AWS::CloudWatch::Alarm") {
			p := stack.Resources[id].Properties
			if !slices.Equal(texts(p["AlarmActions"]), []string{"${" + topic + "}"}) {
				t.Errorf("%s tells %v", id, p["AlarmActions"])
			}
			if text(p["AlarmDescription"]) == "" || p["TreatMissingData"] != "notBreaching" {
				t.Errorf("%s does not say what to do, or rings when nothing happens", id)
			}
		}
		if !slices.ContainsFunc(stack.policies(), func(p policy) bool {
			return p.kind == "AWS::SNS::TopicPolicy" && slices.ContainsFunc(statements(p.document), func(s statement) bool {
				return s.Effect == "Allow" && slices.Contains(s.Actions, "sns:Publish") && slices.Contains(s.Resources, "${"+topic+"}")
			})
		}) {
			t.Errorf("CloudWatch may not publish to %s", topic)
		}
		if subscribed := len(stack.of("AWS::SNS::Subscription")) > 0; subscribed != (d == everything) {
			t.Errorf("somebody is subscribed: %t", subscribed)
		}
	})
}

func TestEachRulesLatencyIsWatchedAgainstItsTarget(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		storage := parse(t, d.config).Storage
		namespace := at(stack.Resources[function(t, stack, "Replicate")].Properties, "Environment", "Variables", config.MetricsNamespace)
		watched := map[string]time.Duration{}
		for _, id := range stack.of("AWS::CloudWatch::Alarm") {
			p := stack.Resources[id].Properties
			if p["MetricName"] != telemetry.ReplicationLatency {
				continue
			}
			for _, dimension := range list(p["Dimensions"]) {
				if at(dimension, "Name") == telemetry.Rule && p["Namespace"] == namespace {
					watched[text(at(dimension, "Value"))] = time.Duration(p["Threshold"].(float64)) * time.Second
				}
			}
		}
		for _, r := range storage.Replication.Rules {
			if got, want := watched[r.Name], r.LatencyTarget; r.Enabled && rule.Duration(got) != want {
				t.Errorf("%s: rule %s is watched for %s, want %s", d.name, r.Name, got, want)
			}
		}
	}
}

func function(t *testing.T, stack template, prefix string) string {
	t.Helper()
	id, _ := stack.the(t, "AWS::Lambda::Function", prefix)
	return id
}

func TestOwnedBucketsArePrivateEncryptedAndKept(t *testing.T) {
	for _, d := range []*deployment{everything, local} {
		stack := d.home(t)
		var owned []string
		for _, id := range stack.of("AWS::S3::Bucket") {
			r := stack.Resources[id]
			name := text(r.Properties["BucketName"])
			owned = append(owned, name)
			if r.DeletionPolicy != "Retain" {
				t.Errorf("%s: %s goes with the stack", d.name, name)
			}
			for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
				if at(r.Properties, "PublicAccessBlockConfiguration", block) != true {
					t.Errorf("%s: %s lacks %s", d.name, name, block)
				}
			}
			if r.Properties["BucketEncryption"] == nil {
				t.Errorf("%s: %s is not encrypted", d.name, name)
			}
			versioned := at(r.Properties, "VersioningConfiguration", "Status") == "Enabled"
			notifies := at(r.Properties, "NotificationConfiguration", "EventBridgeConfiguration", "EventBridgeEnabled") == true
			if fresh := name == "fresh"; versioned != fresh || notifies != fresh {
				t.Errorf("%s: %s: versioned %t, sends events %t", d.name, name, versioned, notifies)
			}
			tlsOnly := slices.ContainsFunc(stack.policies(), func(p policy) bool {
				return p.kind == "AWS::S3::BucketPolicy" && strings.Contains(text(p.document), "aws:SecureTransport") && strings.Contains(text(p.document), id)
			})
			if tlsOnly != (d != local) { // the local cloud has no TLS
				t.Errorf("%s: %s: TLS only %t", d.name, name, tlsOnly)
			}
		}
		if !slices.Equal(owned, []string{"archive", "fresh"}) {
			t.Errorf("%s: the stack owns %q", d.name, owned)
		}
	}
}

func TestConfigurationIsDeployedAfterWhatItSwitchesOn(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		_, deployed := stack.the(t, "Custom::ReplicationConfiguration", "")
		for _, kind := range []string{
			"AWS::Events::Rule", "AWS::SQS::QueuePolicy", "AWS::Lambda::EventSourceMapping", "AWS::DynamoDB::Table", "AWS::S3::Bucket",
		} {
			for _, id := range stack.of(kind) {
				if !slices.Contains(deployed.DependsOn, id) {
					t.Errorf("%s: the configuration does not wait for %s", d.name, id)
				}
			}
		}
		var adopted []string
		for _, b := range list(deployed.Properties["Buckets"]) {
			adopted = append(adopted, text(at(b, "Name"))+" in "+text(at(b, "Region")))
		}
		if want := []string{"frankfurt-logs in eu-central-1", "plain in us-east-1", "releases in us-east-1"}; d == everything && !slices.Equal(adopted, want) {
			t.Errorf("adopts %q, want %q", adopted, want)
		}
	}
	a, b := everything.home(t), many.home(t)
	hash := func(stack template) any {
		_, r := stack.the(t, "Custom::ReplicationConfiguration", "")
		return r.Properties["ConfigurationHash"]
	}
	if hash(a) == hash(b) {
		t.Error("another configuration has the same hash: its deployment would do nothing")
	}
}
