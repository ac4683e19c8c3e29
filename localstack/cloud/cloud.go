// Package cloud is the local cloud with the stack on it: it starts MiniStack,
// makes the buckets of a configuration, deploys the CDK app and reads what the
// functions logged. The local commands, the demo and the end-to-end tests
// share it.
//
// Nothing here ever reaches an AWS account: clients are made without looking at
// the environment or at profiles, and child processes get an environment that
// names only the local cloud.
package cloud

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bucket-replicator/localstack/server"
)

// Account is the one account of the local cloud.
const Account = "000000000000"

// Options of a start.
type Options struct {
	// Dir keeps all state: the server's, the CDK's output, logs. It is made
	// where it does not exist. Required.
	Dir string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Detach lets the cloud outlive its starter, to be found with Running.
	Detach bool
	// Env is added to the server's environment: AUTH=true makes it check
	// signatures and evaluate policies.
	Env []string
	// Out is told each step and how long it took. Nil: nobody is.
	Out io.Writer
}

// Cloud is a running local cloud.
type Cloud struct {
	url    string
	server *server.Server // nil where it was started by somebody else
	dir    string
	out    io.Writer
}

// Start starts an empty cloud.
func Start(ctx context.Context, o Options) (*Cloud, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cloud{dir: dir, out: o.Out}
	if c.out == nil {
		c.out = io.Discard
	}
	// What a former cloud here had deployed is not on this one.
	if err := os.RemoveAll(filepath.Join(dir, outputsFile)); err != nil {
		return nil, err
	}
	err = c.step("starting the local cloud (MiniStack)", func() (err error) {
		c.server, err = server.MiniStack(ctx, server.Options{
			Port: o.Port, Dir: serverDir(dir), Detach: o.Detach, Env: o.Env,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	c.url = c.server.URL
	return c, nil
}

// At is a cloud that somebody else started, such as the one of compose.yaml.
// State goes to dir; Stop does nothing.
func At(url, dir string, out io.Writer) (*Cloud, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &Cloud{url: strings.TrimSuffix(url, "/"), dir: dir, out: out}, os.MkdirAll(dir, 0o755)
}

// Running finds the cloud that a former process started in dir with Detach.
// The error wraps server.ErrNotRunning where there is none.
func Running(dir string, out io.Writer) (*Cloud, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := server.Running(serverDir(dir))
	if err != nil {
		return nil, err
	}
	return &Cloud{url: s.URL, server: s, dir: dir, out: out}, nil
}

func serverDir(dir string) string { return filepath.Join(dir, "server") }

// URL is the one endpoint of every service, "http://127.0.0.1:4566".
func (c *Cloud) URL() string { return c.url }

// Stop ends the cloud and all that it started. What it held is gone then; its
// logs stay in Dir.
func (c *Cloud) Stop() error {
	if c.server == nil {
		return nil
	}
	return c.server.Stop()
}

// AWS is the configuration of SDK clients that speak to this cloud and to
// nothing else.
func (c *Cloud) AWS() aws.Config {
	return aws.Config{
		Region:       server.Region,
		BaseEndpoint: aws.String(c.URL()),
		HTTPClient:   &http.Client{Transport: server.FromMemory{}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey}, nil
		}),
	}
}

// S3 is a client for this cloud's buckets.
func (c *Cloud) S3() *s3.Client {
	return s3.NewFromConfig(c.AWS(), func(o *s3.Options) { o.UsePathStyle = true })
}

// environment is everything that a child process of ours gets to know: this
// cloud, and nothing of the caller's but PATH. Its home is a directory of the
// repository's, where the CDK and Node keep their caches.
func (c *Cloud) environment() ([]string, error) {
	root, err := server.Root()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(root, ".cache", "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"AWS_ENDPOINT_URL=" + c.URL(),
		"AWS_ENDPOINT_URL_S3=" + c.URL(),
		"AWS_REGION=" + server.Region,
		"AWS_DEFAULT_REGION=" + server.Region,
		"AWS_ACCESS_KEY_ID=" + server.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + server.SecretKey,
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true",
	}, nil
}

// Environ are the variables, each "name=value", that point the AWS CLI and SDKs
// at this cloud, and curl at the admin API of the stack if one is deployed. The
// empty session token hides the one of a real account.
func (c *Cloud) Environ() []string {
	outputs, _ := c.Deployed() // where that cannot be read there is no API to tell of
	return []string{
		"AWS_ENDPOINT_URL=" + c.URL(),
		"AWS_ENDPOINT_URL_S3=" + c.URL(),
		"AWS_REGION=" + server.Region,
		"AWS_ACCESS_KEY_ID=" + server.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + server.SecretKey,
		"AWS_SESSION_TOKEN=",
		"REPLICATOR_STACK=" + StackName,
		"ADMIN_URL=" + AdminURL(c.URL(), outputs),
	}
}

// AdminURL is where a local cloud serves the admin API of the stack with these
// outputs, which tell AWS's own address of it. Empty where there is none.
func AdminURL(endpoint string, outputs map[string]string) string {
	u, err := url.Parse(outputs["AdminUrl"])
	if err != nil || u.Host == "" {
		return ""
	}
	id, _, _ := strings.Cut(u.Host, ".")
	return endpoint + "/_aws/execute-api/" + id + strings.TrimSuffix(u.Path, "/")
}
