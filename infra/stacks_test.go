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
		for _, id := range stack.eventRules() {
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

// environment is what a function is told. The URL of a queue is
// https://sqs.example/ and its logical id, a table's name "${LogicalID}".
func (t template) environment(test *testing.T, functionPrefix string) func(name string) string {
	test.Helper()
	_, function := t.the(test, "AWS::Lambda::Function", functionPrefix)
	variables := at(function.Properties, "Environment", "Variables")
	return func(name string) string {
		value := at(variables, name)
		if value == nil {
			return ""
		}
		id := strings.Trim(text(value), "${}")
		if t.Resources[id].Type == "AWS::SQS::Queue" {
			return "https://sqs.example/" + id
		}
		return text(value)
	}
}

func TestTheFunctionsEnvironmentsAreWhatTheyRead(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		eventsID, queue := stack.the(t, "AWS::SQS::Queue", "QueuesEvents")
		shardsID, _ := stack.the(t, "AWS::SQS::Queue", "ShardQueuesShards")
		transfersID, _ := stack.the(t, "AWS::SQS::Queue", "TransferQueuesTransfers")
		events, shards, transfers := "https://sqs.example/"+eventsID, "https://sqs.example/"+shardsID, "https://sqs.example/"+transfersID

		environment, err := config.ReadReplicate(stack.environment(t, "Replicate"))
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		reconcile, err := config.ReadReconcile(stack.environment(t, "Reconcile"))
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		admin, err := config.ReadAdmin(stack.environment(t, "Admin"))
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		schedule, err := config.ReadSchedule(stack.environment(t, "Schedule"))
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		transfer, err := config.ReadTransfer(stack.environment(t, "Transfer"))
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		for _, url := range []string{environment.EventsQueueURL, schedule.EventsQueueURL, transfer.EventsQueueURL} {
			if url != events {
				t.Errorf("%s: events go to %s, want %s", d.name, url, events)
			}
		}
		for _, url := range []string{environment.ByParts.QueueURL, reconcile.ByParts.QueueURL, transfer.TransfersQueueURL, schedule.TransfersQueueURL} {
			if url != transfers {
				t.Errorf("%s: large objects go to %s, want %s", d.name, url, transfers)
			}
		}
		_, workers := stack.the(t, "AWS::Lambda::EventSourceMapping", "Transfer")
		if want := at(workers.Properties, "ScalingConfig", "MaximumConcurrency"); float64(transfer.Workers) != want || schedule.Workers != transfer.Workers {
			t.Errorf("%s: %d and %d workers are invited, there may be %v", d.name, transfer.Workers, schedule.Workers, want)
		}
		if transfer.VisibilityTimeout != environment.VisibilityTimeout || transfer.MaxReceives != environment.MaxReceives ||
			reconcile.ByParts != environment.ByParts {
			t.Errorf("%s: events and transfers go by other rules: %+v, %+v, %+v", d.name, environment, reconcile, transfer)
		}
		for _, url := range []string{reconcile.ShardsQueueURL, schedule.ShardsQueueURL, admin.ShardsQueueURL} {
			if url != shards {
				t.Errorf("%s: tickets go to %s, want %s", d.name, url, shards)
			}
		}
		_, source := stack.the(t, "AWS::Lambda::EventSourceMapping", "Reconcile")
		if want := at(source.Properties, "ScalingConfig", "MaximumConcurrency"); float64(reconcile.SweepConcurrency) != want {
			t.Errorf("%s: a worker believes in %d of its kind, there may be %v", d.name, reconcile.SweepConcurrency, want)
		}
		if reconcile.VisibilityTimeout != environment.VisibilityTimeout {
			t.Errorf("%s: events and runs go by other rules: %+v, %+v", d.name, environment, reconcile)
		}
		if admin.VisibilityTimeout != environment.VisibilityTimeout {
			t.Errorf("%s: the API takes %v for the visibility timeout, events %v", d.name, admin.VisibilityTimeout, environment.VisibilityTimeout)
		}
		if want := at(queue.Properties, "RedrivePolicy", "maxReceiveCount"); float64(environment.MaxReceives) != want {
			t.Errorf("%s: the function counts to %d receives, the queue to %v", d.name, environment.MaxReceives, want)
		}
		if want := queue.Properties["VisibilityTimeout"]; environment.VisibilityTimeout.Seconds() != want {
			t.Errorf("%s: the function believes in a visibility timeout of %s, the queue has %v s", d.name, environment.VisibilityTimeout, want)
		}
		for name, table := range map[string]string{
			environment.RulesTable: "TablesRules", environment.ProvenanceTable: "TablesProvenance", environment.RunsTable: "TablesRuns",
			reconcile.RulesTable: "TablesRules", reconcile.ProvenanceTable: "TablesProvenance", reconcile.RunsTable: "TablesRuns",
			schedule.RulesTable: "TablesRules", schedule.RunsTable: "TablesRuns",
			transfer.RulesTable: "TablesRules", transfer.ProvenanceTable: "TablesProvenance", transfer.RunsTable: "TablesRuns", transfer.TransfersTable: "TablesTransfers",
			environment.TransfersTable: "TablesTransfers", reconcile.TransfersTable: "TablesTransfers", schedule.TransfersTable: "TablesTransfers", admin.TransfersTable: "TablesTransfers",
			admin.RulesTable: "TablesRules", admin.ProvenanceTable: "TablesProvenance", admin.RunsTable: "TablesRuns",
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
			if stack.isAccountsLogRole(id) {
				continue // it is not this stack's APIs' alone
			}
			if arns := texts(r.Properties["ManagedPolicyArns"]); slices.ContainsFunc(arns, func(arn string) bool { return strings.Contains(arn, ":aws:policy/") }) {
				t.Errorf("%s has the managed policies %v", id, arns)
			}
		}
	})
}

