// Package backends drives the deployed stack with a second S3 server beside the
// local cloud: objects stream to it and back, by credentials that only the
// cloud's Secrets Manager has, and its events come through the webhook.
package backends

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
	"bucket-replicator/localstack/signed"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// local is the stack, on a local cloud that knows the secrets.
var local staging.Stage

func TestMain(m *testing.M) { os.Exit(local.Run(m)) }

// configuration has places for the endpoint and for two secrets.
const configuration = `
storage:
  backends:
    - { name: hq, endpoint: "%s", region: us-east-1, path_style: true, credentials_secret: "%s", webhook_secret: "%s" }
  buckets:
    here:  {}
    back:  {}
    there: { backend: hq }
    away:  { backend: hq }
  replication:
    rules:
      - { name: out, source: { bucket: here }, destination: { bucket: there }, replicate_deletes: true }
      - { name: in,  source: { bucket: away }, destination: { bucket: back },  replicate_deletes: true }
`

const token = "as MinIO sends it"

// patience bounds every wait.
const patience = 3 * time.Minute

// side is one of the two servers.
type side struct{ *s3.Client }

func TestObjectsGoToAnotherServerAndBack(t *testing.T) {
	ctx := t.Context()
	other := staging.Server(t, server.Versitygw)
	if err := local.Start(ctx); err != nil {
		t.Fatal(err)
	}
	here := side{local.S3}
	there := side{s3.NewFromConfig(aws.Config{
		Region:       server.Region,
		BaseEndpoint: aws.String(other.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	}, func(o *s3.Options) { o.UsePathStyle = true })}
	for _, name := range []string{"there", "away"} {
		if _, err := there.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}

	secrets := secretsmanager.NewFromConfig(local.Cloud.AWS())
	secret := func(name string, value map[string]string) string {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		made, err := secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: aws.String(string(text))})
		if err != nil {
			t.Fatal(err)
		}
		return *made.ARN
	}
	file := filepath.Join(t.TempDir(), "replication.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, other.URL,
		secret("hq", map[string]string{"access_key_id": server.AccessKey, "secret_access_key": server.SecretKey}),
		secret("hook", map[string]string{"bearer_token": token})), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := local.Deploy(ctx, file); err != nil {
		t.Fatal(err)
	}
	admin := cloud.AdminURL(local.Cloud.URL(), local.Stack.Outputs)
	hook := strings.TrimSuffix(admin, "/_/api/admin") + "/events/"

	t.Run("an object streams there, and its delete follows", func(t *testing.T) {
		want := content{body: strings.Repeat("over the wire\n", 100_000), kind: "text/x-verse", metadata: "nobody", tags: map[string]string{"team": "storage"}}
		here.put(t, "here", "a b+c%2F/ü.txt", want)
		there.holds(t, "there", "a b+c%2F/ü.txt", want)
		want.body = "shorter"
		here.put(t, "here", "a b+c%2F/ü.txt", want)
		there.holds(t, "there", "a b+c%2F/ü.txt", want)
		here.delete(t, "here", "a b+c%2F/ü.txt")
		there.lacks(t, "there", "a b+c%2F/ü.txt")
	})

	t.Run("what the other server tells brings an object here", func(t *testing.T) {
		want := content{body: "from afar", kind: "text/plain", metadata: "somebody", tags: map[string]string{}}
		there.put(t, "away", "a b.txt", want)
		if got := post(t, hook+"hq", token, told("s3:ObjectCreated:Put", "away", "a+b.txt")); got != 200 {
			t.Fatalf("the webhook answers %d", got)
		}
		here.holds(t, "back", "a b.txt", want)
		there.delete(t, "away", "a b.txt")
		if got := post(t, hook+"hq", token, told("s3:ObjectRemoved:Delete", "away", "a+b.txt")); got != 200 {
			t.Fatalf("the webhook answers %d", got)
		}
		here.lacks(t, "back", "a b.txt")
	})

	t.Run("nobody else gets in", func(t *testing.T) {
		for name, c := range map[string]struct {
			url, token string
			want       int
		}{
			"another token":    {hook + "hq", "guessed", 401},
			"no token":         {hook + "hq", "", 401},
			"another backend":  {hook + "aws", token, 404},
			"the API unsigned": {admin + "/jobs", "", 403},
		} {
			if got := post(t, c.url, c.token, told("s3:ObjectCreated:Put", "away", "x")); got != c.want {
				t.Errorf("%s: answered %d, want %d", name, got, c.want)
			}
		}
	})

	t.Run("what it keeps was learnt, and is shown", func(t *testing.T) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/backends", nil)
		if err != nil {
			t.Fatal(err)
		}
		status, answer, err := signed.Do(local.Cloud.AWS(), "execute-api", r, "")
		if err != nil || status != 200 {
			t.Fatalf("answered %d %s, %v", status, answer, err)
		}
		var body struct {
			Backends []struct {
				Name         string
				Capabilities []struct{ Name, Status string }
			}
		}
		if err := json.Unmarshal(answer, &body); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, b := range body.Backends {
			for _, c := range b.Capabilities {
				got[b.Name+" "+c.Name] = c.Status
			}
		}
		for name, want := range map[string]string{"hq put_conditions": "kept", "hq delete_conditions": "kept"} {
			if got[name] != want {
				t.Errorf("%s: %s, want %s; all: %v", name, got[name], want, got)
			}
		}
		if bytes.Contains(answer, []byte(server.SecretKey)) || bytes.Contains(answer, []byte("secretsmanager")) {
			t.Errorf("it says how to get in: %s", answer)
		}
	})
}

