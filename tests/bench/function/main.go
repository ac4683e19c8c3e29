// Command function measures what the event function is like to start and to keep:
// the size of its package, the time from its start to its readiness, and its
// memory while it handles events. `make bench` runs it.
//
// The function is the very binary that is deployed, run as Lambda runs it: a
// process that asks a runtime API for its invocations. That API is here; tables,
// queue and buckets are a local cloud's. So the times are this machine's, and
// none of them is asserted.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/config"
	"bucket-replicator/tests/bench/command"
)

func main() { command.Main("function", run) }

const (
	starts  = 11     // of which the median counts
	objects = 10_000 // handled by one process
	batch   = 10     // as the stack sets it
)

// reports are after how many events the memory is looked at.
var reports = []int{batch, 1_000, 2_500, 5_000, 7_500, objects}

func run(ctx context.Context, _ []string, out, _ io.Writer) (err error) {
	root, err := server.Root()
	if err != nil {
		return err
	}
	binary := filepath.Join(root, "dist", runtime.GOARCH, "replicate", "bootstrap")
	size, zipped, err := weigh(binary)
	if err != nil {
		return fmt.Errorf("not built, run: make build-local (%w)", err)
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c, err := cloud.Start(ctx, cloud.Options{Dir: dir, Out: out})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := c.Stop(); err == nil {
			err = stopErr
		}
	}()
	stack, err := c.Deploy(ctx, filepath.Join(root, "tests", "bench", "function", "replication.yaml"))
	if err != nil {
		return err
	}
	env := environment(c, stack)

	fmt.Fprintf(out, "starting the function %d times ... ", starts)
	var inits []time.Duration
	for range starts {
		f, err := launch(ctx, binary, env)
		if err != nil {
			return err
		}
		inits = append(inits, f.init)
		if err := f.stop(); err != nil {
			return err
		}
	}
	slices.Sort(inits)
	fmt.Fprintf(out, "done\nputting %d objects ... ", objects)
	messages, err := source(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "done\nhandling their events in one process ... ")
	f, err := launch(ctx, binary, env)
	if err != nil {
		return err
	}
	began := time.Now()
	used, err := f.handle(ctx, messages)
	took := time.Since(began)
	if stopErr := f.stop(); err == nil {
		err = stopErr
	}
	if err != nil {
		return err
	}
	fmt.Fprint(out, "done\n\n")

	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	row("package", "%.2f MB zipped, %.2f MB plain (%s)", megabytes(zipped), megabytes(size), runtime.GOARCH)
	row("start to ready", "%d ms in the middle of %d, %d to %d ms", inits[starts/2].Milliseconds(), starts, inits[0].Milliseconds(), inits[starts-1].Milliseconds())
	for i, n := range reports {
		row(fmt.Sprintf("memory after %d events", n), "%.1f MB", megabytes(used[i]))
	}
	row("copies a second", "%.0f, of one process on a local cloud", objects/took.Seconds())
	return table.Flush()
}

func megabytes[N int | int64](bytes N) float64 { return float64(bytes) / (1 << 20) }

// environment is what the deployed function has, but for the conditions that
// the local S3 ignores: here they are not emulated, so that the function does
// what it does on AWS.
func environment(c *cloud.Cloud, s cloud.Stack) []string {
	return append(c.Environ(),
		config.RulesTable+"="+s.Outputs["RulesTable"],
		config.ProvenanceTable+"="+s.Outputs["ProvenanceTable"],
		config.RunsTable+"="+s.Outputs["RunsTable"],
		config.TransfersTable+"="+s.Outputs["TransfersTable"],
		config.TransfersQueueURL+"="+s.Outputs["TransfersQueueUrl"],
		config.TransferThreshold+"=536870912",
		config.EventsQueueURL+"="+s.Outputs["EventsQueueUrl"],
		config.MaxReceives+"=6",
		config.VisibilityTimeout+"=720",
	)
}
