package main

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// answers are what an API says, by method and path; more than one in turn.
type answers map[string][]string

// serve is the API with these answers. It lets nobody in without a signature,
// and fails the test unless every answer was asked for.
func (a answers) serve(t *testing.T) *httptest.Server {
	t.Helper()
	signature := regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/eu-central-1/execute-api/aws4_request, SignedHeaders=host;.*x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}$`)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if authorization := r.Header.Get("Authorization"); !signature.MatchString(authorization) {
			t.Errorf("%s %s has Authorization %q", r.Method, r.URL, authorization)
		}
		asked := r.Method + " " + r.URL.RequestURI()
		left := a[asked]
		if len(left) == 0 {
			t.Errorf("%s was not expected", asked)
			http.Error(w, "what?", http.StatusTeapot)
			return
		}
		a[asked] = left[1:]
		status, body := http.StatusOK, left[0]
		if n, rest, ok := strings.Cut(left[0], " "); ok && len(n) == 3 {
			fmt.Sscan(n, &status)
			body = rest
		}
		w.WriteHeader(status)
		fmt.Fprintln(w, body)
	}))
	t.Cleanup(func() {
		api.Close()
		for asked, left := range a {
			if len(left) > 0 {
				t.Errorf("%s was not asked for: %d answers are left", asked, len(left))
			}
		}
	})
	return api
}

// account sets what an account's shell has, and nothing else.
func account(t *testing.T, more map[string]string) {
	t.Helper()
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
	}
	maps.Copy(env, more)
	for _, name := range append(slices.Collect(maps.Keys(env)), append(asks, "REPLICATOR_STACK")...) {
		t.Setenv(name, env[name])
	}
}

const (
	running = `{"run_id":7,"status":"running","objects_scanned":1200,"objects_copied":1000,"objects_skipped":200,"objects_deleted":0,"bytes_copied":15000,"errors":0,
		"trigger":"run-now","existing":false,"started_at":"2026-03-01T11:59:30Z","ended_at":null,"skipped_by_reason":{},"error":null}`
	succeeded = `{"run_id":7,"status":"succeeded","objects_scanned":2400,"objects_copied":2000,"objects_skipped":400,"objects_deleted":0,"bytes_copied":30000,"errors":0,
		"trigger":"run-now","existing":false,"started_at":"2026-03-01T11:59:30Z","ended_at":"2026-03-01T11:59:55Z","skipped_by_reason":{"in_sync":400},"error":null}`
	heldRun = `{"run_id":6,"status":"deletes_held","objects_scanned":30,"objects_copied":0,"objects_skipped":5,"objects_deleted":0,"bytes_copied":0,"errors":0,
		"trigger":"schedule","existing":false,"started_at":"2026-02-28T12:00:00Z","ended_at":"2026-02-28T12:03:20Z","skipped_by_reason":{},"deletes_held":25,"error":null}`
)

func TestOperations(t *testing.T) {
	const jobs = `{"jobs":[
		{"id":"replication:a","name":"a","scope":"x -> y","status":"ok","progress":{"processed":3,"total":3},"last_run_at":"2026-03-01T11:15:00Z","next_due_at":"2026-03-02T11:15:00Z","last_error":null,"detail":"Run 1 saw every key."},
		{"id":"replication:rule-b","name":"rule-b","scope":"x -> z","status":"running","progress":{"processed":50,"total":200},"last_run_at":"2026-03-01T11:59:59Z","next_due_at":"2026-03-05T12:00:00Z","last_error":null,"detail":"Run 7 compares and copies."},
		{"id":"replication:c","name":"c","scope":"x -> w","status":"paused","progress":{"processed":0,"total":null},"last_run_at":null,"next_due_at":null,"last_error":null,"detail":"Nothing is replicated."},
		{"id":"replication:d","name":"d","scope":"y -> z","status":"never_run","progress":{"processed":0,"total":null},"last_run_at":null,"next_due_at":"2026-03-01T11:59:00Z","last_error":null,"detail":"No run is on record."}]}`
	for name, test := range map[string]struct {
		args    string
		answers answers
		want    string
		err     string
	}{
		"jobs": {args: "jobs", answers: answers{"GET /a/jobs": {jobs}}, want: `
