package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger/schema"
)

const (
	// adminStage is the first part of every path, adminPath the second.
	adminStage = "live"
	adminPath  = "/_/api/admin"
	// adminTimeout in seconds is the longest that API Gateway waits.
	adminTimeout = 29
)

// admin is the administration API: API Gateway, which lets nobody in without a
// signature, and one function behind it.
type admin struct {
	Function  awslambda.Function
	API       awsapigateway.RestApi
	AccessLog awslogs.LogGroup
}

func newAdmin(scope constructs.Construct, id string, settings Settings, t topology, tables tables, shards, events workQueue, takesEvents bool) admin {
	var throttled *map[string]*awsapigateway.MethodDeploymentOptions
	if takesEvents {
		throttled = &map[string]*awsapigateway.MethodDeploymentOptions{webhookMethod: webhookThrottle()}
	}
	function := newFunction(scope, id, settings, tables, functionProps{
		Description: "Answers the administration API",
		Code:        settings.code("admin"),
		Timeout:     adminTimeout,
		// More than half a CPU: a dry run decodes two listings, and has 20 s.
		Memory: 1024,
		Environment: map[string]*string{
			variables.ProvenanceTable:   tables.Provenance.TableName(),
			variables.RunsTable:         tables.Runs.TableName(),
			variables.ShardsQueueURL:    shards.Queue.QueueUrl(),
			variables.VisibilityTimeout: jsii.String(fmt.Sprint(events.Visibility)),
		},
		Policy: slices.Concat(looking(*awscdk.Stack_Of(scope).Partition(), t).statements(), identities(t).statements()),
	})
	allowTable(function, tables.Rules, "BatchGetItem", "GetItem", "Scan", "PutItem", "UpdateItem", "DeleteItem")
	allowTable(function, tables.Provenance, "BatchGetItem")
	allowTable(function, tables.Runs, "BatchGetItem", "GetItem", "Query", "PutItem", "UpdateItem")
	allowIndex(function, tables.Runs, schema.Newest)
	allowSend(function, shards.Queue, settings)

	accessLog := awslogs.NewLogGroup(scope, jsii.String(id+"AccessLog"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_MONTH,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	api := awsapigateway.NewRestApi(scope, jsii.String(id+"Api"), &awsapigateway.RestApiProps{
		RestApiName: jsii.String(settings.StackName + "-admin"),
		Description: jsii.String("Administers the replicator " + settings.StackName),
		EndpointConfiguration: &awsapigateway.EndpointConfiguration{
			Types: &[]awsapigateway.EndpointType{awsapigateway.EndpointType_REGIONAL},
		},
		// The account's setting outlives the stack, so the role does too.
		CloudWatchRole: jsii.Bool(settings.APILogRole),
		DeployOptions: &awsapigateway.StageOptions{
			StageName:            jsii.String(adminStage),
			ThrottlingRateLimit:  jsii.Number(50), // requests per second
			ThrottlingBurstLimit: jsii.Number(100),
			MethodOptions:        throttled,
			AccessLogDestination: awsapigateway.NewLogGroupLogDestination(accessLog),
			AccessLogFormat:      awsapigateway.AccessLogFormat_Custom(jsii.String(accessLogLine())),
		},
	})
	api.Node().TryRemoveChild(jsii.String("Endpoint")) // an output without our path
	// One method: a path that API Gateway does not know answers 403 and not 404.
	api.Root().AddResource(jsii.String("{proxy+}"), nil).AddMethod(jsii.String("ANY"),
		awsapigateway.NewLambdaIntegration(function, &awsapigateway.LambdaIntegrationOptions{
			AllowTestInvoke: jsii.Bool(false), // the console's button signs nothing
		}),
		&awsapigateway.MethodOptions{AuthorizationType: awsapigateway.AuthorizationType_IAM})
	return admin{function, api, accessLog}
}

// accessLogLine tells who asked what and how it ended, for those too whom API
// Gateway turned away.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
func accessLogLine() string {
	line, err := json.Marshal(map[string]string{
		"requestId": "$context.requestId",
		"ip":        "$context.identity.sourceIp",
		"caller":    "$context.identity.userArn",
		"method":    "$context.httpMethod",
		"path":      "$context.path",
		"status":    "$context.status",
		"latency":   "$context.responseLatency", // milliseconds
		"refusal":   "$context.error.responseType",
	})
	if err != nil {
		panic(err) // strings always encode
	}
	return string(line)
}

// url is where the API's routes begin.
func (a admin) url() *string { return a.API.UrlForPath(jsii.String(adminPath)) }

// invokeARN is the resource of an IAM policy that allows every route with
// execute-api:Invoke.
func (a admin) invokeARN() *string {
	return a.API.ArnForExecuteApi(jsii.String("*"), jsii.String("/*"), jsii.String(adminStage))
}
