package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
)

const defaultPort = 4566

// stateDir is where the one detached cloud of this clone keeps its state, so
// that each clone may have one.
func stateDir() (string, error) {
	root, err := server.Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".cache", "local"), nil
}

// up starts the cloud unless it runs, and deploys. The cloud stays up if the
// deployment fails, so that one can look at it.
func up(ctx context.Context, config string, port int, endpoint string, out io.Writer) error {
	dir, err := stateDir()
	if err != nil {
		return err
	}
	var c *cloud.Cloud
	if endpoint != "" {
		c, err = cloud.At(endpoint, dir, out)
	} else {
		c, err = runningOrNew(ctx, dir, port, out)
	}
	if err != nil {
		return err
	}
	stack, err := c.Deploy(ctx, config)
	if err != nil {
		return fmt.Errorf("%w\nthe local cloud still runs at %s; make local-down stops it", err, c.URL())
	}
	env := filepath.Join(dir, "env")
	exports := "export " + strings.Join(c.Environ(), "\nexport ") + "\n"
	if err := os.WriteFile(env, []byte(exports), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nDeployed at %[2]s, rules: %[1]d. To use it from this shell: source .cache/local/env\n",
		len(stack.Config.Storage.Replication.Rules), c.URL())
	return nil
}

func runningOrNew(ctx context.Context, dir string, port int, out io.Writer) (*cloud.Cloud, error) {
	c, err := cloud.Running(dir, out)
	switch {
	case errors.Is(err, server.ErrNotRunning):
		return start(ctx, dir, port, out)
	case err != nil:
		return nil, err
	case port != 0 && c.URL() != localURL(port):
		return nil, fmt.Errorf("this clone's local cloud runs at %s already: make local-down first, or leave PORT out to update it", c.URL())
	}
	fmt.Fprintf(out, "updating the local cloud that runs at %s\n", c.URL())
	return c, nil
}

func start(ctx context.Context, dir string, port int, out io.Writer) (*cloud.Cloud, error) {
	if port == 0 {
		port = defaultPort
	}
	c, err := cloud.Start(ctx, cloud.Options{Dir: dir, Port: port, Detach: true, Out: out})
	if errors.Is(err, server.ErrPortTaken) {
		return nil, fmt.Errorf("%w\nanother program listens there, perhaps the local cloud of another clone: stop it, or choose another port with make local-up PORT=%d", err, port+1)
	}
	return c, err
}

func localURL(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// down stops the cloud and removes its state. Without one it has nothing to do.
func down(out io.Writer) error {
	dir, err := stateDir()
	if err != nil {
		return err
	}
	c, err := cloud.Running(dir, out)
	switch {
	case errors.Is(err, server.ErrNotRunning):
		fmt.Fprintln(out, "no local cloud is running")
	case err != nil:
		return err
	default:
		if err := c.Stop(); err != nil {
			return err
		}
		fmt.Fprintf(out, "stopped the local cloud at %s\n", c.URL())
	}
	return os.RemoveAll(dir)
}

// status tells where the cloud is and what was deployed on it.
func status(out io.Writer) error {
	dir, err := stateDir()
	if err != nil {
		return err
	}
	c, err := cloud.Running(dir, out)
	if errors.Is(err, server.ErrNotRunning) {
		fmt.Fprintln(out, "no local cloud is running; make local-up starts one")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "running at %s, state and logs in %s\n", c.URL(), dir)
	outputs, err := c.Deployed()
	if err != nil {
		return err
	}
	if outputs == nil {
		fmt.Fprintln(out, "nothing is deployed; make local-up deploys")
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		fmt.Fprintf(out, "  %-21s %s\n", name, outputs[name])
	}
	return nil
}
