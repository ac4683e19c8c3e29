package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/signed"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestARunCopiesWhatWasThereBefore(t *testing.T) {
	s := deployed(t)
	s.silence(t, "attic")
	page := content{Body: "hello", ContentType: "text/html", Metadata: map[string]string{"by": "me"}, Tags: map[string]string{"state": "raw"}}
	for _, name := range []string{"a", "b/ü 🙂", "c+d%20e"} {
		s.put(t, at{"attic", "swept/" + name}, page)
	}
	s.put(t, at{"attic", "swept/dir/"}, text("")) // never replicates

	const want = `"status":"succeeded","objects_scanned":4,"objects_copied":3,"objects_skipped":1,"objects_deleted":0,"bytes_copied":15,"errors":0`
	status, answer := s.ask(t, http.MethodPost, "/jobs/sweep/run-now")
	if status != http.StatusOK || !strings.HasPrefix(answer, `{"run_id":1,`+want+`,`) {
		t.Errorf("the first run-now answers %d %s", status, answer)
	}
	for _, name := range []string{"a", "b/ü 🙂", "c+d%20e"} {
		s.holds(t, at{"vault", "swept/" + name}, page)
	}
	s.isAbsent(t, at{"vault", "swept/dir/"})

	r := s.runNow(t, "sweep")
	if r.ID != 2 || r.Copied != 0 || r.Skipped != 4 || r.ByReason["in_sync"] != 3 || r.ByReason["excluded"] != 1 {
		t.Errorf("nothing has changed, and the second run is %+v", r)
	}
	job := s.job(t, "sweep")
	if job.Status != "ok" || job.Lifetime.Runs != 2 || job.Lifetime.Copied != 3 || job.Lifetime.Bytes != 15 {
		t.Errorf("the job is %+v", job)
	}
	if runs := s.runs(t, "sweep"); len(runs) != 2 || runs[0].ID != 2 || runs[1].ID != 1 || runs[1].Bytes != 15 {
		t.Errorf("the runs are %+v", runs)
	}
}

func TestARunHealsWhatNoEventToldOf(t *testing.T) {
	s := deployed(t)
	s.silence(t, "attic")
	s.put(t, at{"attic", "swept/healed"}, text("first"))
	s.put(t, at{"attic", "swept/left alone"}, text("first"))
	s.runNow(t, "sweep")
	s.holds(t, at{"vault", "swept/healed"}, text("first"))

	s.put(t, at{"attic", "swept/healed"}, text("second"))
	s.delete(t, at{"vault", "swept/left alone"})
	if r := s.runNow(t, "sweep"); r.Copied != 2 || r.Errors != 0 {
		t.Errorf("the run is %+v", r)
	}
	s.holds(t, at{"vault", "swept/healed"}, text("second"))
	s.holds(t, at{"vault", "swept/left alone"}, text("first"))
}

func TestWhatFailsIsListedAndHealed(t *testing.T) {
	s := deployed(t)
	s.silence(t, "attic")
	source, replica := at{"attic", "forbidden/k"}, at{"vault", "forbidden/k"}
	permit := s.forbid(t)
	s.put(t, source, text("x"))
	if r := s.runNow(t, "forbidden"); r.Status != run.CompletedWithErrors || r.Errors != 1 || r.Scanned != 1 {
		t.Errorf("the run is %+v", r)
	}
	failures := s.failures(t, "forbidden")
	if len(failures) != 1 {
		t.Fatalf("the failures are %+v", failures)
	}
	f := failures[0]
	if f.RunID != 1 || f.SourceKey != source.key || f.DestKey != replica.key || f.Code != "AccessDenied" ||
		!strings.Contains(f.Advice, "read the source object") || f.Error == "" || f.WillRetryAt.Before(time.Now()) {
		t.Errorf("the failure is %+v", f)
	}
	if job := s.job(t, "forbidden"); job.Status != "errors" {
		t.Errorf("the job is %+v", job)
	}

	permit()
	if r := s.runNow(t, "forbidden"); r.Status != run.Succeeded || r.Copied != 1 {
		t.Errorf("the run after the cause is gone is %+v", r)
	}
	if failures := s.failures(t, "forbidden"); len(failures) != 0 {
		t.Errorf("healed, and listed are %+v", failures)
	}
	s.holds(t, replica, text("x"))
}