RULE    STATUS       LAST RUN    NEXT RUN   SCOPE
a       ok           45 min ago  in 23 h    x -> y
rule-b  running 25%  1.0 s ago   in 4 days  x -> z
  Run 7 compares and copies.
c       paused       -           -          x -> w
  Nothing is replicated.
d       never_run    -           now        y -> z
  No run is on record.
`},
		"jobs, in the API's words": {args: "jobs -json", answers: answers{"GET /a/jobs": {jobs}}, want: "\n" + jobs + "\n"},
		"no rule":                  {args: "kill", answers: answers{"GET /a/jobs": {jobs}}, err: "which rule? make kill RULE=name, one of: a rule-b c d"},
		"no rule, and none there":  {args: "kill", answers: answers{"GET /a/jobs": {`{"jobs":[]}`}}, err: "no rules are deployed"},
		"a rule that is not there": {args: "pause b", answers: answers{"POST /a/jobs/b/pause": {`404 {"error":{"code":"JobNotFound","message":"there is no job \"b\": did you mean \"a\"?","details":[]}}`}}, err: `there is no job "b": did you mean "a"?`},
		"not let in":               {args: "jobs", answers: answers{"GET /a/jobs": {`403 {"Message":"User: x is not authorized to perform: execute-api:Invoke"}`}}, err: "User: x is not authorized to perform: execute-api:Invoke"},
		"something else listens":   {args: "jobs", answers: answers{"GET /a/jobs": {`502 Bad Gateway`}}, err: "answered 502: Bad Gateway"},

		"a run that is quick": {args: "run a", answers: answers{"POST /a/jobs/a/run-now": {succeeded}}, want: `
run 7 succeeded: 2400 keys seen, 2000 copied (30.0 kB), 400 skipped, 0 deleted, 0 failed
`},
		"a run that takes its time": {args: "run a", answers: answers{
			"POST /a/jobs/a/run-now": {"202 " + running},
			"GET /a/jobs/a/runs":     {`{"runs":[` + running + `,` + heldRun + `]}`, `{"runs":[` + succeeded + `,` + heldRun + `]}`},
		}, want: `
run 7 succeeded: 2400 keys seen, 2000 copied (30.0 kB), 400 skipped, 0 deleted, 0 failed
`},
		"a run that compares": {args: "run -compare bytes a", answers: answers{"POST /a/jobs/a/run-now?compare=bytes": {succeeded}}, want: `
run 7 succeeded: 2400 keys seen, 2000 copied (30.0 kB), 400 skipped, 0 deleted, 0 failed
`},
		"a run, in the API's words": {args: "run -json a", answers: answers{"POST /a/jobs/a/run-now": {succeeded}}, want: "\n" + succeeded + "\n"},
		"a run whose deletes are held": {args: "run a", answers: answers{"POST /a/jobs/a/run-now": {heldRun}}, want: `
run 6 deletes held: 30 keys seen, 0 copied (0 B), 5 skipped, 0 deleted, 0 failed
`, err: "25 deletes are held: make jobs says why, make approve RULE=a lets them go"},
		"a run that failed": {args: "run a", answers: answers{"POST /a/jobs/a/run-now": {`{"run_id":8,"status":"failed","error":"list aws/x: SlowDown"}`}}, want: `
