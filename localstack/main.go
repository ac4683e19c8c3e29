// Command localstack runs the local cloud, and operates a deployment there or
// in an account; `make help` lists the targets that call it.
//
//	localstack up [-config FILE] [-port N]   start the cloud and deploy; again: update
//	localstack up -endpoint URL              deploy onto a cloud that runs already
//	localstack down                          stop it
//	localstack status                        is it running, where, with what
//	localstack demo                          the whole story on a cloud of its own
//
//	localstack jobs                          the rules, and what each is at
//	localstack run|adopt RULE               start a run; one that takes over another replication's replicas
//	localstack runs|failures RULE            the last runs; what failed
//	localstack pause|resume|kill|approve|verify RULE
//	localstack console [-port N]             all of that in a browser
//	localstack redrive                       send dead letters again
//	localstack import -bucket B [-file F]    another system's rules as YAML
//
// Those of the first group never reach an AWS account. The others act where the
// environment says; in a shell that says nothing, on this clone's local cloud
// if it runs, else in the account of the default profile. They say where on
// standard error.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"bucket-replicator/localstack/cloud"
)

const usage = "usage: go run ./localstack up|down|status|demo|import|console|redrive|jobs|run|adopt|runs|failures|pause|resume|kill|approve|verify [flags] [RULE]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func execute(ctx context.Context, args []string, out, notes io.Writer) error {
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
	case "demo":
		return demo(ctx, out)
	case "import":
		return importRules(ctx, args[1:], out, notes)
	case "console":
		return runConsole(ctx, args[1:], out)
	case "redrive":
		stack := flags.String("stack", stackName(), "name of the stack")
		_ = flags.Parse(args[1:])
		account, local, err := target(ctx)
		if err != nil {
			return err
		}
		if local != nil {
			*stack = cloud.StackName
		}
		return redrive(ctx, account, *stack, out)
	}
	if _, ok := operations[args[0]]; !ok {
		return errors.New(usage)
	}
	o := operator{out: out, notes: notes, now: time.Now, poll: 2 * time.Second}
	return o.operate(ctx, args[0], args[1:])
}

// stackName is the setting of that name of the deployment, which the CDK app
// reads from the same variable.
func stackName() string { return cmp.Or(os.Getenv("REPLICATOR_STACK"), cloud.StackName) }
