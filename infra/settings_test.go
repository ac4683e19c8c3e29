package main

import (
	"reflect"
	"strings"
	"testing"
)

func lookup(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestSettingsComeFromContextThenEnvironmentThenDefault(t *testing.T) {
	got, err := readSettings(
		lookup(map[string]string{"config": "/etc/mine.yaml", "kms-keys": "arn:aws:kms:eu-west-1:111122223333:key/a, arn:aws:kms:eu-west-1:111122223333:key/mrk-b"}),
		lookup(map[string]string{
			"CDK_DEFAULT_REGION": "eu-west-1", "CDK_DEFAULT_ACCOUNT": account,
			"REPLICATOR_CONFIG": "other.yaml", "REPLICATOR_MAX_CONCURRENCY": "7", "REPLICATOR_SWEEP_CONCURRENCY": "9", "REPLICATOR_LOCAL": "true",
		}))
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		ConfigFile: "/etc/mine.yaml", Local: true, StackName: "bucket-replicator",
		Region: "eu-west-1", Account: account, MaxConcurrency: 7, SweepConcurrency: 9, TransferConcurrency: 50, TransferThreshold: 64 << 20, APILogRole: true, LogLevel: "info", Dist: "../dist",
		KMSKeys: []string{"arn:aws:kms:eu-west-1:111122223333:key/a", "arn:aws:kms:eu-west-1:111122223333:key/mrk-b"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEveryWrongSettingIsNamedAtOnce(t *testing.T) {
	_, err := readSettings(lookup(map[string]string{
		"local": "perhaps", "stack": "no spaces", "log-level": "loud", "max-concurrency": "1", "sweep-concurrency": "1001", "transfer-concurrency": "0", "transfer-threshold": "1MB", "api-log-role": "mine", "kms-keys": "alias/mine",
	}), lookup(nil))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`local: "perhaps"`, `stack: "no spaces"`, `log-level: "loud"`, `max-concurrency: "1"`, `sweep-concurrency: "1001"`, `transfer-concurrency: "0"`, `transfer-threshold: "1MB"`, `api-log-role: "mine"`, `kms-keys: "alias/mine"`, "region: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}