run 8 failed: 0 keys seen, 0 copied (0 B), 0 skipped, 0 deleted, 0 failed
`, err: "list aws/x: SlowDown"},
		"a run while another is active": {args: "run a", answers: answers{"POST /a/jobs/a/run-now": {`409 {"error":{"code":"RunActive","message":"rule a: run 7 is active","details":[]}}`}}, err: "rule a: run 7 is active"},

		"an adoption": {args: "adopt a", answers: answers{"POST /a/jobs/a/run-now?adopt=true": {strings.Replace(succeeded,
			`"skipped_by_reason":{"in_sync":400}`, `"adopt":true,"skipped_by_reason":{"in_sync":388,"adopted":12}`, 1)}}, want: `
run 7 succeeded: 2400 keys seen, 2000 copied (30.0 kB), 400 skipped (12 of them adopted), 0 deleted, 0 failed
`},
		"an adoption of nothing": {args: "adopt a", answers: answers{"POST /a/jobs/a/run-now?adopt=true": {strings.Replace(succeeded, `"existing"`, `"adopt":true,"existing"`, 1)}}, want: `
run 7 succeeded: 2400 keys seen, 2000 copied (30.0 kB), 400 skipped (0 of them adopted), 0 deleted, 0 failed
`},

		"a verification that takes its time": {args: "verify a", answers: answers{
			"POST /a/jobs/a/verify?mode=metadata": {"202 " + `{"verification_id":1,"status":"queued","verdict":"pending"}`},
			"GET /a/jobs/a/verify": {
				`{"verification_id":1,"status":"running","verdict":"pending","objects_scanned":3}`,
				`{"verification_id":1,"status":"succeeded","verdict":"clean","samples":[{"dest_key":"k","class":"matched","reason":"etag","why":"the tags are equal"}],"repair":null,"detail":"Verification 1 saw every key."}`,
			},
		}, want: `
Verification 1 saw every key.
`},
		"a verification that finds something": {args: "verify -mode bytes a", answers: answers{
			"POST /a/jobs/a/verify?mode=bytes": {"202 " + `{"verification_id":2,"status":"succeeded","verdict":"differs","detail":"Verification 2 saw every key.",
				"samples":[{"dest_key":"a key\n","class":"missing_on_dest","reason":"missing","why":"the destination has no such object"},{"dest_key":"k","class":"mismatch","reason":"bytes","why":"the bytes differ"}],
				"repair":{"path":"/jobs/a/run-now?compare=bytes","detail":"A run copies them."}}`},
		}, want: `
Verification 2 saw every key.
"a key\n"  missing on dest  the destination has no such object
"k"        mismatch         the bytes differ
`, err: "the two sides of a differ: A run copies them. (make run RULE=a COMPARE=bytes)"},
		"a verification that was cancelled": {args: "verify a", answers: answers{
			"POST /a/jobs/a/verify?mode=metadata": {"202 " + `{"verification_id":3,"status":"cancelled","verdict":"incomplete","detail":"Cancelled."}`},
		}, want: "\nCancelled.\n", err: "it did not come to its end"},

		"runs": {args: "runs a", answers: answers{"GET /a/jobs/a/runs": {`{"runs":[` + running + `,` + heldRun + `],"next_cursor":null}`}}, want: `
RUN  STATUS        WHY       STARTED   TOOK   SEEN  COPIED  BYTES    SKIPPED  DELETED  FAILED
7    running       run-now   30 s ago  -      1200  1000    15.0 kB  200      0        0
6    deletes held  schedule  24 h ago  3 min  30    0       0 B      5        0        0
`},
		"jobs, with large objects under way": {args: "jobs", answers: answers{"GET /a/jobs": {`{"jobs":[{"id":"replication:a","name":"a","scope":"x -> y","status":"ok","progress":{"processed":3,"total":3},
			"large_objects":{"objects":3,"stalled":0,"bytes":20,"bytes_copied":8,"counted_at":null,"complete":true},"last_run_at":null,"next_due_at":null,"last_error":null,"detail":"3 large objects are being copied by parts."}]}`}}, want: `
RULE  STATUS  LAST RUN  NEXT RUN  SCOPE
a     ok      -         -         x -> y
  3 large objects are being copied by parts.