// told is what MinIO would send. The key is form-encoded, as in every such
// notification.
func told(event, bucket, key string) string {
	return fmt.Sprintf(`{"EventName":%q,"Key":%q,"Records":[{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"","eventTime":%q,"eventName":%q,`+
		`"s3":{"bucket":{"name":%q},"object":{"key":%q}}}]}`, event, bucket+"/"+key, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), event, bucket, key)
}

func post(t *testing.T, url, token, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// content is all of an object that travels.
type content struct {
	body, kind, metadata string
	tags                 map[string]string
}

func (s side) put(t *testing.T, bucket, key string, c content) {
	t.Helper()
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(c.body), ContentType: &c.kind, Metadata: map[string]string{"author": c.metadata}}
	for k, v := range c.tags {
		in.Tagging = aws.String(k + "=" + v)
	}
	if _, err := s.PutObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func (s side) delete(t *testing.T, bucket, key string) {
	t.Helper()
	if _, err := s.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		t.Fatal(err)
	}
}

// get answers false where there is no object.
func (s side) get(ctx context.Context, bucket, key string) (content, bool, error) {
	out, err := s.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if errors.As(err, new(*types.NoSuchKey)) {
		return content{}, false, nil
	}
	if err != nil {
		return content{}, false, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return content{}, false, err
	}
	tags, err := s.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return content{}, false, err
	}
	c := content{body: string(body), kind: aws.ToString(out.ContentType), metadata: out.Metadata["author"], tags: map[string]string{}}
	for _, tag := range tags.TagSet {
		c.tags[*tag.Key] = *tag.Value
	}
	return c, true, nil
}

// holds waits until the object is there with this content.
func (s side) holds(t *testing.T, bucket, key string, want content) {
	t.Helper()
	s.wait(t, bucket+"/"+key, func() bool {
		got, found, err := s.get(t.Context(), bucket, key)
		return err == nil && found && got.body == want.body && got.kind == want.kind && got.metadata == want.metadata && maps.Equal(got.tags, want.tags)
	})
}

// lacks waits until the object is gone.
func (s side) lacks(t *testing.T, bucket, key string) {
	t.Helper()
	s.wait(t, "the end of "+bucket+"/"+key, func() bool {
		_, found, err := s.get(t.Context(), bucket, key)
		return err == nil && !found
	})
}

func (s side) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
