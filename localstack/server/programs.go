package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// MiniStack starts the one server that runs the whole stack. Functions run as
// processes and inherit its environment; AUTH=true in Options.Env makes it
// check signatures and policies.
func MiniStack(ctx context.Context, o Options) (*Server, error) {
	return program{
		name: "MiniStack",
		args: func(string, int) ([]string, error) {
			return installed("tools/ministack/bin/ministack")
		},
		env: func(_ string, port int) []string {
			return []string{
				"BIND_HOST=127.0.0.1",
				"GATEWAY_PORT=" + strconv.Itoa(port),
				"LAMBDA_EXECUTOR=local",
				"AWS_ENDPOINT_URL=http://127.0.0.1:" + strconv.Itoa(port),
				"AWS_ACCESS_KEY_ID=" + AccessKey,
				"AWS_SECRET_ACCESS_KEY=" + SecretKey,
				"AWS_REGION=" + Region,
				"AWS_DEFAULT_REGION=" + Region,
			}
		},
		health: "/_ministack/health",
		ready:  func(status int) bool { return status == 200 },
		wait:   30 * time.Second,
	}.start(ctx, o)
}

// LocalStack starts LocalStack 4.14 with S3, SQS and KMS only.
func LocalStack(ctx context.Context, o Options) (*Server, error) {
	return program{
		name: "LocalStack",
		args: func(string, int) ([]string, error) {
			return installed("tools/localstack/bin/python", "-m", "localstack.runtime.main")
		},
		env: func(dir string, port int) []string {
			return []string{
				"OVERRIDE_IN_DOCKER=0",
				"FILESYSTEM_ROOT=" + filepath.Join(dir, "root"),
				"LOCALSTACK_VOLUME_DIR=" + filepath.Join(dir, "volume"),
				"GATEWAY_LISTEN=127.0.0.1:" + strconv.Itoa(port),
				"SERVICES=s3,sqs,kms",
				"DISABLE_EVENTS=1",
				"SKIP_SSL_CERT_DOWNLOAD=1",
			}
		},
		health: "/_localstack/health",
		ready:  func(status int) bool { return status == 200 },
		wait:   90 * time.Second,
	}.start(ctx, o)
}

// Versitygw starts an S3 server over a directory, with versions. It checks
// signatures.
func Versitygw(ctx context.Context, o Options) (*Server, error) {
	return program{
		name: "versitygw",
		args: func(dir string, port int) ([]string, error) {
			data, versions := filepath.Join(dir, "data"), filepath.Join(dir, "versions")
			if err := errors.Join(os.MkdirAll(data, 0o755), os.MkdirAll(versions, 0o755)); err != nil {
				return nil, err
			}
			return installed("bin/versitygw", "--port", "127.0.0.1:"+strconv.Itoa(port),
				"--region", Region, "--health", "/health", "--quiet", "posix", "--versioning-dir", versions, data)
		},
		env: func(string, int) []string {
			return []string{"ROOT_ACCESS_KEY_ID=" + AccessKey, "ROOT_SECRET_ACCESS_KEY=" + SecretKey}
		},
		health: "/health",
		ready:  func(status int) bool { return status == 200 },
		wait:   30 * time.Second,
	}.start(ctx, o)
}

// installed is the command line of a program under .cache.
func installed(program string, args ...string) ([]string, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, ".cache", filepath.FromSlash(program))
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNotInstalled, err)
	}
	return append([]string{path}, args...), nil
}

// Root is the repository's root: the nearest directory upwards that holds
// go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod here or above: run inside the repository")
		}
		dir = up
	}
}

func scratchDir(name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(root, ".cache", "run")
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, name+"-")
}