`},
		"a run that left large objects": {args: "run a", answers: answers{"POST /a/jobs/a/run-now": {strings.Replace(succeeded, `"in_sync":400`, `"in_sync":398,"transferring":2`, 1)}}, want: `
run 7 succeeded: 2400 keys seen, 2000 copied (30.0 kB), 400 skipped, 0 deleted, 0 failed; large objects left to be copied by parts: 2
`},
		"runs that found large objects": {args: "runs a", answers: answers{"GET /a/jobs/a/runs": {`{"runs":[` + strings.Replace(succeeded, `"error":null`,
			`"large_objects":{"objects":2,"stalled":1,"bytes":20000000000,"bytes_copied":9000000000,"counted_at":null,"complete":true},"error":null`, 1) + `]}`}}, want: `
RUN  STATUS     WHY      STARTED   TOOK  SEEN  COPIED  BYTES    SKIPPED  DELETED  FAILED
7    succeeded  run-now  30 s ago  25 s  2400  2000    30.0 kB  400      0        0
  large objects under way: 2, 45% of 20.0 GB, 1 stalled
`},
		"large objects": {args: "transfers a", answers: answers{"GET /a/jobs/a/transfers?limit=100": {`{"transfers":[
			{"source":{"bucket":"aws/x","key":"big\n"},"destination":{"bucket":"aws/y","key":"big\n"},"run_id":7,"begun_at":"2026-03-01T11:50:00Z","parts":10,"parts_done":4,"bytes":10000000000,"bytes_copied":4000000000,
				"counted_at":"2026-03-01T11:59:50Z","last_progress_at":"2026-03-01T11:59:58Z","status":"copying","detail":"Workers copy its parts.","last_error":null,"tries":0,"will_retry_at":null},
			{"source":{"bucket":"aws/x","key":"stuck"},"destination":{"bucket":"aws/y","key":"stuck"},"run_id":null,"begun_at":"2026-03-01T10:00:00Z","parts":2,"parts_done":0,"bytes":1000000000,"bytes_copied":0,
				"counted_at":null,"last_progress_at":null,"status":"stalled","detail":"No part was done since a worker met SlowDown.","last_error":"SlowDown","tries":2,"will_retry_at":"2026-03-01T11:59:30Z"}],"next_cursor":null}`}}, want: `
KEY      STATUS   DONE  OF       PARTS  BEGUN       LAST PROGRESS  INVITED AGAIN
"big\n"  copying  40%   10.0 GB  4/10   10 min ago  2.0 s ago      -
  Workers copy its parts.
"stuck"  stalled  0%    1.0 GB   0/2    2 h ago     -              within a minute
  No part was done since a worker met SlowDown.
`},
		"failures": {args: "failures a", answers: answers{"GET /a/jobs/a/failures": {`{"failures":[
			{"id":"1","run_id":7,"occurred_at":"2026-03-01T11:58:00Z","source_key":"a key\n","dest_key":"k","code":"AccessDenied","error":"copy k: AccessDenied","advice":"Let the role read it.","attempts":1,"will_retry_at":"2026-03-01T17:58:00Z"},
			{"id":"2","run_id":null,"occurred_at":"2026-03-01T11:59:59Z","source_key":"ü","dest_key":"ü","code":"X","error":"e","advice":"Do.","attempts":1,"will_retry_at":null}]}`}}, want: `
KEY        CODE          FAILED     NEXT TRY
"a key\n"  AccessDenied  2 min ago  in 6 h
  Let the role read it.
  copy k: AccessDenied
"ü"        X             1.0 s ago  when somebody acts
  Do.
  e
