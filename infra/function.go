package main

import (
	"maps"
	"path/filepath"
	"runtime"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
)

// functionProps are what the functions of this stack differ in.
type functionProps struct {
	Description string
	Code        string // directory with the bootstrap
	Timeout     float64
	Memory      float64            // MiB
	Environment map[string]*string // beside what every function is told
	Policy      []awsiam.PolicyStatement
	// PutsBack: it sends messages to the queue that it reads, on purpose and
	// with its own count, so Lambda must not stop it as a loop.
	PutsBack bool
}

// newFunction makes a Go function with a log group and a role of its own. The
// role has no AWS-managed policy: the one for logging allows every log group.
func newFunction(scope constructs.Construct, id string, settings Settings, tables tables, p functionProps) awslambda.Function {
	this := constructs.NewConstruct(scope, jsii.String(id))
	logs := awslogs.NewLogGroup(this, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_MONTH,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	role := awsiam.NewRole(this, jsii.String("Role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
	})
	logs.GrantWrite(role)
	for _, s := range p.Policy {
		role.AddToPolicy(s)
	}
	environment := map[string]*string{
		variables.RulesTable:       tables.Rules.TableName(),
		variables.MetricsNamespace: jsii.String(settings.metricsNamespace()),
		variables.LogLevel:         jsii.String(settings.LogLevel),
	}
	maps.Copy(environment, p.Environment)
	loop := awslambda.RecursiveLoop_TERMINATE
	if p.PutsBack {
		loop = awslambda.RecursiveLoop_ALLOW
	}
	return awslambda.NewFunction(this, jsii.String("Function"), &awslambda.FunctionProps{
		Description:   jsii.String(p.Description),
		Runtime:       awslambda.Runtime_PROVIDED_AL2023(),
		Handler:       jsii.String("bootstrap"),
		Architecture:  architecture(settings.Local),
		Code:          awslambda.Code_FromAsset(jsii.String(p.Code), nil),
		Timeout:       awscdk.Duration_Seconds(jsii.Number(p.Timeout)),
		MemorySize:    jsii.Number(p.Memory),
		Environment:   &environment,
		Role:          role,
		LogGroup:      logs,
		RecursiveLoop: loop,
	})
}

// code is the directory with a function's bootstrap, as `make build` made it.
func (s Settings) code(function string) string {
	return filepath.Join(s.Dist, goarch(s.Local), function)
}

// goarch is what the functions are compiled for: arm64 is the cheaper one on
// AWS, and a local cloud runs them as processes of this machine.
func goarch(local bool) string {
	if local {
		return runtime.GOARCH
	}
	return "arm64"
}

func architecture(local bool) awslambda.Architecture {
	if goarch(local) == "arm64" {
		return awslambda.Architecture_ARM_64()
	}
	return awslambda.Architecture_X86_64()
}
