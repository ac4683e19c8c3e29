// Command localstack runs the local cloud and what belongs to it; `make help`
// lists the targets that call it.
//
//	localstack up [-config FILE] [-port N]   start the cloud and deploy; again: update
//	localstack up -endpoint URL              deploy onto a cloud that runs already
//	localstack down                          stop it
//	localstack status                        is it running, where, with what
//	localstack redrive [-stack NAME]         send dead letters again
//	localstack demo                          the whole story on a cloud of its own
//
// Only redrive looks at the environment: without AWS_ENDPOINT_URL it acts in
// the AWS account that the usual variables name. The others cannot reach one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"
)

const usage = "usage: go run ./localstack up|down|status|redrive|demo [flags]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	switch args[0] {
	case "up":
		file := flags.String("config", "infra/replication.yaml", "the configuration to deploy")
		port := flags.Int("port", 0, "port on 127.0.0.1 (default: where it runs already, else 4566)")
		endpoint := flags.String("endpoint", "", "deploy onto this running cloud, as of compose.yaml, instead of starting one")
		_ = flags.Parse(args[1:]) // exits on error
		return up(ctx, *file, *port, *endpoint, out)
	case "down":
		return down(out)
	case "status":
		return status(out)
	case "redrive":
		stack := flags.String("stack", "bucket-replicator", "name of the stack")
		_ = flags.Parse(args[1:])
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return err
		}
		return redrive(ctx, cfg, *stack, out)
	case "demo":
		return demo(ctx, out)
	default:
		return errors.New(usage)
	}
}
