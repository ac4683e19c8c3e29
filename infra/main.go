// Command infra is the CDK app: it turns the configuration file into the stacks
// that replicate what it says.
//
// The CDK CLI runs it in infra/ (cdk.json). Run `make build` first: it compiles
// this program and the functions that the stacks carry.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/rule"
)

func main() {
	err := run()
	jsii.Close()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	app := newApp("")
	settings, err := readSettings(func(name string) string {
		if v := app.Node().TryGetContext(jsii.String(name)); v != nil {
			return fmt.Sprint(v)
		}
		return ""
	}, os.Getenv)
	if err != nil {
		return err
	}
	config, err := readConfig(settings.ConfigFile, os.Stderr)
	if err != nil {
		return err
	}
	if err := newStacks(app, settings, config); err != nil {
		return err
	}
	app.Synth(nil)
	return nil
}

// newApp is the CDK app, with the feature flags that this stack's templates
// depend on, so that tests and the CLI synthesise the same. outdir is empty
// where the CLI chooses it.
func newApp(outdir string) awscdk.App {
	props := &awscdk.AppProps{
		AnalyticsReporting: jsii.Bool(false),
		Context: &map[string]any{
			"@aws-cdk/aws-iam:minimizePolicies": true,
			// Without it CDK takes every ARN in a policy for 120 characters
			// long, and needs twice the policies for many buckets.
			"@aws-cdk/core:enablePartitionLiterals": true,
		},
	}
	if outdir != "" {
		props.Outdir = jsii.String(outdir)
	}
	return awscdk.NewApp(props)
}

// built are the files in dist/ that the functions are made of.
var built = []string{
	"replicate/bootstrap", "schedule/bootstrap", "reconcile/bootstrap", "transfer/bootstrap", "provision/bootstrap", "webhook/bootstrap",
	"admin/bootstrap", "admin/assets/htmx.min.js", "admin/assets/idiomorph-ext.min.js",
}

// newStacks adds the home stack and one for each other source region.
func newStacks(app constructs.Construct, settings Settings, config rule.Config) error {
	var errs []error
	for _, file := range built {
		if _, err := os.Stat(settings.code(file)); err != nil {
			errs = append(errs, fmt.Errorf("%w: run `make build`", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t := newTopology(config.Storage, settings.Region)
	home, err := newHomeStack(app, settings, config, t)
	if err != nil {
		return err
	}
	for _, region := range t.outposts() {
		// The bus they forward to stands at home.
		newOutpostStack(app, settings, t, region).AddStackDependency(home, nil)
	}
	return nil
}