// forbid lets nobody read the objects of the rule forbidden, whatever else
// allows it, until the answer is called.
func (s *stage) forbid(t *testing.T) (permit func()) {
	t.Helper()
	bucket := aws.String("attic")
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::attic/forbidden/*"}]}`
	if _, err := s.S3.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(policy)}); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if _, err := s.S3.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: bucket}); err != nil {
			t.Fatal(err)
		}
	}
}

// runBody is a run as the API tells it.
type runBody struct {
	ID       int64            `json:"run_id"`
	Status   run.State        `json:"status"`
	Trigger  run.Trigger      `json:"trigger"`
	Scanned  int64            `json:"objects_scanned"`
	Copied   int64            `json:"objects_copied"`
	Skipped  int64            `json:"objects_skipped"`
	Deleted  int64            `json:"objects_deleted"`
	Bytes    int64            `json:"bytes_copied"`
	Errors   int64            `json:"errors"`
	Held     int64            `json:"deletes_held"`
	ByReason map[string]int64 `json:"skipped_by_reason"`
	Error    string           `json:"error"`
}

type jobBody struct {
	Status   string    `json:"status"`
	Paused   bool      `json:"paused"`
	NextDue  time.Time `json:"next_due_at"`
	Detail   string    `json:"detail"`
	Lifetime struct {
		Runs   int   `json:"runs"`
		Copied int64 `json:"copied"`
		Bytes  int64 `json:"bytes"`
	} `json:"lifetime"`
}

type failureBody struct {
	RunID       int64     `json:"run_id"`
	SourceKey   string    `json:"source_key"`
	DestKey     string    `json:"dest_key"`
	Code        string    `json:"code"`
	Error       string    `json:"error"`
	Advice      string    `json:"advice"`
	WillRetryAt time.Time `json:"will_retry_at"`
}

// ask makes one signed request of the admin API, and answers status and body.
func (s *stage) ask(t *testing.T, method, path string) (int, string) {
	t.Helper()
	status, answer, err := s.api(t.Context(), s.Cloud.AWS(), method, path)
	if err != nil {
		t.Fatal(err)
	}
	return status, answer
}

// api is ask as somebody, who may be anybody.
func (s *stage) api(ctx context.Context, as aws.Config, method, path string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, cloud.AdminURL(s.Cloud.URL(), s.Stack.Outputs)+path, nil)
	if err != nil {
		return 0, "", err
	}
	status, answer, err := signed.Do(as, "execute-api", r, "")
	return status, strings.TrimSpace(string(answer)), err
}

// asked is ask where the answer must have this status; it is decoded.
func (s *stage) asked(t *testing.T, status int, method, path string, into any) {
	t.Helper()
	got, answer := s.ask(t, method, path)
	if got != status {
		t.Fatalf("%s %s answers %d %s, want %d", method, path, got, answer, status)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal([]byte(answer), into); err != nil {
		t.Fatalf("%s %s answers %s: %v", method, path, answer, err)
	}
}

// runNow runs a rule to the end.
func (s *stage) runNow(t *testing.T, rule string) runBody {
	t.Helper()
	var r runBody
	status, answer := s.ask(t, http.MethodPost, "/jobs/"+rule+"/run-now")
	if status/100 != 2 {
		t.Fatalf("run-now of %s answers %d %s", rule, status, answer)
	}
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatal(err)
	}
	return s.ended(t, rule, r.ID)
}

// ended waits for the end of a rule's last run, which must be this one.
func (s *stage) ended(t *testing.T, rule string, id int64) runBody {
	t.Helper()
	var last runBody
	await(t, func() (bool, error) {
		runs := s.runs(t, rule)
		if len(runs) == 0 || runs[0].ID != id {
			return false, fmt.Errorf("the last run of %s is not %d: %+v", rule, id, runs)
		}
		last = runs[0]
		return !last.Status.Active(), nil
	}, func() string { return fmt.Sprintf("the end of run %d of %s; it is %+v", id, rule, last) })
	return last
}

func (s *stage) runs(t *testing.T, rule string) []runBody {
	t.Helper()
	var list struct{ Runs []runBody }
	s.asked(t, http.StatusOK, http.MethodGet, "/jobs/"+rule+"/runs", &list)
	return list.Runs
}

func (s *stage) failures(t *testing.T, rule string) []failureBody {
	t.Helper()
	var list struct{ Failures []failureBody }
	s.asked(t, http.StatusOK, http.MethodGet, "/jobs/"+rule+"/failures", &list)
	return list.Failures
}

func (s *stage) job(t *testing.T, rule string) jobBody {
	t.Helper()
	var job jobBody
	s.asked(t, http.StatusOK, http.MethodGet, "/jobs/"+rule, &job)
	return job
}
