package s3store_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/s3store"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const eventBridge = "<EventBridgeConfiguration></EventBridgeConfiguration>"

// everyNotification has each kind, with every field there is.
const everyNotification = `<TopicConfiguration><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>` +
	`<Filter><S3Key><FilterRule><Name>prefix</Name><Value>a &amp; b/</Value></FilterRule><FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter>` +
	`<Id>topic 1</Id><Topic>arn:aws:sns:eu-west-1:111122223333:t</Topic></TopicConfiguration>` +
	`<TopicConfiguration><Event>s3:Replication:*</Event><Id>topic 2</Id><Topic>arn:aws:sns:eu-west-1:111122223333:u</Topic></TopicConfiguration>` +
	`<QueueConfiguration><Event>s3:ObjectCreated:Put</Event><Id>queue</Id><Queue>arn:aws:sqs:eu-west-1:111122223333:q</Queue></QueueConfiguration>` +
	`<CloudFunctionConfiguration><CloudFunction>arn:aws:lambda:eu-west-1:111122223333:function:f</CloudFunction><Event>s3:ObjectTagging:*</Event><Id>function</Id></CloudFunctionConfiguration>`

// notificationServer is one bucket's ?notification resource.
type notificationServer struct {
	content    string
	puts       int
	region     string // of the last request's signature
	answerWith int    // instead of serving, if not 0
	code       string
}

func (s *notificationServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if scope := strings.Split(r.Header.Get("Authorization"), "/"); len(scope) > 2 {
		s.region = scope[2]
	}
	switch {
	case s.answerWith != 0:
		w.WriteHeader(s.answerWith)
		_, _ = io.WriteString(w, "<Error><Code>"+s.code+"</Code><Message>no</Message></Error>")
	case r.Method == http.MethodPut:
		s.puts++
		b, _ := io.ReadAll(r.Body)
		_, content, _ := strings.Cut(string(b), ">")
		s.content = strings.TrimSuffix(content, "</NotificationConfiguration>")
	default:
		_, _ = io.WriteString(w, `<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">`+s.content+"</NotificationConfiguration>")
	}
}

func notifications(t *testing.T, s *notificationServer) *s3store.Notifications {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s3store.NewNotifications(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	})
}

func TestSwitchingOnKeepsEveryOtherNotification(t *testing.T) {
	for name, before := range map[string]string{"none": "", "every kind": everyNotification} {
		t.Run(name, func(t *testing.T) {
			s := &notificationServer{content: before}
			n := notifications(t, s)
			if changed, err := n.SwitchOn(t.Context(), "b", "eu-west-1"); err != nil || !changed {
				t.Fatalf("changed %t, %v", changed, err)
			}
			if s.region != "eu-west-1" {
				t.Errorf("asked in region %s", s.region)
			}
			if !strings.Contains(s.content, eventBridge) {
				t.Errorf("EventBridge is off: %s", s.content)
			}
			if got := sortedElements(strings.ReplaceAll(s.content, eventBridge, "")); got != sortedElements(before) {
				t.Errorf("the others were\n%s\nand are\n%s", sortedElements(before), got)
			}
			if changed, err := n.SwitchOn(t.Context(), "b", ""); err != nil || changed || s.puts != 1 {
				t.Errorf("again: changed %t, %d puts, %v", changed, s.puts, err)
			}
			if s.region != "us-east-1" {
				t.Errorf("without a region asked in %s", s.region)
			}
		})
	}
}

func TestABucketThatCannotBeSwitchedOn(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		class  object.Class
	}{
		{http.StatusNotFound, "NoSuchBucket", object.Permanent},
		{http.StatusForbidden, "AccessDenied", object.Permanent},
		{http.StatusMovedPermanently, "PermanentRedirect", object.Permanent},
		{http.StatusServiceUnavailable, "SlowDown", object.Retryable},
	} {
		s := &notificationServer{answerWith: c.status, code: c.code}
		_, err := notifications(t, s).SwitchOn(t.Context(), "photos", "")
		if object.ClassOf(err) != c.class || object.CodeOf(err) != c.code || !strings.Contains(err.Error(), "aws/photos") {
			t.Errorf("%s: %v", c.code, err)
		}
	}
}

// sortedElements writes the configurations one to a line, the fields of each in
// the order of their names: neither order means anything.
func sortedElements(content string) string {
	type field struct {
		XMLName xml.Name
		Inner   string `xml:",innerxml"`
	}
	var all struct {
		Configurations []struct {
			XMLName xml.Name
			Fields  []field `xml:",any"`
		} `xml:",any"`
	}
	if err := xml.Unmarshal([]byte("<x>"+content+"</x>"), &all); err != nil {
		return err.Error()
	}
	var lines []string
	for _, c := range all.Configurations {
		var fields []string
		for _, f := range c.Fields {
			fields = append(fields, f.XMLName.Local+"="+f.Inner)
		}
		slices.Sort(fields)
		lines = append(lines, c.XMLName.Local+" "+strings.Join(fields, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
