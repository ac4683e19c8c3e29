package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/provision"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"

	"github.com/aws/aws-lambda-go/cfn"
)

// buckets that are there, with whether EventBridge is on.
type buckets map[string]bool

func (b buckets) SwitchOn(ctx context.Context, bucket, region string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	on, there := b[bucket+" "+region]
	if !there {
		return false, errors.New("no such bucket: " + bucket)
	}
	b[bucket+" "+region] = true
	return !on, nil
}

// stack is CloudFormation, the account and the function, all in memory.
type stack struct {
	resource *provision.Resource
	ledger   *storetest.Ledger
	buckets  buckets
	log      bytes.Buffer
	url      string

	answers []cfn.Response
	bodies  []int // their lengths
	status  int   // what the next answers are met with
}

func newStack(t *testing.T, c rule.Config) *stack {
	s := &stack{ledger: &storetest.Ledger{}, buckets: buckets{"src ": false, "far eu-west-1": false}, status: http.StatusOK}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.resource = &provision.Resource{
		Provisioner: provision.Provisioner{
			Rules: s.ledger, Notifications: s.buckets,
			Now: func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) },
		},
		ConfigFile: filepath.Join(t.TempDir(), "configuration.json"),
		Client:     server.Client(),
		Log:        slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	s.configure(t, c)
	return s
}

// configure deploys the function with another configuration.
func (s *stack) configure(t *testing.T, c rule.Config) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.resource.ConfigFile, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var answer cfn.Response
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || r.Method != http.MethodPut || r.Header.Get("Content-Type") != "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.answers = append(s.answers, answer)
	s.bodies = append(s.bodies, len(body))
	w.WriteHeader(s.status)
}

