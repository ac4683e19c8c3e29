package e2e

import (
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// The local cloud of these tests evaluates policies, so that a permission that
// a function lacks fails here and not in an account: each refusal that no test
// asked for fails the run.
//
// It does not evaluate all that AWS does: not what a copy reads and writes of
// tags, not GetObject for a conditional delete, not what Lambda itself does
// with the queue and the log. For those, infra has tests of the template.
func TestPoliciesAreEvaluated(t *testing.T) {
	s := deployed(t)
	for name, who := range map[string]struct {
		aws.CredentialsProvider
		code string
	}{
		"a user without a policy": {s.newUser(t, "nobody"), "AccessDenied"},
		"a key that nobody has":   {credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "secret", ""), "InvalidAccessKeyId"},
	} {
		client := s3.NewFromConfig(s.Cloud.AWS(), func(o *s3.Options) { o.UsePathStyle, o.Credentials = true, who })
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("k")})
		var refused smithy.APIError
		if !errors.As(err, &refused) || refused.ErrorCode() != who.code {
			t.Errorf("%s puts an object: %v, want %s", name, err, who.code)
		}
	}
}

func TestARefusedWriteIsRecordedAndFinished(t *testing.T) {
	s := deployed(t)
	source := at{"photos", "refused"}
	allow := s.deny(t, "ReplicateFunction", "s3:PutObject")
	s.put(t, source, text("x"))
	s.told(t, "mirror", source, "failed")
	s.settles(t)
	failures, err := s.Ledger.Failures(t.Context(), "mirror", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(failures) != 1 || failures[0].Code != "AccessDenied" || failures[0].Source.Key != source.key || !strings.Contains(failures[0].Advice, "role") {
		t.Errorf("recorded are %+v", failures)
	}
	allow()
	s.put(t, source, text("again"))
	s.told(t, "mirror", source, "failed", "copied missing")
}

// refusals are the lines of the functions' logs that tell of one that no test
// asked for.
func (s *stage) refusals(ctx context.Context) ([]string, error) {
	var refusals []string
	for _, group := range []string{"ReplicateLogGroup", "ReconcileLogGroup", "TransferLogGroup", "ScheduleLogGroup", "AdminLogGroup", "ProvisionLogGroup"} {
		lines, err := s.Cloud.Logs(ctx, s.Stack.Outputs[group])
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			if (strings.Contains(line, "AccessDenied") || strings.Contains(line, "not authorized")) && !strings.Contains(line, `"key":"refused"`) && !strings.Contains(line, `"key":"forbidden/`) &&
				!strings.Contains(line, `"_aws"`) { // metrics name the code of the failure that a test asked for
				refusals = append(refusals, line)
			}
		}
	}
	return refusals, nil
}

// newUser makes an IAM user without any policy.
func (s *stage) newUser(t *testing.T, name string) aws.CredentialsProvider {
	t.Helper()
	s.iam(t, url.Values{"Action": {"CreateUser"}, "UserName": {name}}, nil)
	var made struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	s.iam(t, url.Values{"Action": {"CreateAccessKey"}, "UserName": {name}}, &made)
	return credentials.NewStaticCredentialsProvider(made.ID, made.Secret, "")
}

// deny takes an action from the role of a function, by its name in the stack's
// outputs, until the answer is called.
func (s *stage) deny(t *testing.T, function, action string) (allow func()) {
	t.Helper()
	end, err := s.Cloud.Deny(t.Context(), s.Stack, function, action, "*")
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
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
	answer, err := s.Cloud.Request(t.Context(), service, method, path, http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