func TestQueuesTakeEventsOfOurRulesOnly(t *testing.T) {
	each(t, func(t *testing.T, d *deployment, stack template) {
		rules, topics := map[string]bool{}, map[string]bool{}
		for _, id := range stack.eventRules() {
			rules["${"+id+"}"] = true
		}
		for _, id := range stack.of("AWS::SNS::Subscription") {
			if p := stack.Resources[id].Properties; p["Protocol"] == "sqs" {
				topics[text(p["TopicArn"])] = true
				if p["RawMessageDelivery"] != true || p["Region"] != "eu-west-2" {
					t.Errorf("%s is delivered as %v", id, p)
				}
			}
		}
		if want := map[bool]int{true: 1}[(d == everything || d == local) && stack.name == "bucket-replicator"]; len(topics) != want {
			t.Errorf("%d topics are subscribed, want %d", len(topics), want)
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
					if !rules[arn] && !topics[arn] {
						t.Errorf("%s lets %s in, which is no rule of this stack and no topic of its", p.id, arn)
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
		"releases":       {"GetObject *", "GetObjectTagging *", "GetObjectVersionTagging *", "ListBucket"},
		"releases-dr":    {"DeleteObject *", "GetObject *", "GetObjectTagging *", "GetObjectVersionTagging *", "ListBucket", "PutObject *", "PutObjectTagging *", "PutObjectVersionTagging *"},
		"fresh":          {"GetObject reports/*", "GetObjectTagging reports/*", "GetObjectVersionTagging reports/*", "ListBucket"},
		"frankfurt-logs": {"GetObject 2026 *", "GetObjectTagging 2026 *", "GetObjectVersionTagging 2026 *", "ListBucket"},
		"plain":          {"GetObject *", "GetObjectLegalHold *", "GetObjectRetention *", "GetObjectTagging *", "GetObjectVersionTagging *", "ListBucket"},
		"locked":         {"GetObject *", "GetObjectLegalHold *", "GetObjectRetention *", "GetObjectTagging *", "GetObjectVersionTagging *", "ListBucket", "PutObject *", "PutObjectLegalHold *", "PutObjectRetention *", "PutObjectTagging *", "PutObjectVersionTagging *"},
		"archive": {
			"GetObject fresh/*", "GetObject hq/*", "GetObject logs/*", "GetObject partner/*", "GetObject plain/*", "GetObject sister/*",
			"GetObjectTagging fresh/*", "GetObjectTagging hq/*", "GetObjectTagging logs/*", "GetObjectTagging partner/*", "GetObjectTagging plain/*", "GetObjectTagging sister/*",
			"GetObjectVersionTagging fresh/*", "GetObjectVersionTagging hq/*", "GetObjectVersionTagging logs/*", "GetObjectVersionTagging partner/*", "GetObjectVersionTagging plain/*", "GetObjectVersionTagging sister/*", "ListBucket",
			"PutObject fresh/*", "PutObject hq/*", "PutObject logs/*", "PutObject partner/*", "PutObject plain/*", "PutObject sister/*",
			"PutObjectAcl fresh/*", "PutObjectAcl hq/*", "PutObjectAcl logs/*", "PutObjectAcl partner/*", "PutObjectAcl plain/*", "PutObjectAcl sister/*",
			"PutObjectTagging fresh/*", "PutObjectTagging hq/*", "PutObjectTagging logs/*", "PutObjectTagging partner/*", "PutObjectTagging plain/*", "PutObjectTagging sister/*",
			"PutObjectVersionTagging fresh/*", "PutObjectVersionTagging hq/*", "PutObjectVersionTagging logs/*", "PutObjectVersionTagging partner/*", "PutObjectVersionTagging plain/*", "PutObjectVersionTagging sister/*",
		},
		"sister-in": {"GetObject *", "ListBucket"}, // another account's, whose bucket policy lets us in
	}
	// A transfer reads the version that it began with, and clears up after itself.
	wantTransfer := map[string][]string{}
	for bucket, actions := range wantReplicate {
		for _, action := range actions {
			name, keys, _ := strings.Cut(action, " ")
			switch name {
			case "DeleteObject":
				continue
			case "PutObject":
				wantTransfer[bucket] = append(wantTransfer[bucket], "AbortMultipartUpload "+keys, "ListBucketMultipartUploads")
			case "GetObject":
				if !slices.ContainsFunc(actions, func(a string) bool { return strings.HasPrefix(a, "PutObject ") }) {
					wantTransfer[bucket] = append(wantTransfer[bucket], "GetObjectVersion "+keys)
				}
			case "GetObjectTagging":
				wantTransfer[bucket] = append(wantTransfer[bucket], "GetObjectVersionTagging "+keys)
			}
			wantTransfer[bucket] = append(wantTransfer[bucket], action)
		}
		slices.Sort(wantTransfer[bucket])
		wantTransfer[bucket] = slices.Compact(wantTransfer[bucket])
	}
	wantAdmin := map[string][]string{
		"releases":       {"GetObject *", "ListBucket"},
		"releases-dr":    {"GetObject *", "ListBucket"},
		"fresh":          {"GetObject reports/*", "GetObjectTagging reports/*", "GetObjectVersionTagging reports/*", "ListBucket"},
		"frankfurt-logs": {"GetObject 2026 *", "ListBucket"},
		"plain":          {"GetObject *", "ListBucket"},
		"locked":         {"GetObject *", "ListBucket"},
		"archive":        {"GetObject fresh/*", "GetObject hq/*", "GetObject logs/*", "GetObject off/*", "GetObject partner/*", "GetObject plain/*", "GetObject sister/*", "ListBucket"},
		"sister-in":      {"GetObject *", "ListBucket"},
		"switched-off":   {"GetObject *", "ListBucket"}, // for dry runs
	}
	wantProvision := map[string][]string{}
	for _, source := range []string{"releases", "frankfurt-logs", "plain"} { // the stack owns fresh
		wantProvision[source] = []string{"GetBucketNotification", "PutBucketNotification"}
	}
	for function, want := range map[string]map[string][]string{
		"Replicate": wantReplicate, "Reconcile": wantReplicate, "Transfer": wantTransfer, "Provision": wantProvision, "Schedule": nil, "Admin": wantAdmin,
	} {
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
		if got, want := replicate[from], []string{"GetObject incoming/*", "GetObjectTagging incoming/*", "GetObjectVersionTagging incoming/*", "ListBucket"}; !slices.Equal(got, want) {
			t.Errorf("Replicate on %s: %q, want %q", from, got, want)
		}
		if got, want := replicate[to], []string{"DeleteObject copies/*", "GetObject copies/*", "GetObjectTagging copies/*", "GetObjectVersionTagging copies/*", "ListBucket", "PutObject copies/*", "PutObjectTagging copies/*", "PutObjectVersionTagging copies/*"}; !slices.Equal(got, want) {
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
		"Replicate": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "logs:CreateLogStream", "logs:PutLogEvents"},
		"Reconcile": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "logs:CreateLogStream", "logs:PutLogEvents"},
		"Schedule":  {"logs:CreateLogStream", "logs:PutLogEvents"},
		"Admin":     {"logs:CreateLogStream", "logs:PutLogEvents"},
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
	want := []string{
		"arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-0000-0000-000000000000",
		"arn:aws:kms:us-east-1:111122223333:key/*", // alias/replicas, by condition
		"arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
	}
	for _, function := range []string{"Replicate", "Reconcile"} {
		if got := stack.allowed(t, function)["kms:GenerateDataKey"]; !slices.Equal(got, want) {
			t.Errorf("%s: keys %q, want %q", function, got, want)
		}
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
			for _, id := range stack.eventRules() {
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
			if !b.isListenedTo() {
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

// Who signs for a backend reads that secret or assumes that role, and no other.
func TestEachSecretAndRoleIsUsedByExactlyWhoNeedsIt(t *testing.T) {
	const (
		minio   = "arn:aws:secretsmanager:us-east-1:111122223333:secret:minio-hq-AbCdEf"
		spare   = "arn:aws:secretsmanager:us-east-1:111122223333:secret:spare-AbCdEf" // of a rule that is off
		partner = "arn:aws:iam::222233334444:role/replicator"
	)
	stack := everything.home(t)
	for function, want := range map[string]map[string][]string{
		"Replicate": {"secretsmanager:GetSecretValue": {minio}, "sts:AssumeRole": {partner}},
		"Reconcile": {"secretsmanager:GetSecretValue": {minio}, "sts:AssumeRole": {partner}},
		"Admin":     {"secretsmanager:GetSecretValue": {minio, spare}, "sts:AssumeRole": {partner}}, // for dry runs
		"Schedule":  {},
		"Provision": {},
		"Transfer":  {"secretsmanager:GetSecretValue": {minio}, "sts:AssumeRole": {partner}},
		"Webhook":   {"secretsmanager:GetSecretValue": {"arn:aws:secretsmanager:us-east-1:111122223333:secret:minio-hook-AbCdEf"}},
	} {
		allowed := stack.allowed(t, function)
		for _, action := range []string{"secretsmanager:GetSecretValue", "sts:AssumeRole"} {
			if !slices.Equal(allowed[action], want[action]) {
				t.Errorf("%s may %s of %q, want %q", function, action, allowed[action], want[action])
			}
		}
		for action := range allowed {
			if strings.HasPrefix(action, "secretsmanager:") && action != "secretsmanager:GetSecretValue" {
				t.Errorf("%s may %s", function, action)
			}
		}
	}
}

// Anybody may reach it, so it reaches next to nothing.
func TestTheWebhookOnlyEnqueues(t *testing.T) {
	stack := everything.home(t)
	var can []string
	for action := range stack.allowed(t, "Webhook") {
		if !strings.HasPrefix(action, "logs:") {
			can = append(can, action)
		}
	}
	slices.Sort(can)
	if want := []string{"secretsmanager:GetSecretValue", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"}; !slices.Equal(can, want) {
		t.Errorf("it may %q, want %q", can, want)
	}
	read, err := config.ReadWebhook(stack.environment(t, "Webhook"))
	if err != nil || !maps.Equal(read.Secrets, map[string]string{"minio-hq": "arn:aws:secretsmanager:us-east-1:111122223333:secret:minio-hook-AbCdEf"}) {
		t.Errorf("it is told %+v, %v", read, err)
	}
	for _, d := range []*deployment{many, idle} {
		if webhooks := d.home(t).Resources; slices.ContainsFunc(slices.Collect(maps.Keys(webhooks)), func(id string) bool { return strings.HasPrefix(id, "Webhook") }) {
			t.Errorf("%s has a webhook, and no backend that would use it", d.name)
		}
	}
}

func TestOtherAccountsMaySendEventsOfS3Only(t *testing.T) {
	stack := everything.home(t)
	bus, _ := stack.the(t, "AWS::Events::EventBus", "Forwarded")
	var in []string
	for _, id := range stack.of("AWS::Events::EventBusPolicy") {
		p := stack.Resources[id].Properties
		s := p["Statement"]
		in = append(in, text(at(s, "Principal", "AWS")))
		if text(p["EventBusName"]) != "${"+bus+"}" || at(s, "Action") != "events:PutEvents" || at(s, "Condition", "StringEquals", "events:source") != "aws.s3" {
			t.Errorf("%s lets in %v", id, p)
		}
	}
	slices.Sort(in)
	if want := []string{"arn:aws:iam::222233334444:root", "arn:aws:iam::333344445555:root"}; !slices.Equal(in, want) {
		t.Errorf("the bus takes events of %q, want %q", in, want)
	}
	if others := many.home(t).of("AWS::Events::EventBusPolicy"); len(others) > 0 {
		t.Errorf("the bus takes events of others where none has a source: %q", others)
	}
}

// What other accounts have to allow comes out as JSON that their owners can use
// as it is.
func TestOtherAccountsAreToldWhatToAllow(t *testing.T) {
	stack := everything.home(t)
	var roles []string
	for _, function := range []string{"Replicate", "Reconcile", "Transfer", "Admin"} {
		_, f := stack.the(t, "AWS::Lambda::Function", function)
		roles = append(roles, text(f.Properties["Role"]))
	}
	said := func(output string) any {
		t.Helper()
		for name, o := range stack.Outputs {
			if strings.HasPrefix(name, "OtherAccounts"+output) {
				var v any
				if err := json.Unmarshal([]byte(text(at(o, "Value"))), &v); err != nil {
					t.Fatalf("%s is not JSON: %v", name, err)
				}
				return v
			}
		}
		t.Fatalf("no output OtherAccounts%s", output)
		return nil
	}
	trust := list(at(said("partnerTrust"), "Statement"))[0]
	if got := texts(at(trust, "Principal", "AWS")); !slices.Equal(got, roles) || at(trust, "Condition", "StringEquals", "sts:ExternalId") != "shared-word" {
		t.Errorf("the partner's role trusts %v", trust)
	}
	got := map[string][]string{}
	for _, s := range statements(said("partnerPermissions")) {
		for _, action := range s.Actions {
			got[action] = append(got[action], s.Resources...)
		}
	}
	for bucket, want := range map[string][]string{
		"partner-in":  {"GetObject *", "GetObjectVersion *", "ListBucket"},
		"partner-out": {"AbortMultipartUpload *", "DeleteObject *", "GetObject *", "ListBucket", "ListBucketMultipartUploads", "PutObject *"},
	} {
		if got := onBuckets(got)[bucket]; !slices.Equal(got, want) {
			t.Errorf("the partner's role may on %s: %q, want %q", bucket, got, want)
		}
	}
	for _, s := range list(at(said("sistersisterin"), "Statement")) {
		if got := texts(at(s, "Principal", "AWS")); !slices.Equal(got, roles) {
			t.Errorf("the sister's bucket lets in %q, want %q", got, roles)
		}
	}
	for _, backend := range []string{"partner", "sister"} {
		events := said(backend + "Events0")
		if got := texts(at(events, "EventPattern", "detail", "bucket", "name")); !slices.Equal(got, []string{backend + "-in"}) {
			t.Errorf("%s forwards events of %q", backend, got)
		}
		target := text(at(events, "TargetArn"))
		if want := "arn:aws:events:us-east-1:" + account + ":event-bus/bucket-replicator-forwarded"; target != want {
			t.Errorf("%s forwards to %s, want %s", backend, target, want)
		}
	}
}

func TestTablesAreTheLedgersAndAreProtected(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		for prefix, want := range map[string]schema.Table{
			"TablesRules": schema.Rules, "TablesProvenance": schema.Provenance, "TablesRuns": schema.Runs, "TablesTransfers": schema.Transfers,
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
			var indexes, wantIndexes []string
			for _, index := range list(p["GlobalSecondaryIndexes"]) {
				indexes = append(indexes, text(at(index, "IndexName")))
			}
			for _, index := range want.Indexes {
				wantIndexes = append(wantIndexes, index.Name)
			}
			if !slices.Equal(indexes, wantIndexes) {
				t.Errorf("%s/%s has the indexes %q, want %q", d.name, id, indexes, wantIndexes)
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
}

func TestLambdaStopsNobodyWhoPutsMessagesBack(t *testing.T) {
	for function, want := range map[string]string{
		"Replicate": "Allow", "Reconcile": "Allow", "Transfer": "Allow", "Schedule": "Terminate", "Admin": "Terminate", "Provision": "Terminate",
	} {
		_, f := everything.home(t).the(t, "AWS::Lambda::Function", function)
		if got := f.Properties["RecursiveLoop"]; got != want {
			t.Errorf("%s: a loop is %v, want %s", function, got, want)
		}
	}
}

func TestEveryDocumentedAlarmExistsAndTellsTheTopic(t *testing.T) {
	each(t, func(t *testing.T, d *deployment, stack template) {
		want := []string{"UndeliveredEvents"}
		if stack.name == "bucket-replicator" {
			want = append(want, "EventsDeadLetters", "EventsOldestMessage", "ShardsDeadLetters", "TransfersDeadLetters", "TransferErrors", "ObjectsFailed", "RunsFailed", "DeletesHeld", "DifferencesFound",
				"ReplicateErrors", "ReconcileErrors", "ScheduleErrors", "AdminErrors", "ProvisionErrors", "ScheduleSilent")
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
			missing := "notBreaching"
			if strings.HasPrefix(id, "AlarmsScheduleSilent") {
				missing = "breaching"
			}
			if text(p["AlarmDescription"]) == "" || p["TreatMissingData"] != missing {
				t.Errorf("%s does not say what to do, or takes no data for %v, want %s", id, p["TreatMissingData"], missing)
			}
		}
		if !slices.ContainsFunc(stack.policies(), func(p policy) bool {
			return p.kind == "AWS::SNS::TopicPolicy" && slices.ContainsFunc(statements(p.document), func(s statement) bool {
				return s.Effect == "Allow" && slices.Contains(s.Actions, "sns:Publish") && slices.Contains(s.Resources, "${"+topic+"}")
			})
		}) {
			t.Errorf("CloudWatch may not publish to %s", topic)
		}
		subscriptions := slices.DeleteFunc(stack.of("AWS::SNS::Subscription"), func(id string) bool { return stack.Resources[id].Properties["Protocol"] == "sqs" })
		if subscribed := len(subscriptions) > 0; subscribed != (d == everything) {
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
				// Runs begin at a tick, before or after, and large objects wait in
				// their queue.
				runs := slices.ContainsFunc([]string{"Schedule", "Reconcile", "ShardQueues", "Transfer"}, func(prefix string) bool { return strings.HasPrefix(id, prefix) })
				if !runs && !slices.Contains(deployed.DependsOn, id) {
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

func TestTheScheduleTicksAsOftenAsConfigured(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		tick := parse(t, d.config).Storage.Replication.TickInterval
		_, ticks := stack.the(t, "AWS::Events::Rule", "ScheduleTicks")
		want := map[rule.Duration]string{
			rule.Duration(time.Minute):     "rate(1 minute)",
			rule.Duration(5 * time.Minute): "rate(5 minutes)",
		}[tick]
		if got := ticks.Properties["ScheduleExpression"]; got != want {
			t.Errorf("%s: a tick every %v, want %s: %s", d.name, got, tick, want)
		}
		id := function(t, stack, "Schedule")
		targets := list(ticks.Properties["Targets"])
		if len(targets) != 1 || text(at(targets[0], "Arn")) != "${"+id+"}" || at(targets[0], "RetryPolicy", "MaximumRetryAttempts") != 0.0 {
			t.Errorf("%s: ticks go to %v", d.name, targets)
		}
		_, permission := stack.the(t, "AWS::Lambda::Permission", "Schedule")
		ruleID, _ := stack.the(t, "AWS::Events::Rule", "ScheduleTicks")
		if p := permission.Properties; text(p["FunctionName"]) != "${"+id+"}" || p["Principal"] != "events.amazonaws.com" || text(p["SourceArn"]) != "${"+ruleID+"}" {
			t.Errorf("%s: the schedule may be called by %v", d.name, p)
		}
		_, async := stack.the(t, "AWS::Lambda::EventInvokeConfig", "Schedule")
		if async.Properties["MaximumRetryAttempts"] != 0.0 {
			t.Errorf("%s: a tick that failed is repeated: %v", d.name, async.Properties)
		}
		_, silent := stack.the(t, "AWS::CloudWatch::Alarm", "AlarmsScheduleSilent")
		if p := silent.Properties; p["Period"] != time.Duration(tick).Seconds() || p["ComparisonOperator"] != "LessThanThreshold" {
			t.Errorf("%s: silence is noticed by %v", d.name, p)
		}
	}
}

func TestEachTableIsReachableByExactlyWhoNeedsIt(t *testing.T) {
	read := []string{"BatchGetItem", "GetItem", "Scan"}
	life := []string{"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"} // of a run
	want := map[string]map[string][]string{
		"Replicate": {"Rules": read, "Provenance": {"BatchGetItem", "DeleteItem", "PutItem"}, "Runs": {"DeleteItem", "Query", "UpdateItem"}, "Transfers": {"GetItem", "PutItem"}},
		"Reconcile": {"Rules": read, "Provenance": {"BatchGetItem", "DeleteItem", "PutItem"}, "Runs": life, "Transfers": {"GetItem", "PutItem"}},
		"Transfer": {"Rules": read, "Provenance": {"BatchGetItem", "DeleteItem", "PutItem"}, "Runs": {"DeleteItem", "Query", "UpdateItem"},
			"Transfers": {"DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem"}},
		"Schedule": {"Rules": {"GetItem", "Scan"}, "Runs": life, "Runs/index/" + schema.Retries.Name: {"Query"},
			"Transfers": {"PutItem"}, "Transfers/index/" + schema.Silent.Name: {"Query"}},
		"Admin": {"Rules": {"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Scan", "UpdateItem"}, "Provenance": {"BatchGetItem"}, "Runs": {"BatchGetItem", "GetItem", "PutItem", "Query", "UpdateItem"}, "Runs/index/" + schema.Newest.Name: {"Query"}, "Transfers": {"GetItem", "Query"},
			"Transfers/index/" + schema.Silent.Name: {"Query"}, "Transfers/index/" + schema.Longest.Name: {"Query"}},
		"Provision": {"Rules": {"DeleteItem", "GetItem", "PutItem", "Scan", "UpdateItem"}},
	}
	stack := everything.home(t)
	tables := map[string]string{}
	for _, name := range []string{"Rules", "Provenance", "Runs", "Transfers"} {
		id, _ := stack.the(t, "AWS::DynamoDB::Table", "Tables"+name)
		tables["${"+id+"}"] = name
	}
	for function, want := range want {
		got := map[string][]string{}
		for action, resources := range stack.allowed(t, function) {
			name, isDynamoDB := strings.CutPrefix(action, "dynamodb:")
			if !isDynamoDB {
				continue
			}
			for _, arn := range resources {
				table, rest, _ := strings.Cut(arn, "}")
				at := tables[table+"}"] + rest
				got[at] = append(got[at], name)
			}
		}
		for table := range merged(got, want) {
			slices.Sort(got[table])
			if !slices.Equal(got[table], want[table]) {
				t.Errorf("%s on table %s: %q, want %q", function, table, got[table], want[table])
			}
		}
	}
}

func TestEachQueueIsSentToByExactlyWhoNeedsIt(t *testing.T) {
	stack := everything.home(t)
	events, _ := stack.the(t, "AWS::SQS::Queue", "QueuesEvents")
	shards, _ := stack.the(t, "AWS::SQS::Queue", "ShardQueuesShards")
	transfers, _ := stack.the(t, "AWS::SQS::Queue", "TransferQueuesTransfers")
	for function, want := range map[string][]string{
		"Replicate": {events, transfers}, "Reconcile": {shards, transfers}, "Transfer": {events, transfers}, "Schedule": {events, shards, transfers}, "Admin": {shards}, "Provision": {}, "Webhook": {events},
	} {
		got := stack.allowed(t, function)["sqs:SendMessage"]
		for i := range want {
			want[i] = "${" + want[i] + "}"
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s sends to %q, want %q", function, got, want)
		}
	}
}

func TestTheAPILetsNobodyInUnsigned(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		methods := stack.of("AWS::ApiGateway::Method")
		takesEvents := d == everything || d == local
		if want := map[bool]int{false: 1, true: 2}[takesEvents]; len(methods) != want {
			t.Errorf("%s: %d methods, want the one that takes them all, and the webhook where a backend has one", d.name, len(methods))
		}
		open := 0
		for _, id := range methods {
			p := stack.Resources[id].Properties
			if takesEvents && strings.HasPrefix(id, "AdminApieventsbackend") && p["AuthorizationType"] == "NONE" && p["HttpMethod"] == "POST" {
				open++
				if to := text(at(p, "Integration", "Uri")); !strings.Contains(to, "${"+function(t, stack, "Webhook")+"}") {
					t.Errorf("%s: whoever is not signed gets to %s", d.name, to)
				}
				continue
			}
			if p["AuthorizationType"] != "AWS_IAM" || p["HttpMethod"] != "ANY" {
				t.Errorf("%s: %s takes %v by %v", d.name, id, p["HttpMethod"], p["AuthorizationType"])
			}
		}
		if takesEvents != (open == 1) {
			t.Errorf("%s: %d methods are open", d.name, open)
		}
		_, proxy := stack.the(t, "AWS::ApiGateway::Resource", "AdminApiproxy")
		if proxy.Properties["PathPart"] != "{proxy+}" {
			t.Errorf("%s: it answers at %v only", d.name, proxy.Properties["PathPart"])
		}
		// Nor does anybody get round it to the function.
		api, resource := stack.the(t, "AWS::ApiGateway::RestApi", "Admin")
		if got := texts(at(resource.Properties, "EndpointConfiguration", "Types")); !slices.Equal(got, []string{"REGIONAL"}) || resource.Properties["Policy"] != nil {
			t.Errorf("%s: the API is at %q with the policy %v", d.name, got, resource.Properties["Policy"])
		}
		for _, id := range stack.of("AWS::Lambda::Permission") {
			p := stack.Resources[id].Properties
			if text(p["FunctionName"]) != "${"+function(t, stack, "Admin")+"}" {
				continue
			}
			from := text(p["SourceArn"])
			if p["Principal"] != "apigateway.amazonaws.com" || !strings.Contains(from, "${"+api+"}") || strings.Contains(from, "test-invoke") {
				t.Errorf("%s: %s lets %v in from %s", d.name, id, p["Principal"], from)
			}
		}
		if urls := stack.of("AWS::Lambda::Url"); len(urls) > 0 {
			t.Errorf("%s: functions have URLs of their own: %q", d.name, urls)
		}
	}
}

func TestTheAPIIsThrottledAndLogged(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		_, stage := stack.the(t, "AWS::ApiGateway::Stage", "Admin")
		p := stage.Properties
		group, _ := stack.the(t, "AWS::Logs::LogGroup", "AdminAccessLog")
		if to := text(at(p, "AccessLogSetting", "DestinationArn")); !strings.Contains(to, "${"+group+"}") {
			t.Errorf("%s: requests are logged to %s, want %s", d.name, to, group)
		}
		if stack.Resources[group].Properties["RetentionInDays"] == nil {
			t.Errorf("%s: the access log keeps everything", d.name)
		}
		var line map[string]string
		if err := json.Unmarshal([]byte(text(at(p, "AccessLogSetting", "Format"))), &line); err != nil {
			t.Errorf("%s: a line of the access log is no JSON: %v", d.name, err)
		}
		for field, want := range map[string]string{
			"requestId": "requestId", "ip": "identity.sourceIp", "caller": "identity.userArn", "method": "httpMethod",
			"path": "path", "status": "status", "latency": "responseLatency",
		} {
			if line[field] != "$context."+want {
				t.Errorf("%s: the access log has %q for %s", d.name, line[field], field)
			}
		}
		settings := list(p["MethodSettings"])
		if d == everything || d == local {
			hook := settings[len(settings)-1]
			if settings = settings[:len(settings)-1]; at(hook, "ResourcePath") != "/~1events~1{backend}" || at(hook, "HttpMethod") != "POST" ||
				at(hook, "ThrottlingRateLimit") != 100.0 || at(hook, "ThrottlingBurstLimit") != 200.0 {
				t.Errorf("%s: the webhook is throttled by %v", d.name, hook)
			}
		}
		if len(settings) != 1 || at(settings[0], "HttpMethod") != "*" || at(settings[0], "ResourcePath") != "/*" ||
			at(settings[0], "ThrottlingRateLimit") != 50.0 || at(settings[0], "ThrottlingBurstLimit") != 100.0 {
			t.Errorf("%s: throttled by %v", d.name, settings)
		}
	}
}

// A stage with an access log is refused in an account that has no role for it.
func TestTheAccountsLogRoleIsSetBeforeTheStageAndKept(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		accounts := stack.of("AWS::ApiGateway::Account")
		if d == many { // api-log-role=false
			if len(accounts) > 0 {
				t.Errorf("%s sets what somebody else has set", d.name)
			}
			continue
		}
		_, stage := stack.the(t, "AWS::ApiGateway::Stage", "Admin")
		for _, id := range accounts {
			if !slices.Contains(stage.DependsOn, id) {
				t.Errorf("%s: the stage does not wait for %s", d.name, id)
			}
			role := strings.Trim(text(stack.Resources[id].Properties["CloudWatchRoleArn"]), "${}")
			if stack.Resources[role].DeletionPolicy != "Retain" || stack.Resources[id].DeletionPolicy != "Retain" {
				t.Errorf("%s: the account is left with a role that is gone", d.name)
			}
		}
		if len(accounts) != 1 {
			t.Errorf("%s: %d settings of the account, want one", d.name, len(accounts))
		}
	}
}

func TestOutputsTellWhereTheAPIIs(t *testing.T) {
	for _, d := range deployments {
		stack := d.home(t)
		api, _ := stack.the(t, "AWS::ApiGateway::RestApi", "Admin")
		stage, _ := stack.the(t, "AWS::ApiGateway::Stage", "Admin")
		for name, want := range map[string]string{
			"AdminUrl":       "https://${" + api + "}.execute-api.us-east-1.${AWS::URLSuffix}/${" + stage + "}/_/api/admin",
			"AdminApiId":     "${" + api + "}",
			"AdminInvokeArn": "arn:aws:execute-api:us-east-1:" + account + ":${" + api + "}/live/*/*",
		} {
			if got := text(at(stack.Outputs[name], "Value")); got != want {
				t.Errorf("%s: %s is %s, want %s", d.name, name, got, want)
			}
		}
		for name := range stack.Outputs {
			if strings.Contains(name, "Endpoint") {
				t.Errorf("%s: %s leads to no route", d.name, name)
			}
		}
	}
}
