// Package awsconfig loads what every adapter makes its clients from, so that a
// function wires them without importing the SDK.
package awsconfig

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Config is what adapters are made from.
type Config = aws.Config

// perHost is how many requests to one service are under way at a time at most.
const perHost = 128

// Load reads the region, the credentials and the endpoints (AWS_ENDPOINT_URL
// and its per-service forms) that the process was given. No request is made.
// https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html
func Load(ctx context.Context) (Config, error) {
	// The SDK keeps 10 idle connections to a host, and closes what comes back
	// beyond that: a worker that records 128 copies at a time would make a new
	// one for nearly every request.
	pool := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*perHost, perHost
	})
	c, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(pool))
	if err != nil {
		return Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	return c, nil
}
