package config_test

import (
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/config"
)

func environment() map[string]string {
	return map[string]string{
		"RULES_TABLE":              "rules",
		"PROVENANCE_TABLE":         "provenance",
		"RUNS_TABLE":               "runs",
		"EVENTS_QUEUE_URL":         "https://sqs.eu-central-1.amazonaws.com/111122223333/events",
		"MAX_RECEIVES":             "5",
		"VISIBILITY_TIMEOUT":       "360",
		"TRANSFERS_TABLE":          "transfers",
		"TRANSFERS_QUEUE_URL":      "https://sqs.eu-central-1.amazonaws.com/111122223333/transfers",
		"TRANSFER_THRESHOLD":       "536870912",
		"TRANSFER_WORKERS":         "50",
		"AWS_LAMBDA_FUNCTION_NAME": "replicate",
	}
}

const transfersQueue = "https://sqs.eu-central-1.amazonaws.com/111122223333/transfers"

// replication is what is read for a function that replicates.
func replication(name string) config.Replication {
	return config.Replication{
		Function: config.Function{
			RulesTable:       "rules",
			MetricsNamespace: "BucketReplicator",
			LogLevel:         slog.LevelInfo,
			Name:             name,
		},
		ProvenanceTable:   "provenance",
		RunsTable:         "runs",
		TransfersTable:    "transfers",
		VisibilityTimeout: 6 * time.Minute,
	}
}

