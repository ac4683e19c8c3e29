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
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/shared/ledger"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code != 0 && running != nil {
		fmt.Fprintln(os.Stderr, running.Transcript(context.Background(), 30))
	}
	if err := errors.Join(nothingWasRefused(), stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		_ = os.RemoveAll(scratch) // of no name: nothing
	} else if scratch != "" {
		fmt.Fprintf(os.Stderr, "the local cloud's logs are in %s\n", scratch)
	}
	os.Exit(code)
}

// stage is a deployed stack, and the clients to play on it with.
type stage struct {
	cloud  *cloud.Cloud
	stack  cloud.Stack
	s3     *s3.Client
	sqs    *sqs.Client
	ledger *ledger.Ledger
}

// deployed is the stage that all tests share. It is made by the first one that
// needs it.
func deployed(t *testing.T) *stage {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var shared = sync.OnceValues(start)

// What start made, as far as it came.
var (
	running *cloud.Cloud
	played  *stage
	scratch string
)

// start starts a cloud that evaluates policies, and deploys replication.yaml
// on it.
func start() (*stage, error) {
	ctx := context.Background() // longer than the test that happens to be the first
	var err error
	if scratch, err = os.MkdirTemp("", "e2e-"); err != nil {
		return nil, err
	}
	c, err := cloud.Start(ctx, cloud.Options{Dir: scratch, Env: []string{"AUTH=true"}, Out: os.Stdout})
	if err != nil {
		return nil, err
	}
	running = c
	stack, err := c.Deploy(ctx, "replication.yaml")
	if err != nil {
		return nil, err
	}
	account := c.AWS()
	played = &stage{
		cloud:  c,
		stack:  stack,
		s3:     s3.NewFromConfig(account, func(o *s3.Options) { o.UsePathStyle = true }),
		sqs:    sqs.NewFromConfig(account),
		ledger: ledger.New(account, tablesOf(stack)),
	}
	// The first tick would start a run of every rule, and a sweep may be faster
	// than an event that a test waits for.
	return played, c.Ticks(ctx, false)
}

func tablesOf(s cloud.Stack) ledger.Tables {
	return ledger.Tables{Rules: s.Outputs["RulesTable"], Provenance: s.Outputs["ProvenanceTable"], Runs: s.Outputs["RunsTable"]}
}

// nothingWasRefused looks at what all tests together made the functions do.
func nothingWasRefused() error {
	if played == nil {
		return nil
	}
	refusals, err := played.refusals(context.Background())
	if len(refusals) > 0 {
		return fmt.Errorf("a function lacks a permission:\n%s", strings.Join(refusals, "\n"))
	}
	return err
}

// stop leaves nothing running.
func stop() error {
	if running == nil {
		return nil
	}
	return running.Stop()
}