`},
		"pause":  {args: "pause a", answers: answers{"POST /a/jobs/a/pause": {"204 "}}, want: "\na: paused: nothing is replicated until somebody resumes it\n"},
		"resume": {args: "resume a", answers: answers{"POST /a/jobs/a/resume": {"202 " + running}}, want: "\na: resumed\nrun 7 running: 1200 keys seen, 1000 copied (15.0 kB), 200 skipped, 0 deleted, 0 failed\n"},
		"approve as many as are held": {args: "approve a", answers: answers{
			"GET /a/jobs/a/runs?limit=1":                {`{"runs":[` + heldRun + `]}`},
			"POST /a/jobs/a/approve-deletes?deletes=25": {"202 " + running},
		}, want: "\na: approved\nrun 7 running: 1200 keys seen, 1000 copied (15.0 kB), 200 skipped, 0 deleted, 0 failed\n"},
	} {
		t.Run(name, func(t *testing.T) {
			account(t, map[string]string{"ADMIN_URL": test.answers.serve(t).URL + "/a/"})
			var out, notes bytes.Buffer
			o := operator{out: &out, notes: &notes, now: func() time.Time { return now }}
			args := strings.Fields(test.args)
			err := o.operate(t.Context(), args[0], args[1:])
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("the error is %v, want %q", err, test.err)
			}
			if got := out.String(); got != strings.TrimPrefix(test.want, "\n") {
				t.Errorf("it says\n%s\nwant%s", got, test.want)
			}
			if !strings.Contains(notes.String(), "at http://127.0.0.1:") {
				t.Errorf("it does not say where: %q", notes.String())
			}
		})
	}
}

func TestTheStackTellsWhereItsAPIIs(t *testing.T) {
	const (
		output = `<member><OutputKey>AdminUrl</OutputKey><OutputValue>https://abc123.execute-api.eu-central-1.amazonaws.com/live/_/api/admin</OutputValue></member>`
		stack  = `<DescribeStacksResponse><DescribeStacksResult><Stacks><member>
			<StackId>arn:aws:cloudformation:eu-central-1:111122223333:stack/mine/12345678</StackId>
			<Outputs><member><OutputKey>Other</OutputKey><OutputValue>x</OutputValue></member>%s</Outputs>
			</member></Stacks></DescribeStacksResult></DescribeStacksResponse>`
	)
	for name, test := range map[string]struct {
		status int
		answer string
		url    string // behind the endpoint
		err    string
	}{
		"at an endpoint of a local cloud": {200, fmt.Sprintf(stack, output), "/_aws/execute-api/abc123/live/_/api/admin", ""},
		"deployed by an older version":    {200, fmt.Sprintf(stack, ""), "", "stack mine has no output AdminUrl: deploy it again"},
		"not deployed": {400, `<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id mine does not exist</Message></Error></ErrorResponse>`,
			"", "find stack mine: ValidationError: Stack with id mine does not exist"},
		"not CloudFormation at all": {502, "Bad Gateway", "", "find stack mine: CloudFormation answered 502: Bad Gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			cloudFormation := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/cloudformation/aws4_request") {
					t.Errorf("the request is signed by %q", r.Header.Get("Authorization"))
				}
				if r.FormValue("Action") != "DescribeStacks" || r.FormValue("StackName") != "mine" {
					t.Errorf("it asks for %v", r.Form)
				}
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.answer)
			}))
			t.Cleanup(cloudFormation.Close)
			account(t, map[string]string{"AWS_ENDPOINT_URL": cloudFormation.URL})
			found, err := findAdmin(t.Context(), "mine")
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("the error is %v, want %q", err, test.err)
				}
				return
			}
			if err != nil || found.url != cloudFormation.URL+test.url {
				t.Errorf("the API is at %q, %v", found.url, err)
			}
		})
	}
}

func TestTheAPIOfAnAccountIsSignedForItsRegion(t *testing.T) {
	account(t, map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": ""})
	if _, err := findAdmin(t.Context(), "mine"); err == nil || !strings.Contains(err.Error(), "set AWS_REGION") {
		t.Errorf("without a region the error is %v", err)
	}
}
