package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/rule"
)

const provisionTimeout = 120 // seconds

// newProvision makes the custom resource that writes the configuration into
// the rules table and switches EventBridge on for source buckets. It runs again
// whenever the configuration changes. The configuration travels in the
// function's package: a resource's properties are too small for it.
func newProvision(scope constructs.Construct, id string, settings Settings, config rule.Config, t topology, tables tables, after ...constructs.IDependable) (awslambda.Function, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration: %w", err)
	}
	code, err := stageProvision(*awscdk.Stage_Of(scope).Outdir(), settings, text)
	if err != nil {
		return nil, err
	}
	// The buckets whose notifications the stack does not own.
	adopted := slices.DeleteFunc(slices.Clone(t.Buckets), func(b bucket) bool { return b.Create || !b.isListenedTo() })
	function := newFunction(scope, id, settings, tables, functionProps{
		Description: "Deploys the configuration: rules into the table, EventBridge on",
		Code:        code,
		Timeout:     provisionTimeout,
		Memory:      256,
		Policy:      provisionAccess(*awscdk.Stack_Of(scope).Partition(), adopted),
	})
	allowTable(function, tables.Rules, "GetItem", "Scan", "PutItem", "UpdateItem", "DeleteItem")

	type source struct{ Name, Region string }
	sources := []source{}
	for _, b := range adopted {
		sources = append(sources, source{b.Name, b.Region})
	}
	resource := awscdk.NewCustomResource(scope, jsii.String("Configuration"), &awscdk.CustomResourceProps{
		ServiceToken:   function.FunctionArn(),
		ServiceTimeout: awscdk.Duration_Seconds(jsii.Number(2 * provisionTimeout)),
		ResourceType:   jsii.String("Custom::ReplicationConfiguration"),
		Properties: &map[string]any{
			"ConfigurationHash": fmt.Sprintf("%x", sha256.Sum256(text)),
			"Buckets":           sources,
		},
	})
	resource.Node().AddDependency(tables.construct)
	resource.Node().AddDependency(after...)
	return function, nil
}

// stageProvision lays the binary and configuration.json side by side under the
// synthesis's own output directory and returns where.
func stageProvision(outdir string, settings Settings, config []byte) (string, error) {
	dir := filepath.Join(outdir, ".provision")
	binary, err := os.ReadFile(filepath.Join(settings.code("provision"), "bootstrap"))
	if err == nil {
		err = errors.Join(
			os.MkdirAll(dir, 0o755),
			os.WriteFile(filepath.Join(dir, "bootstrap"), binary, 0o755),
			os.WriteFile(filepath.Join(dir, "configuration.json"), config, 0o644),
		)
	}
	if err != nil {
		return "", fmt.Errorf("stage the provision function: %w", err)
	}
	return dir, nil
}
