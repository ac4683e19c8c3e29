package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// The other tests run as root. Here the local cloud checks signatures and
// evaluates the policies of the functions' roles, so that a missing permission
// fails here and not in an account.
//
// It does not evaluate all that AWS does: tags that a copy reads and writes,
// GetObject of a conditional delete, ListBucket of a look at nothing, and what
// Lambda itself does with the queue and the log. Tests in infra assert those
// permissions on the template.
func TestTheFunctionsMayDoWhatTheyDo(t *testing.T) {
	s, err := start("AUTH=true")
	if err != nil {
		t.Fatal(err)
	}

	t.Run("policies are evaluated", func(t *testing.T) {
		for name, key := range map[string]aws.CredentialsProvider{
			"a user without a policy": s.newUser(t),
			"a key that nobody has":   credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""),
		} {
			client := s3.NewFromConfig(s.cloud.AWS(), func(o *s3.Options) { o.UsePathStyle, o.Credentials = true, key })
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("k")})
			var refused smithy.APIError
			if !errors.As(err, &refused) || refused.ErrorCode() != "AccessDenied" && refused.ErrorCode() != "InvalidAccessKeyId" {
				t.Errorf("%s puts an object: %v", name, err)
			}
		}
	})

	source, replica := at{"photos", "permitted/ü"}, at{"backup", "permitted/ü"}
	t.Run("copy with tags, overwrite, delete", func(t *testing.T) {
		full := content{Body: "1", ContentType: "text/plain", Metadata: map[string]string{"a": "b"}, Tags: map[string]string{"c": "d"}}
		s.put(t, source, full)
		s.told(t, "mirror", source, "copied missing")
		s.holds(t, replica, full)
		s.put(t, source, text("2"))
		s.told(t, "mirror", source, "copied missing", "copied changed")
		s.delete(t, source)
		s.told(t, "mirror", source, "copied missing", "copied changed", "deleted removed")
		s.isAbsent(t, replica)
	})
	t.Run("marker on a versioned pair", func(t *testing.T) {
		s.put(t, at{"drafts", "k"}, text("x"))
		s.told(t, "versions", at{"drafts", "k"}, "copied missing")
		s.delete(t, at{"drafts", "k"})
		s.told(t, "versions", at{"drafts", "k"}, "copied missing", "deleted removed")
	})
	t.Run("echo in a pair", func(t *testing.T) {
		s.put(t, at{"paris", "k"}, text("x"))
		s.told(t, "paris-to-tokyo", at{"paris", "k"}, "copied missing")
		s.told(t, "tokyo-to-paris", at{"tokyo", "k"}, "skipped echo")
	})
	t.Run("choice by tags", func(t *testing.T) {
		s.put(t, at{"site", "pages/k"}, content{Body: "x", ContentType: "text/plain", Tags: map[string]string{"publish": "yes"}})
		s.told(t, "published", at{"site", "pages/k"}, "copied missing")
	})
	t.Run("waiting for another's recording", func(t *testing.T) {
		s.put(t, at{"backup", "theirs"}, text("x"))
		s.send(t, events, news{kind: "Object Deleted", at: at{"photos", "theirs"}}.body(t))
		s.told(t, "mirror", at{"photos", "theirs"}, "skipped not_ours")
	})
	t.Run("giving an undecodable message back", func(t *testing.T) {
		s.send(t, events, "no event")
		if got := s.takes(t, deadLetters); got != "no event" {
			t.Errorf("the dead letter is %q", got)
		}
	})
	t.Run("pause, deploy, resume", func(t *testing.T) {
		if err := s.ledger.SetPaused(t.Context(), "pausable", true); err != nil {
			t.Fatal(err)
		}
		s.update(t, "interval: 24h", "interval: 12h")
		s.put(t, at{"scans", "live/paused"}, text("x"))
		s.told(t, "pausable", at{"scans", "live/paused"}, "skipped paused")
		if err := s.ledger.SetPaused(t.Context(), "pausable", false); err != nil {
			t.Fatal(err)
		}
		s.put(t, at{"scans", "live/resumed"}, text("x"))
		s.told(t, "pausable", at{"scans", "live/resumed"}, "copied missing")
	})
	for _, group := range []string{"ReplicateLogGroup", "ProvisionLogGroup"} {
		lines, err := s.cloud.Logs(t.Context(), s.stack.Outputs[group])
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if strings.Contains(line, "AccessDenied") || strings.Contains(line, "not authorized") {
				t.Errorf("%s: %s", group, line)
			}
		}
	}

	// Last, for it fills the log with refusals.
	t.Run("a refused write is recorded and finished", func(t *testing.T) {
		s.deny(t, s.stack.Outputs["ReplicateFunction"], "s3:PutObject")
		source := at{"photos", "refused"}
		s.put(t, source, text("x"))
		s.told(t, "mirror", source, "failed")
		s.settles(t)
		failures, err := s.ledger.Failures(t.Context(), "mirror")
		if err != nil {
			t.Fatal(err)
		}
		if len(failures) != 1 || failures[0].Code != "AccessDenied" || failures[0].Source.Key != source.key || !strings.Contains(failures[0].Advice, "role") {
			t.Errorf("recorded are %+v", failures)
		}
	})
}

// newUser makes an IAM user without any policy.
func (s *stage) newUser(t *testing.T) aws.CredentialsProvider {
	t.Helper()
	s.iam(t, url.Values{"Action": {"CreateUser"}, "UserName": {"nobody"}}, nil)
	var made struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	s.iam(t, url.Values{"Action": {"CreateAccessKey"}, "UserName": {"nobody"}}, &made)
	return credentials.NewStaticCredentialsProvider(made.ID, made.Secret, "")
}

// deny takes an action from a function's role.
func (s *stage) deny(t *testing.T, function, action string) {
	t.Helper()
	var configuration struct{ Role string }
	answer := s.call(t, "lambda", http.MethodGet, "/2015-03-31/functions/"+function+"/configuration", "")
	if err := json.Unmarshal(answer, &configuration); err != nil {
		t.Fatal(err)
	}
	s.iam(t, url.Values{
		"Action": {"PutRolePolicy"}, "RoleName": {path.Base(configuration.Role)}, "PolicyName": {"deny"},
		"PolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"` + action + `","Resource":"*"}]}`},
	}, nil)
}

// iam makes one call of IAM. A client of the SDK would be one more dependency
// for three calls.
func (s *stage) iam(t *testing.T, form url.Values, into any) {
	t.Helper()
	form.Set("Version", "2010-05-08")
	answer := s.call(t, "iam", http.MethodPost, "/", form.Encode())
	if into == nil {
		return
	}
	if err := xml.Unmarshal(answer, into); err != nil {
		t.Fatalf("%s: %v", form.Get("Action"), err)
	}
}

// call makes one signed request to a service, and answers the body.
func (s *stage) call(t *testing.T, service, method, path, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.cloud.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	root, err := s.cloud.AWS().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(t.Context(), root, r, hex.EncodeToString(sum[:]), service, server.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer bytes.Buffer
	if _, err := io.Copy(&answer, response.Body); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s answered %s: %s", service, path, response.Status, answer.String())
	}
	return answer.Bytes()
}
