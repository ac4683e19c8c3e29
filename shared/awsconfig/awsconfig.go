// Package awsconfig loads what every adapter makes its clients from, so that a
// function wires them without importing the SDK.
package awsconfig

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Load reads the region, the credentials and the endpoints (AWS_ENDPOINT_URL
// and its per-service forms) that the process was given. No request is made.
// https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
func Load(ctx context.Context) (aws.Config, error) {
	c, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	return c, nil
}
