package awsconfig_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const secretARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:hq-AbCdEf"

// answering is a service that answers every request the same.
func answering(t *testing.T, status int, body string) (aws.Config, *[]string) {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Header.Get("Authorization")+" "+r.Header.Get("X-Amz-Target")+" "+string(b))
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	return aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(server.URL),
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
	}, &asked
}

func TestASecretSignsForItsBackend(t *testing.T) {
	c, asked := answering(t, 200, `{"SecretString":"{\"access_key_id\":\"k\",\"secret_access_key\":\"s\",\"more\":1}"}`)
	got, err := awsconfig.Credentials(c)(rule.Backend{Name: "hq", CredentialsSecret: secretARN}).Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "k" || got.SecretAccessKey != "s" || got.CanExpire {
		t.Errorf("got %+v, %v", got.AccessKeyID, err)
	}
	if len(*asked) != 1 || !strings.Contains((*asked)[0], "secretsmanager.GetSecretValue") ||
		!strings.Contains((*asked)[0], secretARN) || !strings.Contains((*asked)[0], "/eu-west-1/") {
		t.Errorf("asked %q", *asked)
	}
}

func TestASecretThatIsNoneIsToldWithoutItsContent(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON":       `{"SecretString":"hunter2"}`,
		"another shape":  `{"SecretString":"{\"user\":\"hunter2\"}"}`,
		"half of it":     `{"SecretString":"{\"access_key_id\":\"hunter2\"}"}`,
		"binary":         `{"SecretBinary":"aHVudGVyMg=="}`,
		"a wrong type":   `{"SecretString":"{\"access_key_id\":{\"hunter2\":1}}"}`,
		"numbers for it": `{"SecretString":"{\"access_key_id\":1,\"secret_access_key\":\"hunter2\"}"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := answering(t, 200, body)
			_, err := awsconfig.Credentials(c)(rule.Backend{Name: "hq", CredentialsSecret: secretARN}).Retrieve(t.Context())
			if err == nil || object.CodeOf(err) != awsconfig.CodeCredentials || object.ClassOf(err) != object.Retryable {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("the error quotes the secret: %v", err)
			}
		})
	}
	c, _ := answering(t, 400, `{"__type":"AccessDeniedException","message":"no"}`)
	if _, err := awsconfig.Credentials(c)(rule.Backend{CredentialsSecret: secretARN}).Retrieve(t.Context()); object.CodeOf(err) != awsconfig.CodeCredentials {
		t.Errorf("got %v", err)
	}
}

func TestARoleIsAssumedWithItsExternalID(t *testing.T) {
	const answer = `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>k</AccessKeyId><SecretAccessKey>s</SecretAccessKey>` +
		`<SessionToken>t</SessionToken><Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`
	for _, externalID := range []string{"", "shared-word"} {
		c, asked := answering(t, 200, answer)
		got, err := awsconfig.Credentials(c)(rule.Backend{Name: "p", RoleARN: "arn:aws:iam::222233334444:role/r", ExternalID: externalID}).Retrieve(t.Context())
		if err != nil || got.AccessKeyID != "k" || got.SessionToken != "t" || !got.CanExpire {
			t.Fatalf("got %+v, %v", got, err)
		}
		_, body, _ := strings.Cut((*asked)[0], "  ")
		form, err := url.ParseQuery(body)
		if err != nil {
			t.Fatal(err)
		}
		if form.Get("Action") != "AssumeRole" || form.Get("RoleArn") != "arn:aws:iam::222233334444:role/r" || form.Get("ExternalId") != externalID {
			t.Errorf("asked %v", form)
		}
	}
}

func TestTheFunctionsOwnRoleSignsForTheRest(t *testing.T) {
	c, asked := answering(t, 200, "")
	if p := awsconfig.Credentials(c)(rule.Backend{Name: "dr", Region: "eu-central-1"}); p != nil || len(*asked) > 0 {
		t.Errorf("got %v, asked %q", p, *asked)
	}
}
