package conformance

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/provision"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-lambda-go/cfn"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A bucket that belongs to somebody else, with a queue of theirs, becomes a
// source: their notifications stay.
func TestProvisionOnMiniStack(t *testing.T) {
	account, _ := client(staging.Server(t, server.MiniStack))
	buckets := s3.NewFromConfig(account)
	queueARN := somebodysQueue(t, sqs.NewFromConfig(account))
	theirs := s3types.QueueConfiguration{
		Id: aws.String("theirs"), QueueArn: aws.String(queueARN), Events: []s3types.Event{"s3:ObjectCreated:*"},
		Filter: &s3types.NotificationConfigurationFilter{Key: &s3types.S3KeyFilter{FilterRules: []s3types.FilterRule{
			{Name: s3types.FilterRuleNamePrefix, Value: aws.String("in & out/")},
		}}},
	}
	for _, name := range []string{"used", "fresh"} {
		if _, err := buckets.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := buckets.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{
		Bucket:                    aws.String("used"),
		NotificationConfiguration: &s3types.NotificationConfiguration{QueueConfigurations: []s3types.QueueConfiguration{theirs}},
	}); err != nil {
		t.Fatal(err)
	}

	l, _ := openLedger(t, account)
	config := rule.Default()
	config.Storage.Buckets = map[string]rule.Bucket{"used": {}, "fresh": {}}
	r := rule.DefaultRule()
	r.Name, r.Source.Bucket, r.Destination.Bucket = "mirror", "used", "fresh"
	config.Storage.Replication.Rules = []rule.Rule{r}
	resource := &provision.Resource{
		Provisioner: provision.Provisioner{Rules: l, Notifications: s3store.NewNotifications(account), Now: time.Now},
		ConfigFile:  writeJSON(t, config),
		Client:      http.DefaultClient,
		Log:         slog.New(slog.DiscardHandler),
	}
	for _, request := range []cfn.RequestType{cfn.RequestCreate, cfn.RequestUpdate, cfn.RequestDelete} {
		if a := answerOf(t, resource, request, "used", "fresh"); a.Status != cfn.StatusSuccess {
			t.Fatalf("%s: %s", request, a.Reason)
		}
		for _, name := range []string{"used", "fresh"} {
			got, err := buckets.GetBucketNotificationConfiguration(t.Context(), &s3.GetBucketNotificationConfigurationInput{Bucket: &name})
			if err != nil {
				t.Fatal(err)
			}
			if got.EventBridgeConfiguration == nil {
				t.Errorf("after %s: EventBridge of %s is off", request, name)
			}
			if name == "used" && !sameNotification(got.QueueConfigurations, theirs) {
				t.Errorf("after %s: their notification is %+v", request, got.QueueConfigurations)
			}
		}
		c, err := l.Catalog(t.Context())
		if err != nil || c.Revision != 1 || len(c.Rules) != 1 || c.Rules[0].Rule.Name != "mirror" {
			t.Errorf("after %s: catalog %+v, %v", request, c, err)
		}
	}

	a := answerOf(t, resource, cfn.RequestUpdate, "gone", "fresh", "lost")
	if a.Status != cfn.StatusFailed || !strings.Contains(a.Reason, "gone") || !strings.Contains(a.Reason, "lost") || !strings.Contains(a.Reason, "NoSuchBucket") {
		t.Errorf("with missing buckets: %+v", a)
	}
}

// somebodysQueue makes a queue that S3 may send to.
func somebodysQueue(t *testing.T, client *sqs.Client) string {
	t.Helper()
	made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("theirs")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: made.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.Attributes[string(sqstypes.QueueAttributeNameQueueArn)]
}

func sameNotification(got []s3types.QueueConfiguration, want s3types.QueueConfiguration) bool {
	if len(got) != 1 {
		return false
	}
	g := got[0]
	return aws.ToString(g.Id) == *want.Id && aws.ToString(g.QueueArn) == *want.QueueArn &&
		len(g.Events) == 1 && g.Events[0] == want.Events[0] &&
		g.Filter != nil && g.Filter.Key != nil && len(g.Filter.Key.FilterRules) == 1 &&
		aws.ToString(g.Filter.Key.FilterRules[0].Value) == *want.Filter.Key.FilterRules[0].Value
}

// answerOf is what CloudFormation is told.
func answerOf(t *testing.T, r *provision.Resource, request cfn.RequestType, buckets ...string) cfn.Response {
	t.Helper()
	var answer cfn.Response
	cloudFormation := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &answer)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer cloudFormation.Close()
	var names []any
	for _, name := range buckets {
		names = append(names, map[string]any{"Name": name, "Region": ""})
	}
	if err := r.Handle(t.Context(), cfn.Event{
		RequestType: request, ResponseURL: cloudFormation.URL, ResourceProperties: map[string]any{"Buckets": names},
	}); err != nil {
		t.Fatal(err)
	}
	return answer
}

func writeJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "configuration.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
