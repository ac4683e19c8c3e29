// Package staging is how tests of a deployed stack begin and end: a local cloud
// of their own, and the stack on it, which all tests of a package share.
package staging

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/shared/ledger"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Stage is a deployed stack, and the clients to play on it with. The zero one is
// to be started.
type Stage struct {
	Cloud  *cloud.Cloud
	Stack  cloud.Stack
	S3     *s3.Client
	Ledger *ledger.Ledger
	Dir    string // has the cloud's state and logs, and room for the tests' files
}

// Start starts a cloud that checks signatures and evaluates policies. It lives
// until Run ends it, whatever becomes of ctx.
func (s *Stage) Start(ctx context.Context) (err error) {
	if s.Dir, err = os.MkdirTemp("", "bucket-replicator-"); err != nil {
		return err
	}
	if s.Cloud, err = cloud.Start(context.WithoutCancel(ctx), cloud.Options{Dir: s.Dir, Env: []string{"AUTH=true"}, Out: os.Stdout}); err != nil {
		return err
	}
	s.S3 = s.Cloud.S3()
	return nil
}

// Deploy deploys the configuration in the file, and stops the schedule: nothing
// is to happen but what a test does, and a sweep may be faster than an event that
// a test waits for.
func (s *Stage) Deploy(ctx context.Context, file string) (err error) {
	if s.Stack, err = s.Cloud.Deploy(ctx, file); err != nil {
		return err
	}
	s.Ledger = ledger.New(s.Cloud.AWS(), s.Tables())
	return s.Cloud.Ticks(ctx, false)
}

// Tables are those of the stack.
func (s *Stage) Tables() ledger.Tables {
	of := s.Stack.Outputs
	return ledger.Tables{Rules: of["RulesTable"], Provenance: of["ProvenanceTable"], Runs: of["RunsTable"], Transfers: of["TransfersTable"]}
}

// Shared is what start makes for all tests. The first one that needs it has it
// made.
func Shared[S any](start func() (S, error)) func(*testing.T) S {
	once := sync.OnceValues(start)
	return func(t *testing.T) S {
		t.Helper()
		s, err := once()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// Run runs the tests, then what ends them, and leaves nothing running. Where
// something failed it tells what the functions said last, and keeps the logs.
// It answers the code to exit with.
func (s *Stage) Run(m *testing.M, ends ...func() error) int {
	code := m.Run()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	for _, end := range ends {
		fail(end())
	}
	if s.Cloud != nil {
		if code != 0 {
			fmt.Fprintln(os.Stderr, s.Cloud.Transcript(context.Background(), 50))
		}
		fail(s.Cloud.Stop())
	}
	switch {
	case s.Dir == "":
	case code == 0:
		_ = os.RemoveAll(s.Dir)
	default:
		fmt.Fprintf(os.Stderr, "the local cloud's logs are in %s\n", s.Dir)
	}
	return code
}
