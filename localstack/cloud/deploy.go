package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

// Stack is what a deployment left behind.
type Stack struct {
	Config  rule.Config
	Outputs map[string]string // of the home stack, by name
}

// StackName is that of the one stack on a local cloud.
const StackName = "bucket-replicator"

const outputsFile = "outputs.json" // in Options.Dir

// Deploy makes the buckets that the configuration expects to exist, and deploys
// the stack. On a cloud that has the stack already it is an update.
func (c *Cloud) Deploy(ctx context.Context, configFile string) (Stack, error) {
	configFile, err := filepath.Abs(configFile)
	if err != nil {
		return Stack{}, err
	}
	text, err := os.ReadFile(configFile)
	if err != nil {
		return Stack{}, fmt.Errorf("read the configuration: %w", err)
	}
	config, found := rulefile.Parse(text)
	if problems := rule.Problems(found); problems.Err() != nil {
		return Stack{}, errors.New(strings.TrimSpace(problems.In(configFile)))
	}
	if err := c.makeBuckets(ctx, config.Storage); err != nil {
		return Stack{}, err
	}
	stack := Stack{Config: config}
	err = c.step("deploying "+filepath.Base(configFile)+" with the CDK", func() error {
		stack.Outputs, err = c.cdkDeploy(ctx, configFile)
		return err
	})
	return stack, err
}

// makeBuckets stands in for the owner of the buckets that the stack uses but
// does not make. Those on foreign endpoints are left alone.
func (c *Cloud) makeBuckets(ctx context.Context, storage rule.Storage) error {
	foreign := map[string]bool{}
	for _, b := range storage.Backends {
		foreign[b.Name] = b.Endpoint != ""
	}
	versioned := map[string]bool{}
	for alias, b := range storage.Buckets {
		at, _ := storage.Resolve(alias)
		if !b.Create && !foreign[at.Backend] {
			versioned[at.Name] = versioned[at.Name] || b.Versioned
		}
	}
	names := slices.Sorted(maps.Keys(versioned))
	if len(names) == 0 {
		return nil
	}
	return c.step("making buckets "+strings.Join(names, ", "), func() error {
		for _, name := range names {
			if err := c.makeBucket(ctx, name, versioned[name]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Cloud) makeBucket(ctx context.Context, name string, versioned bool) error {
	client := c.S3()
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	var owned *types.BucketAlreadyOwnedByYou
	if err != nil && !errors.As(err, &owned) {
		return fmt.Errorf("make bucket %s: %w", name, err)
	}
	if !versioned {
		return nil
	}
	_, err = client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket:                  &name,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		return fmt.Errorf("switch on versions of bucket %s: %w", name, err)
	}
	return nil
}

// cdkDeploy answers the stack's outputs. The CDK's many words go to
// deploy.log, and are shown only if it fails.
func (c *Cloud) cdkDeploy(ctx context.Context, configFile string) (map[string]string, error) {
	root, err := server.Root()
	if err != nil {
		return nil, err
	}
	cdklocal := filepath.Join(root, ".cache", "tools", "cdk", "node_modules", ".bin", "cdklocal")
	if _, err := os.Stat(cdklocal); err != nil {
		return nil, fmt.Errorf("%w (%w)", server.ErrNotInstalled, err)
	}
	if err := built(root); err != nil {
		return nil, err
	}
	if err := c.makeAssetBucket(ctx); err != nil {
		return nil, err
	}
	env, err := c.environment()
	if err != nil {
		return nil, err
	}
	outputs := filepath.Join(c.dir, outputsFile)
	cmd := exec.CommandContext(ctx, cdklocal, "deploy", "--all",
		"--context", "local=true", "--context", "config="+configFile, "--context", "stack="+StackName,
		"--output", filepath.Join(c.dir, "cdk.out"), "--outputs-file", outputs,
		"--require-approval", "never", "--no-notices", "--ci", "--progress", "events")
	cmd.Dir = filepath.Join(root, "infra") // where cdk.json is
	cmd.Env = env
	// The CLI starts the CDK app, and that starts a Node of its own: one
	// group, so that an interruption ends them all.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	runErr := cmd.Run()
	logFile := filepath.Join(c.dir, "deploy.log")
	if err := os.WriteFile(logFile, log.Bytes(), 0o644); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cdklocal deploy: %w", context.Cause(ctx))
	}
	if runErr != nil {
		return nil, fmt.Errorf("cdklocal deploy: %w\n%s\nThe whole log is %s", runErr, lastLines(log.String(), 40), logFile)
	}
	return readOutputs(outputs)
}

// built is an error unless each function is there for this machine, and the app
// too: the CDK would say so in other words.
func built(root string) error {
	functions, err := filepath.Glob(filepath.Join(root, "functions", "*", "main.go"))
	if err != nil {
		return err
	}
	want := []string{filepath.Join(root, "dist", "infra")}
	for _, f := range functions {
		want = append(want, filepath.Join(root, "dist", runtime.GOARCH, filepath.Base(filepath.Dir(f)), "bootstrap"))
	}
	for _, file := range want {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("not built, run: make build-local (%w)", err)
		}
	}
	return nil
}

// makeAssetBucket makes all that the local stack needs of a CDK bootstrap: the
// bucket that its functions' code is put into. Publishing happens with the
// caller's own credentials there, so the bootstrap's roles are not needed.
func (c *Cloud) makeAssetBucket(ctx context.Context) error {
	return c.makeBucket(ctx, "cdk-hnb659fds-assets-"+Account+"-"+server.Region, false)
}

// readOutputs reads the file that --outputs-file wrote.
func readOutputs(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var stacks map[string]map[string]string
	if err := json.Unmarshal(text, &stacks); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if stacks[StackName] == nil {
		return nil, fmt.Errorf("%s has no stack %s", file, StackName)
	}
	return stacks[StackName], nil
}

// Deployed answers the outputs of the last deployment, nil where there was
// none.
func (c *Cloud) Deployed() (map[string]string, error) {
	outputs, err := readOutputs(filepath.Join(c.dir, outputsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return outputs, err
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
