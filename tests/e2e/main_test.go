// Package e2e drives the deployed stack from the outside, as its users do:
// objects are put into buckets of a local cloud, their S3 events take the whole
// way through EventBridge, SQS and the real functions, and the tests look at
// the destination and at what the functions logged.
//
// Where the local cloud is weaker than AWS, another test closes the hole: the
// destination conditions that its CopyObject ignores are counted here on
// LocalStack and tried in tests/conformance; the permissions that it does not
// evaluate are asserted on the template in infra.
package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestMain(m *testing.M) { os.Exit(opened.Run(m, nothingWasRefused)) }

// stage is a deployed stack, and the clients to play on it with.
type stage struct {
	*staging.Stage
	sqs *sqs.Client
}

// deployed is the stage that all tests share.
var deployed = staging.Shared(start)

// opened is what start made, as far as it came.
var opened staging.Stage

func start() (*stage, error) {
	ctx := context.Background() // longer than the test that happens to be the first
	if err := opened.Start(ctx); err != nil {
		return nil, err
	}
	return &stage{&opened, sqs.NewFromConfig(opened.Cloud.AWS())}, opened.Deploy(ctx, "replication.yaml")
}

// nothingWasRefused looks at what all tests together made the functions do.
func nothingWasRefused() error {
	if opened.Stack.Outputs == nil {
		return nil
	}
	refusals, err := (&stage{Stage: &opened}).refusals(context.Background())
	if len(refusals) > 0 {
		return fmt.Errorf("a function lacks a permission:\n%s", strings.Join(refusals, "\n"))
	}
	return err
}
