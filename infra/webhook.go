package main

import (
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigateway"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	variables "bucket-replicator/shared/config"
)

// webhookMethod is the one method of the API that takes requests without a
// signature of AWS, as the stage's settings name it.
const webhookMethod = "/events/{backend}/POST"

// webhookThrottle bounds what anybody who finds the address can cause. What a
// backend sends beyond it is answered with 429, sent again, and found by a
// reconcile at the latest.
func webhookThrottle() *awsapigateway.MethodDeploymentOptions {
	return &awsapigateway.MethodDeploymentOptions{
		ThrottlingRateLimit:  jsii.Number(100), // requests per second
		ThrottlingBurstLimit: jsii.Number(200),
	}
}

// newWebhook makes the function that takes the events of backends which send
// none to EventBridge, and its route. It may read the backends' webhook secrets
// and send to the events queue, and nothing else.
func newWebhook(scope constructs.Construct, id string, settings Settings, t topology, tables tables, events workQueue, api awsapigateway.RestApi) awslambda.Function {
	secrets, err := json.Marshal(t.Webhooks)
	if err != nil {
		panic(err) // strings always encode
	}
	a := access{}
	for _, arn := range t.Webhooks {
		a.allow(arn, "secretsmanager:GetSecretValue")
	}
	function := newFunction(scope, id, settings, tables, functionProps{
		Description: "Takes the events of backends other than AWS",
		Code:        settings.code("webhook"),
		Timeout:     10,
		Memory:      256,
		Environment: map[string]*string{
			variables.EventsQueueURL: events.Queue.QueueUrl(),
			variables.WebhookSecrets: jsii.String(string(secrets)),
		},
		Policy: a.statements(),
	})
	allowSend(function, events.Queue, settings)
	api.Root().AddResource(jsii.String("events"), nil).AddResource(jsii.String("{backend}"), nil).AddMethod(jsii.String("POST"),
		awsapigateway.NewLambdaIntegration(function, &awsapigateway.LambdaIntegrationOptions{
			AllowTestInvoke: jsii.Bool(false),
		}),
		&awsapigateway.MethodOptions{AuthorizationType: awsapigateway.AuthorizationType_NONE})
	return function
}
