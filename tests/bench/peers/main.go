// Command peers measures a reconcile, and the copy of one large object by parts,
// beside the tools that people would use in their place: s5cmd, rclone and mc.
// `make bench` builds them, each in a version of its own, and runs it.
//
// All of them work on the same buckets of one real S3 server on this machine,
// taking turns; what counts are the ratios of their medians, for absolute times
// are this machine's. The reconcile is a process with the functions' packages
// that keeps provenance in memory; it copies with one request for each object,
// as it does on AWS. What a Lambda and DynamoDB add is not measured here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"

	"bucket-replicator/localstack/server"
	"bucket-replicator/tests/bench/command"
)

func main() { command.Main("peers", run) }

// sizes are in objects.
type sizes struct {
	copied, unchanged, delayed, many int
	large, across                    int64 // one object, in bytes
}

var (
	full  = sizes{copied: 20_000, unchanged: 20_000, delayed: 100_000, many: 1_000_000, large: 6 << 30, across: 1 << 30}
	quick = sizes{copied: 4_000, unchanged: 10_000, delayed: 40_000, many: 200_000, large: 1 << 30, across: 256 << 20}
)

// bench is what the scenarios share.
type bench struct {
	sizes
	buckets  *buckets
	endpoint string       // of the server
	delayed  string       // of the same server behind S3's delays
	there    *buckets     // of a second server
	requests atomic.Int64 // that the delays held back
	programs string       // directory of the peers
	home     string       // of all tools; the reconcile is built into it
}

func run(ctx context.Context, args []string, out, _ io.Writer) (err error) {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	isQuick := flags.Bool("quick", false, "a fifth of the objects: some two minutes instead of ten, and less to rely on")
	rounds := flags.Int("rounds", 3, "how many turns each tool has; medians are printed")
	only := flags.String("only", "", "`pattern` of the names of the scenarios to run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	root, err := server.Root()
	if err != nil {
		return err
	}
	b := &bench{sizes: full, programs: filepath.Join(root, ".cache", "bin")}
	if *isQuick {
		b.sizes = quick
	}
	// S3 keeps connections; this server closes them unless it is told.
	gateway, err := server.Versitygw(ctx, server.Options{Env: []string{"VGW_KEEP_ALIVE=true"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gateway.Stop()) }()
	second, err := server.Versitygw(ctx, server.Options{Env: []string{"VGW_KEEP_ALIVE=true"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Stop()) }()
	b.there = bucketsOf(second)
	b.home = filepath.Join(gateway.Dir, "home")
	if err := os.Mkdir(b.home, 0o755); err != nil {
		return err
	}
	if err := b.prepare(ctx, root, out); err != nil {
		return err
	}
	b.endpoint = gateway.URL
	if b.buckets, err = newBuckets(ctx, gateway); err != nil {
		return err
	}
	handler, err := server.Proxy(gateway.URL)
	if err != nil {
		return err
	}
	address, stop, err := serve(ctx, delayed(handler, &b.requests))
	if err != nil {
		return err
	}
	b.delayed = address
	defer func() { err = errors.Join(err, stop()) }()

	missed := 0
	for _, s := range b.scenarios() {
		if !pattern.MatchString(s.name) {
			continue
		}
		met, err := s.compare(ctx, *rounds, out)
		if err != nil {
			return err
		}
		if !met {
			missed++
		}
	}
	if pattern.MatchString(memoryName) {
		met, err := b.memory(ctx, *rounds, out)
		if err != nil {
			return err
		}
		if !met {
			missed++
		}
	}
	if missed > 0 {
		fmt.Fprintf(out, "\n%d targets were missed.\n", missed)
	}
	return nil
}

// prepare builds the reconcile, and says what it is compared to.
func (b *bench) prepare(ctx context.Context, root string, out io.Writer) error {
	for _, own := range []tool{ours, oursLarge} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.path(own), "./tests/bench/"+own.program)
		build.Dir = root
		if said, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", own.program, err, said)
		}
	}
	for _, peer := range []struct{ program, module string }{
		{"s5cmd", "github.com/peak/s5cmd/v2"}, {"rclone", "github.com/rclone/rclone"}, {"mc", "github.com/minio/mc"},
		{"versitygw", "github.com/versity/versitygw"},
	} {
		v, err := version(filepath.Join(b.programs, peer.program), peer.module)
		if err != nil {
			return fmt.Errorf("not built, run: make bench (%w)", err)
		}
		fmt.Fprintf(out, "%s %s\n", peer.program, v)
	}
	return nil
}

func (b *bench) path(t tool) string {
	if t.program == ours.program || t.program == oursLarge.program {
		return filepath.Join(b.home, t.program)
	}
	return filepath.Join(b.programs, t.program)
}
