// Package console drives the deployed API from the outside, as people and their
// browsers do: its page in a real Chromium through what make console starts, its
// routes by a fuzzer that reads openapi.json, and every one of them by those who
// are to be turned away.
//
// All tests share one stack on a local cloud that checks signatures.
package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
	"bucket-replicator/localstack/signed"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestMain(m *testing.M) { os.Exit(opened.Run(m, stop, writeReport)) }

// patience bounds every wait. What is waited for takes a second or two; on a
// busy machine more.
const patience = time.Minute

// stage is a deployed stack, and the console in front of it.
type stage struct {
	*staging.Stage
	api     string // URL of the API
	address string // the console's, as it was printed
}

// console is the origin of the console, "http://127.0.0.1:8001".
func (s *stage) console() string { return s.address[:strings.Index(s.address, "/?")] }

// deployed is the stage that all tests share.
var deployed = staging.Shared(start)

// What start made, as far as it came.
var (
	opened staging.Stage
	proxy  *exec.Cmd
)

func start() (_ *stage, err error) {
	ctx := context.Background() // longer than the test that happens to be the first
	if err := opened.Start(ctx); err != nil {
		return nil, err
	}
	if err := opened.Deploy(ctx, "replication.yaml"); err != nil {
		return nil, err
	}
	s := &stage{Stage: &opened, api: cloud.AdminURL(opened.Cloud.URL(), opened.Stack.Outputs)}
	// Nothing shall happen but what a test does.
	for _, bucket := range []string{"shop", "drafts"} {
		if _, err := s.S3.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{
			Bucket: &bucket, NotificationConfiguration: &types.NotificationConfiguration{},
		}); err != nil {
			return nil, err
		}
	}
	if _, err := s.S3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: aws.String("vanished")}); err != nil {
		return nil, err
	}
	if _, err := s.Cloud.Deny(ctx, s.Stack, "ReconcileFunction", "s3:PutObject", "arn:aws:s3:::outlet/refused/*"); err != nil {
		return nil, err
	}
	proxy, s.address, err = s.openConsole()
	return s, err
}

// openConsole starts what make console does, in a shell that sourced the local
// cloud's exports, and answers the address that it prints.
func (s *stage) openConsole() (*exec.Cmd, string, error) {
	root, err := server.Root()
	if err != nil {
		return nil, "", err
	}
	binary := filepath.Join(s.Dir, "localstack")
	build := exec.Command("go", "build", "-o", binary, "./localstack")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("%w\n%s", err, out)
	}
	console := exec.Command(binary, "console")
	console.Dir, console.Stderr = root, os.Stderr
	console.Env = slices.Concat(os.Environ(), []string{"AWS_PROFILE="}, s.Cloud.Environ())
	out, err := console.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := console.Start(); err != nil {
		return nil, "", err
	}
	address := regexp.MustCompile(`^http://127\.0\.0\.1:\d+/\?token=\w+$`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if address.MatchString(lines.Text()) {
			return console, lines.Text(), nil
		}
	}
	return console, "", errors.New("make console printed no address")
}

// endConsole ends it as Ctrl-C does.
func endConsole(console *exec.Cmd) error {
	if err := console.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return console.Wait()
}

// stop ends the browser and the console.
func stop() error {
	closeBrowser()
	if proxy == nil {
		return nil
	}
	return endConsole(proxy)
}

// ask makes a signed request to the API.
func (s *stage) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := signed.Do(s.Cloud.AWS(), "execute-api", r, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, string(answer)
}

// asked fails unless the request answers this status.
func (s *stage) asked(t *testing.T, status int, method, path, body string) string {
	t.Helper()
	got, answer := s.ask(t, method, path, body)
	if got != status {
		t.Fatalf("%s %s answers %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

// put writes objects, each with its key as content.
func (s *stage) put(t *testing.T, bucket string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		s.write(t, bucket, key, key)
	}
}

func (s *stage) write(t *testing.T, bucket, key, content string) {
	t.Helper()
	if _, err := s.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func (s *stage) remove(t *testing.T, bucket string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, err := s.S3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
			t.Fatalf("delete %q: %v", key, err)
		}
	}
}

// list answers the keys under a prefix.
func (s *stage) list(t *testing.T, bucket, prefix string) []string {
	t.Helper()
	out, err := s.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

// arrives waits until an object is there.
func (s *stage) arrives(t *testing.T, bucket, key string) {
	t.Helper()
	await(t, bucket+"/"+key, func() (bool, error) { return slices.Contains(s.list(t, bucket, key), key), nil })
}

// workers switches those of runs on or off.
func (s *stage) workers(t *testing.T, on bool) {
	t.Helper()
	if err := s.Cloud.Workers(context.WithoutCancel(t.Context()), s.Stack, on); err != nil {
		t.Fatal(err)
	}
}

// await asks until the answer is yes.
func await(t *testing.T, what string, ready func() (bool, error)) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, err := ready()
		switch {
		case err != nil:
			t.Fatalf("%s: %v", what, err)
		case ok:
			return
		case time.Now().After(deadline):
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