// ask is one request of CloudFormation and its answer.
func (s *stack) ask(t *testing.T, ctx context.Context, of cfn.RequestType, buckets ...any) cfn.Response {
	t.Helper()
	before := len(s.answers)
	err := s.resource.Handle(ctx, cfn.Event{
		RequestType: of, RequestID: "request", StackID: "stack", LogicalResourceID: "Configuration", ResponseURL: s.url,
		ResourceProperties: map[string]any{"ServiceToken": "arn", "ConfigurationHash": "0", "Buckets": buckets},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.answers) != before+1 {
		t.Fatalf("%d answers to one request", len(s.answers)-before)
	}
	answer := s.answers[before]
	if answer.RequestID != "request" || answer.StackID != "stack" || answer.LogicalResourceID != "Configuration" {
		t.Errorf("the answer is to nobody's request: %+v", answer)
	}
	if answer.PhysicalResourceID != "replication-configuration" {
		t.Errorf("physical id %q", answer.PhysicalResourceID)
	}
	return answer
}

func config(names ...string) rule.Config {
	c := rule.Default()
	c.Storage.Buckets = map[string]rule.Bucket{"src": {}, "dst": {}}
	for _, name := range names {
		r := rule.DefaultRule()
		r.Name, r.Source.Bucket, r.Destination.Bucket = name, "src", "dst"
		c.Storage.Replication.Rules = append(c.Storage.Replication.Rules, r)
	}
	return c
}

func named(bucket, region string) any { return map[string]any{"Name": bucket, "Region": region} }

func (s *stack) catalog(t *testing.T) rule.Catalog {
	t.Helper()
	c, err := s.ledger.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCreateUpdateAndDelete(t *testing.T) {
	s := newStack(t, config("a", "b"))
	sources := []any{named("src", ""), named("far", "eu-west-1")}
	if got := s.ask(t, t.Context(), cfn.RequestCreate, sources...); got.Status != cfn.StatusSuccess {
		t.Fatalf("create: %+v", got)
	}
	if !reflect.DeepEqual(s.buckets, buckets{"src ": true, "far eu-west-1": true}) {
		t.Errorf("switched on: %v", s.buckets)
	}
	created := s.catalog(t)
	if len(created.Rules) != 2 || created.Revision != 1 {
		t.Errorf("created: %+v", created)
	}

	if err := s.ledger.SetPaused(t.Context(), "a", true); err != nil {
		t.Fatal(err)
	}
	paused := s.catalog(t)
	if got := s.ask(t, t.Context(), cfn.RequestUpdate, sources...); got.Status != cfn.StatusSuccess {
		t.Fatalf("update to the same: %+v", got)
	}
	if after := s.catalog(t); !reflect.DeepEqual(paused, after) {
		t.Errorf("an update to the same changed\n%+v to\n%+v", paused, after)
	}

	s.configure(t, config("a", "c"))
	if got := s.ask(t, t.Context(), cfn.RequestUpdate, sources...); got.Status != cfn.StatusSuccess {
		t.Fatalf("update: %+v", got)
	}
	updated := s.catalog(t)
	if len(updated.Rules) != 2 || updated.Rules[0].Rule.Name != "a" || !updated.Rules[0].Paused || updated.Rules[1].Rule.Name != "c" {
		t.Errorf("updated: %+v", updated)
	}

	if got := s.ask(t, t.Context(), cfn.RequestDelete, sources...); got.Status != cfn.StatusSuccess {
		t.Fatalf("delete: %+v", got)
	}
	if after := s.catalog(t); !reflect.DeepEqual(updated, after) || !s.buckets["src "] {
		t.Errorf("delete changed something: %+v, %v", after, s.buckets)
	}
}

func TestEveryBucketsProblemIsInTheReasonAndNoRuleChanges(t *testing.T) {
	s := newStack(t, config("a"))
	got := s.ask(t, t.Context(), cfn.RequestCreate, named("gone", ""), named("src", ""), named("lost", "eu-west-1"))
	if got.Status != cfn.StatusFailed || !strings.Contains(got.Reason, "gone") || !strings.Contains(got.Reason, "lost") {
		t.Errorf("answer: %+v", got)
	}
	if !s.buckets["src "] {
		t.Error("the bucket that is there was left out")
	}
	if c := s.catalog(t); c.Revision != 0 {
		t.Errorf("rules were stored: %+v", c)
	}
}

func TestARuleNameTheAPITookIsTheReason(t *testing.T) {
	s := newStack(t, config("a"))
	s.ledger.SetCatalog(rule.Catalog{Rules: []rule.Stored{{Rule: config("a").Storage.Replication.Rules[0]}}})
	if got := s.ask(t, t.Context(), cfn.RequestCreate); got.Status != cfn.StatusFailed || !strings.Contains(got.Reason, `rule "a"`) {
		t.Errorf("answer: %+v", got)
	}
}

func TestAFunctionWithoutAConfigurationAnswers(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"missing":  os.Remove,
		"not JSON": func(file string) error { return os.WriteFile(file, []byte("storage:"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, config())
			if err := spoil(s.resource.ConfigFile); err != nil {
				t.Fatal(err)
			}
			if got := s.ask(t, t.Context(), cfn.RequestCreate, "not a bucket"); got.Status != cfn.StatusFailed ||
				!strings.Contains(got.Reason, "configuration.json") || !strings.Contains(got.Reason, "properties") {
				t.Errorf("answer: %+v", got)
			}
		})
	}
}

func TestAPanicAnswers(t *testing.T) {
	s := newStack(t, config("a"))
	s.resource.Provisioner.Notifications = buckets(nil)
	s.resource.Provisioner.Now = func() time.Time { panic("the clock broke") }
	got := s.ask(t, t.Context(), cfn.RequestCreate)
	if got.Status != cfn.StatusFailed || !strings.Contains(got.Reason, "the clock broke") {
		t.Errorf("answer: %+v", got)
	}
	if !strings.Contains(s.log.String(), "resource_test.go") {
		t.Errorf("no stack in the log: %s", &s.log)
	}
}

func TestTheAnswerGetsOutBeforeTheDeadline(t *testing.T) {
	s := newStack(t, config("a"))
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second) // less than what is kept for the answer
	defer cancel()
	got := s.ask(t, ctx, cfn.RequestCreate, named("src", ""))
	if got.Status != cfn.StatusFailed || !strings.Contains(got.Reason, context.DeadlineExceeded.Error()) {
		t.Errorf("answer: %+v", got)
	}
}

func TestALongReasonIsCutToWhatCloudFormationTakes(t *testing.T) {
	s := newStack(t, config("a"))
	var sources []any
	for range 1000 {
		sources = append(sources, named("\"gone\" \u00fc", ""))
	}
	got := s.ask(t, t.Context(), cfn.RequestCreate, sources...)
	if got.Status != cfn.StatusFailed || !strings.Contains(got.Reason, "gone") || !strings.Contains(got.Reason, "log") || s.bodies[0] > 4096 || s.bodies[0] < 3000 {
		t.Errorf("%d bytes: %+v", s.bodies[0], got)
	}
}

func TestAnAnswerThatDoesNotGetThroughIsAnError(t *testing.T) {
	s := newStack(t, config("a"))
	s.status = http.StatusForbidden
	err := s.resource.Handle(t.Context(), cfn.Event{RequestType: cfn.RequestDelete, ResponseURL: s.url})
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v", err)
	}
}
