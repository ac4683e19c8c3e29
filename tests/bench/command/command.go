// Package command is what the benchmarks' programs have in common: how they
// begin, and the flags of those that copy between two buckets.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"bucket-replicator/shared/awsconfig"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Main runs a program until it ends or is interrupted, and exits where that was
// an error, which it tells on standard error.
func Main(name string, run func(ctx context.Context, args []string, out, log io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Buckets are the two of a copy.
type Buckets struct {
	Endpoint, Region    string // Endpoint empty: AWS
	Source, Destination string
}

// Parse parses the arguments by the flags given and those of the buckets.
func (b *Buckets) Parse(flags *flag.FlagSet, args []string) error {
	flags.StringVar(&b.Endpoint, "endpoint", "", "`URL` of the S3 server that has the buckets; without it, AWS")
	flags.StringVar(&b.Region, "region", "us-east-1", "region that requests are signed for")
	flags.StringVar(&b.Source, "source", "", "`bucket` to copy from")
	flags.StringVar(&b.Destination, "destination", "", "`bucket` to copy to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	case b.Source == "" || b.Destination == "":
		return errors.New("--source and --destination are needed; --help lists all flags")
	}
	return nil
}

// Config is what clients are made from.
func (b *Buckets) Config(ctx context.Context) (aws.Config, error) {
	cfg, err := awsconfig.Load(ctx)
	cfg.Region = b.Region
	return cfg, err
}