func lookup(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// names fails unless the error names every variable that is not set.
func names(t *testing.T, err error, variables ...string) {
	t.Helper()
	for _, name := range variables {
		if err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
}

func TestReplicateReadsItsEnvironment(t *testing.T) {
	got, err := config.ReadReplicate(lookup(environment()))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Replicate{
		Replication:    replication("replicate"),
		EventsQueueURL: "https://sqs.eu-central-1.amazonaws.com/111122223333/events",
		MaxReceives:    5,
		ByParts:        config.ByParts{QueueURL: transfersQueue, Threshold: 512 << 20},
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestOptionalVariables(t *testing.T) {
	env := environment()
	env["METRICS_NAMESPACE"] = "Ours"
	env["LOG_LEVEL"] = "debug"
	got, err := config.ReadReplicate(lookup(env))
	if err != nil {
		t.Fatal(err)
	}
	if got.MetricsNamespace != "Ours" || got.LogLevel != slog.LevelDebug {
		t.Errorf("namespace %q, level %v", got.MetricsNamespace, got.LogLevel)
	}
}

func TestEveryMissingVariableIsNamedAtOnce(t *testing.T) {
	_, err := config.ReadReplicate(func(string) string { return " " })
	if err == nil {
		t.Fatal("an empty environment was accepted")
	}
	for _, name := range []string{
		"RULES_TABLE", "PROVENANCE_TABLE", "RUNS_TABLE", "EVENTS_QUEUE_URL", "MAX_RECEIVES", "VISIBILITY_TIMEOUT",
		"TRANSFERS_TABLE", "TRANSFERS_QUEUE_URL", "TRANSFER_THRESHOLD",
	} {
		if n := strings.Count(err.Error(), name+" is not set: set it to "); n != 1 {
			t.Errorf("%s is reported %d times, want once, in:\n%v", name, n, err)
		}
	}
	if got := strings.Count(err.Error(), " is not set"); got != 9 {
		t.Errorf("%d problems, want 9:\n%v", got, err)
	}

	_, err = config.ReadProvision(func(string) string { return "" })
	if err == nil || !strings.Contains(err.Error(), "RULES_TABLE is not set") {
		t.Errorf("provision without a table: %v", err)
	}
}

func TestWrongValuesAreNamedWithWhatToSet(t *testing.T) {
	tests := map[string]struct{ name, value, says string }{
		"one receive leaves none to record on":   {"MAX_RECEIVES", "1", "from 2 to 1000"},
		"receives in words":                      {"MAX_RECEIVES", "five", "from 2 to 1000"},
		"a Go duration where seconds belong":     {"VISIBILITY_TIMEOUT", "6m", "in seconds"},
		"a visibility of more than twelve hours": {"VISIBILITY_TIMEOUT", "43201", "from 1 to 43200"},
		"a queue by its name":                    {"EVENTS_QUEUE_URL", "events", "not its name or ARN"},
		"a queue by its ARN":                     {"EVENTS_QUEUE_URL", "arn:aws:sqs:eu-central-1:111122223333:events", "not its name or ARN"},
		"a part that S3 does not take":           {"TRANSFER_THRESHOLD", "5242879", "from 5242880 to 5368709120"},
		"a namespace of AWS":                     {"METRICS_NAMESPACE", "AWS/Lambda", "not beginning with AWS/"},
		"a level nobody knows":                   {"LOG_LEVEL", "loud", "debug, info, warn or error"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			env := maps.Clone(environment())
			env[test.name] = test.value
			_, err := config.ReadReplicate(lookup(env))
			if err == nil {
				t.Fatalf("%s=%q was accepted", test.name, test.value)
			}
			for _, part := range []string{test.name, test.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q:\n%v", part, err)
				}
			}
		})
	}
}

func TestTransferReadsItsEnvironment(t *testing.T) {
	got, err := config.ReadTransfer(lookup(environment()))
	want := config.Transfer{
		Replication:       replication("replicate"),
		TransfersQueueURL: transfersQueue, EventsQueueURL: "https://sqs.eu-central-1.amazonaws.com/111122223333/events",
		Workers: 50, MaxReceives: 5,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	_, err = config.ReadTransfer(lookup(nil))
	names(t, err, "RULES_TABLE", "PROVENANCE_TABLE", "RUNS_TABLE", "TRANSFERS_TABLE", "TRANSFERS_QUEUE_URL", "EVENTS_QUEUE_URL", "TRANSFER_WORKERS", "MAX_RECEIVES", "VISIBILITY_TIMEOUT")
}

func TestReconcileReadsItsEnvironment(t *testing.T) {
	env := environment()
	env["SHARDS_QUEUE_URL"] = "https://sqs.eu-central-1.amazonaws.com/111122223333/shards"
	env["SWEEP_CONCURRENCY"] = "50"
	got, err := config.ReadReconcile(lookup(env))
	want := config.Reconcile{
		Replication:      replication("replicate"),
		ShardsQueueURL:   "https://sqs.eu-central-1.amazonaws.com/111122223333/shards",
		SweepConcurrency: 50,
		ByParts:          config.ByParts{QueueURL: transfersQueue, Threshold: 512 << 20},
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}

	_, err = config.ReadReconcile(lookup(nil))
	names(t, err, "RULES_TABLE", "PROVENANCE_TABLE", "RUNS_TABLE", "SHARDS_QUEUE_URL", "SWEEP_CONCURRENCY", "VISIBILITY_TIMEOUT", "TRANSFERS_TABLE", "TRANSFERS_QUEUE_URL", "TRANSFER_THRESHOLD")
	env["SWEEP_CONCURRENCY"] = "1"
	if _, err := config.ReadReconcile(lookup(env)); err == nil || !strings.Contains(err.Error(), "from 2 to 1000") {
		t.Errorf("one worker, which Lambda refuses to be the bound: %v", err)
	}
}

func TestScheduleReadsItsEnvironment(t *testing.T) {
	env := environment()
	env["SHARDS_QUEUE_URL"] = "https://sqs.eu-central-1.amazonaws.com/111122223333/shards"
	env["AWS_LAMBDA_FUNCTION_NAME"] = "schedule"
	got, err := config.ReadSchedule(lookup(env))
	want := config.Schedule{
		Function:       config.Function{RulesTable: "rules", MetricsNamespace: "BucketReplicator", Name: "schedule"},
		RunsTable:      "runs",
		ShardsQueueURL: "https://sqs.eu-central-1.amazonaws.com/111122223333/shards",
		EventsQueueURL: "https://sqs.eu-central-1.amazonaws.com/111122223333/events",
		TransfersTable: "transfers", TransfersQueueURL: transfersQueue, Workers: 50,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}

	_, err = config.ReadSchedule(lookup(nil))
	names(t, err, "RULES_TABLE", "RUNS_TABLE", "SHARDS_QUEUE_URL", "EVENTS_QUEUE_URL", "TRANSFERS_TABLE", "TRANSFERS_QUEUE_URL", "TRANSFER_WORKERS")
}

func TestAdminReadsItsEnvironment(t *testing.T) {
	env := environment()
	env["SHARDS_QUEUE_URL"] = "https://sqs.eu-central-1.amazonaws.com/111122223333/shards"
	env["AWS_LAMBDA_FUNCTION_NAME"] = "admin"
	got, err := config.ReadAdmin(lookup(env))
	want := config.Admin{
		Replication:    replication("admin"),
		ShardsQueueURL: "https://sqs.eu-central-1.amazonaws.com/111122223333/shards",
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}

	_, err = config.ReadAdmin(lookup(nil))
	names(t, err, "RULES_TABLE", "PROVENANCE_TABLE", "RUNS_TABLE", "TRANSFERS_TABLE", "SHARDS_QUEUE_URL", "VISIBILITY_TIMEOUT")
}
