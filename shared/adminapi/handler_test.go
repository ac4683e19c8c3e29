package adminapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/shared/adminapi"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

func TestEachRouteAnswersItsCodes(t *testing.T) {
	paused := func(name string) func(*world) {
		return func(w *world) { w.must(w.ledger.SetPaused(context.Background(), name, true)) }
	}
	active := func(w *world) { w.start("a") }
	held := func(w *world) { w.hold("a", 5) }
	tests := map[string]struct {
		before  func(*world)
		request string
		status  int
		code    string
	}{
		"health":                                   {nil, "GET /healthz", 200, ""},
		"health of rules that do not compile":      {func(w *world) { w.catalog(func(c *rule.Catalog) { c.Storage.Buckets = nil }) }, "GET /healthz", 503, "Unavailable"},
		"all jobs":                                 {nil, "GET /jobs", 200, ""},
		"no job at all":                            {func(w *world) { w.catalog(func(c *rule.Catalog) { c.Rules = nil }) }, "GET /jobs", 200, ""},
		"a job by its id":                          {nil, "GET /jobs/replication:a", 200, ""},
		"a job by its rule":                        {nil, "GET /jobs/a", 200, ""},
		"a job, the colon encoded":                 {nil, "GET /jobs/replication%3Aa", 200, ""},
		"a job, the colon encoded in lower case":   {nil, "GET /jobs/replication%3aa", 200, ""},
		"a job, the colon encoded twice":           {nil, "GET /jobs/replication%253Aa", 404, "JobNotFound"},
		"a job of another kind":                    {nil, "GET /jobs/backup:a", 404, "JobNotFound"},
		"a job whose kind is said twice":           {nil, "GET /jobs/replication:replication:a", 404, "JobNotFound"},
		"a job nobody knows":                       {nil, "GET /jobs/x", 404, "JobNotFound"},
		"a job in other letters":                   {nil, "GET /jobs/A", 404, "JobNotFound"},
		"a slash that was encoded":                 {nil, "GET /jobs/a%2Fruns", 404, "JobNotFound"},
		"a job whose rule was removed":             {func(w *world) { w.start("a"); w.catalog(func(c *rule.Catalog) { c.Rules = c.Rules[1:] }) }, "GET /jobs/a", 404, "JobNotFound"},
		"a path that cannot be decoded":            {nil, "GET /jobs/%zz", 404, "NotFound"},
		"a path that nobody knows":                 {nil, "GET /jobs/a/plans", 404, "NotFound"},
		"a path with a slash at its end":           {nil, "GET /jobs/", 404, "NotFound"},
		"a job with a slash at its end":            {nil, "GET /jobs/a/", 404, "NotFound"},
		"a path with an empty part":                {nil, "GET //jobs", 404, "NotFound"},
		"an empty job":                             {nil, "POST /jobs//pause", 404, "NotFound"},
		"a path that goes up":                      {nil, "GET /jobs/b/../a", 404, "NotFound"},
		"no path":                                  {nil, "GET //", 404, "NotFound"},
		"the head of a job":                        {nil, "HEAD /jobs/a", 200, ""},
		"the head of a job nobody knows":           {nil, "HEAD /jobs/x", 404, ""},
		"a job deleted":                            {nil, "DELETE /jobs/a", 405, "MethodNotAllowed"},
		"the options of a job":                     {nil, "OPTIONS /jobs/a", 405, "MethodNotAllowed"},
		"a run asked for by GET":                   {nil, "GET /jobs/a/run-now", 405, "MethodNotAllowed"},
		"a method in small letters":                {nil, "get /jobs", 405, "MethodNotAllowed"},
		"no method":                                {nil, " /jobs", 405, "MethodNotAllowed"},
		"a parameter nobody knows":                 {nil, "GET /jobs?limit=1", 400, "InvalidRequest"},
		"a signature in the query":                 {nil, "GET /jobs?X-Amz-Signature=abc&X-Amz-Date=20260401T120000Z", 200, ""},
		"a parameter in other letters":             {nil, "POST /jobs/a/run-now?Existing=true", 400, "InvalidRequest"},
		"a parameter twice":                        {nil, "GET /jobs/a/runs?limit=1&limit=2", 400, "InvalidRequest"},
		"runs":                                     {nil, "GET /jobs/a/runs", 200, ""},
		"runs of a job nobody knows":               {nil, "GET /jobs/x/runs", 404, "JobNotFound"},
		"one run":                                  {nil, "GET /jobs/a/runs?limit=1", 200, ""},
		"a hundred runs":                           {nil, "GET /jobs/a/runs?limit=100", 200, ""},
		"no runs":                                  {nil, "GET /jobs/a/runs?limit=0", 400, "InvalidRequest"},
		"more runs than there are to have":         {nil, "GET /jobs/a/runs?limit=101", 400, "InvalidRequest"},
		"runs in words":                            {nil, "GET /jobs/a/runs?limit=ten", 400, "InvalidRequest"},
		"runs without a number":                    {nil, "GET /jobs/a/runs?limit=", 400, "InvalidRequest"},
		"a cursor of our own making":               {nil, "GET /jobs/a/runs?cursor=42", 400, "InvalidRequest"},
		"a cursor that is no number":               {nil, "GET /jobs/a/runs?cursor=YWJj", 400, "InvalidRequest"},
		"a cursor before the first":                {nil, "GET /jobs/a/runs?cursor=MA", 400, "InvalidRequest"},
		"an empty cursor":                          {nil, "GET /jobs/a/runs?cursor=", 400, "InvalidRequest"},
		"failures":                                 {nil, "GET /jobs/a/failures?limit=1000", 200, ""},
		"failures of a job nobody knows":           {nil, "GET /jobs/x/failures", 404, "JobNotFound"},
		"too many failures":                        {nil, "GET /jobs/a/failures?limit=1001", 400, "InvalidRequest"},
		"a run":                                    {nil, "POST /jobs/a/run-now", 202, ""},
		"a run that looks at everything":           {nil, "POST /jobs/a/run-now?existing=true", 202, ""},
		"a run that does not":                      {nil, "POST /jobs/a/run-now?existing=false", 202, ""},
		"a run that does perhaps":                  {nil, "POST /jobs/a/run-now?existing=yes", 400, "InvalidRequest"},
		"a run that does, without saying so":       {nil, "POST /jobs/a/run-now?existing", 400, "InvalidRequest"},
		"a run that compares":                      {nil, "POST /jobs/a/run-now?compare=bytes", 202, ""},
		"a run that adopts":                        {nil, "POST /jobs/a/run-now?adopt=true", 202, ""},
		"a run that adopts perhaps":                {nil, "POST /jobs/a/run-now?adopt=1", 400, "InvalidRequest"},
		"a run of a job nobody knows":              {nil, "POST /jobs/x/run-now", 404, "JobNotFound"},
		"a run beside another":                     {active, "POST /jobs/a/run-now", 409, "RunActive"},
		"a run of a paused rule":                   {paused("a"), "POST /jobs/a/run-now", 409, "RulePaused"},
		"a run of a disabled rule":                 {nil, "POST /jobs/d/run-now", 409, "RuleDisabled"},
		"a run of a disabled rule that is paused":  {paused("d"), "POST /jobs/d/run-now", 409, "RuleDisabled"},
		"a run where all replication is off":       {func(w *world) { w.catalog(func(c *rule.Catalog) { c.Storage.Replication.Enabled = false }) }, "POST /jobs/a/run-now", 409, "RuleDisabled"},
		"a pause":                                  {nil, "POST /jobs/a/pause", 204, ""},
		"a pause of a paused rule":                 {paused("a"), "POST /jobs/a/pause", 204, ""},
		"a pause of a disabled rule":               {nil, "POST /jobs/d/pause", 204, ""},
		"a pause of a run":                         {active, "POST /jobs/a/pause", 204, ""},
		"a pause of a job nobody knows":            {nil, "POST /jobs/x/pause", 404, "JobNotFound"},
		"a resumption":                             {paused("a"), "POST /jobs/a/resume", 202, ""},
		"a resumption of what is not paused":       {nil, "POST /jobs/a/resume", 204, ""},
		"a resumption of a disabled rule":          {paused("d"), "POST /jobs/d/resume", 204, ""},
		"a resumption of a job nobody knows":       {nil, "POST /jobs/x/resume", 404, "JobNotFound"},
		"a resumption while a run is active still": {func(w *world) { w.start("a"); paused("a")(w) }, "POST /jobs/a/resume", 202, ""},
		"a kill":                             {active, "POST /jobs/a/kill", 202, ""},
		"a kill of nothing":                  {nil, "POST /jobs/a/kill", 409, "RunNotActive"},
		"a kill of what is over":             {held, "POST /jobs/a/kill", 409, "RunNotActive"},
		"a kill of a paused rule's run":      {func(w *world) { w.start("a"); paused("a")(w) }, "POST /jobs/a/kill", 202, ""},
		"a verification":                     {nil, "POST /jobs/a/verify", 202, ""},
		"a verification of a paused rule":    {paused("a"), "POST /jobs/replication:a/verify?mode=bytes&sample=100", 202, ""},
		"a verification of a disabled rule":  {nil, "POST /jobs/d/verify", 409, "RuleDisabled"},
		"a verification of nobody's rule":    {nil, "POST /jobs/x/verify", 404, "JobNotFound"},
		"a verification by another mode":     {nil, "POST /jobs/a/verify?mode=md5", 400, "InvalidRequest"},
		"a verification of nothing":          {nil, "POST /jobs/a/verify?sample=0", 400, "InvalidRequest"},
		"the last verification":              {nil, "GET /jobs/a/verify", 200, ""},
		"the last one of nobody's rule":      {nil, "GET /jobs/x/verify", 404, "JobNotFound"},
		"no verification to cancel":          {active, "POST /jobs/a/verify/cancel", 409, "RunNotActive"},
		"a verification of nobody cancelled": {nil, "POST /jobs/x/verify/cancel", 404, "JobNotFound"},
		"a kill of a job nobody knows":       {nil, "POST /jobs/x/kill", 404, "JobNotFound"},
		"an approval":                        {held, "POST /jobs/a/approve-deletes", 202, ""},
		"an approval of the number held":     {held, "POST /jobs/a/approve-deletes?deletes=5", 202, ""},
		"an approval of fewer":               {held, "POST /jobs/a/approve-deletes?deletes=4", 409, "DeletesDiffer"},
		"an approval of none":                {held, "POST /jobs/a/approve-deletes?deletes=0", 400, "InvalidRequest"},
		"an approval where nothing ever ran": {nil, "POST /jobs/a/approve-deletes", 409, "NothingHeld"},
		"an approval of nothing, counted":    {nil, "POST /jobs/a/approve-deletes?deletes=5", 409, "NothingHeld"},
		"an approval of a paused rule":       {func(w *world) { held(w); paused("a")(w) }, "POST /jobs/a/approve-deletes", 409, "RulePaused"},
		"an approval of a disabled rule":     {nil, "POST /jobs/d/approve-deletes", 409, "RuleDisabled"},
		"an approval beside a run":           {func(w *world) { held(w); w.start("a") }, "POST /jobs/a/approve-deletes", 409, "RunActive"},
		"an approval of a job nobody knows":  {nil, "POST /jobs/x/approve-deletes", 404, "JobNotFound"},
		"an approval where a rule leads now": {func(w *world) {
			held(w)
			w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.Destination.Prefix = "z/" })
		}, "POST /jobs/a/approve-deletes", 409, "ScopeChanged"},
		"a plan":                         {nil, "POST /jobs/a/plan", 200, ""},
		"a plan of a paused rule":        {paused("a"), "POST /jobs/a/plan", 200, ""},
		"a plan of a disabled rule":      {nil, "POST /jobs/d/plan", 200, ""},
		"a plan beside a run":            {active, "POST /jobs/a/plan", 200, ""},
		"a plan asked for by GET":        {nil, "GET /jobs/a/plan", 405, "MethodNotAllowed"},
		"a plan of a job nobody knows":   {nil, "POST /jobs/x/plan", 404, "JobNotFound"},
		"a plan from a made-up place":    {nil, "POST /jobs/a/plan?cursor=MQ", 400, "InvalidRequest"},
		"a plan of what nobody may list": {func(w *world) { w.objects.Hook = refused(object.Permanent, "AccessDenied") }, "POST /jobs/a/plan", 409, "Unreadable"},
		"a plan where S3 is busy":        {func(w *world) { w.objects.Hook = refused(object.Retryable, "SlowDown") }, "POST /jobs/a/plan", 503, "Unavailable"},
		"an object":                      {nil, "GET /objects?bucket=from&key=a/x", 200, ""},
		"an object no rule concerns":     {nil, "GET /objects?bucket=from&key=x", 200, ""},
		"the head of an object":          {nil, "HEAD /objects?bucket=from&key=a/x", 200, ""},
		"an object by a bucket's real name": {func(w *world) {
			w.catalog(func(c *rule.Catalog) { c.Storage.Buckets["alias"] = rule.Bucket{Name: "real"} })
		}, "GET /objects?bucket=real&key=x", 200, ""},
		"an object in one of two buckets of a name": {func(w *world) {
			w.catalog(func(c *rule.Catalog) {
				c.Storage.Buckets["one"] = rule.Bucket{Name: "real"}
				c.Storage.Buckets["two"] = rule.Bucket{Name: "real", Backend: "hq"}
			})
		}, "GET /objects?bucket=real&key=x", 400, "InvalidRequest"},
		"an object in a bucket nobody knows":    {nil, "GET /objects?bucket=form&key=x", 404, "BucketNotFound"},
		"an object without a bucket":            {nil, "GET /objects?key=x", 400, "InvalidRequest"},
		"an object without a key":               {nil, "GET /objects?bucket=from&key=", 400, "InvalidRequest"},
		"an object of a key that is too long":   {nil, "GET /objects?bucket=from&key=" + strings.Repeat("k", 1025), 400, "InvalidRequest"},
		"an object, waited for":                 {nil, "GET /objects?bucket=from&key=a/x&wait=20s", 200, ""},
		"an object, waited for too long":        {nil, "GET /objects?bucket=from&key=a/x&wait=21s", 400, "InvalidRequest"},
		"an object, not waited for":             {nil, "GET /objects?bucket=from&key=a/x&wait=0s", 400, "InvalidRequest"},
		"an object, waited for without a unit":  {nil, "GET /objects?bucket=from&key=a/x&wait=5", 400, "InvalidRequest"},
		"an object that nobody may look at":     {func(w *world) { w.objects.Hook = refused(object.Permanent, "AccessDenied") }, "GET /objects?bucket=from&key=a/x", 200, ""},
		"an object where S3 is busy":            {func(w *world) { w.objects.Hook = refused(object.Retryable, "SlowDown") }, "GET /objects?bucket=from&key=a/x", 503, "Unavailable"},
		"an approval of fewer, the rule paused": {func(w *world) { held(w); paused("a")(w) }, "POST /jobs/a/approve-deletes?deletes=4", 409, "RulePaused"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			if test.before != nil {
				test.before(w)
			}
			w.ask(test.request).wants(test.status, test.code)
		})
	}
}

// refused has every call fail.
func refused(class object.Class, code string) storetest.Hook {
	return func(c storetest.Call) (storetest.Fault, error) {
		return storetest.FailBefore, &object.Error{Class: class, Op: "list", Ref: c.Ref, Code: code, Err: errors.New("no")}
	}
}

func TestAPathThatIsNotOurs(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"", "/", "/jobs", "/live" + adminapi.Root + "/jobs", "/_/api/admins/jobs"} {
		e := requestOf("GET /jobs")
		e.Path = path
		w.send(e).wants(404, "NotFound")
	}
}

func TestAPathNamesTheMethodsThatItTakes(t *testing.T) {
	w := newWorld(t)
	for request, allow := range map[string]string{
		"POST /jobs":          "GET, HEAD",
		"DELETE /healthz":     "GET, HEAD",
		"GET /jobs/a/kill":    "POST",
		"HEAD /jobs/a/resume": "POST",
		"PUT /jobs/a/pause":   "POST",
		// A rule may have such a name, and is looked at and changed there.
		"OPTIONS /rules/import": "GET, HEAD, PUT, DELETE, POST",
	} {
		if got := w.ask(request).Headers["Allow"]; got != allow {
			t.Errorf("%s: allow %q, want %q", request, got, allow)
		}
	}
}

// Everything wrong is named, and what was likely meant.
func TestWhatIsWrongWithARequestIsNamed(t *testing.T) {
	w := newWorld(t)
	tests := map[string]struct {
		request string
		details []string
	}{
		"a mode that there is not": {"POST /jobs/a/run-now?compare=byte", []string{`compare is "byte": give one of metadata, checksum, bytes`}},
		"a misspelt parameter":     {"POST /jobs/a/run-now?exisitng=true", []string{`exisitng is not known here: did you mean "existing"?`}},
		"one that means nothing": {"GET /jobs/a/runs?after=3", []string{
			"after is not known here: there is limit and cursor"}},
		"one where there are none": {"POST /jobs/a/pause?force=true", []string{"force is not known here: there are no parameters"}},
		"two values that are wrong": {"GET /jobs/a/runs?limit=0&cursor=!", []string{
			`limit is "0": give a whole number from 1 to 100`,
			`cursor is "!": give the next_cursor of the page before, as it is`}},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			var got []string
			for _, d := range w.ask(test.request).wants(400, "InvalidRequest").json()["error"].(map[string]any)["details"].([]any) {
				got = append(got, d.(string))
			}
			if !slices.Equal(got, test.details) {
				t.Errorf("got %q, want %q", got, test.details)
			}
		})
	}
	if body := w.ask("GET /jobs/ab").wants(404, "JobNotFound").Body; !strings.Contains(body, "did you mean") {
		t.Errorf("nothing is suggested: %s", body)
	}
}

func TestABodyIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	e := requestOf("POST /jobs/a/run-now")
	e.Body = `{"existing":true}`
	w.send(e).wants(400, "InvalidRequest")
	e.Body = "{}\n"
	w.send(e).wants(202, "")
}

// Some callers, the console's test among them, fill in only this.
func TestParametersWithoutTheirLists(t *testing.T) {
	w := newWorld(t)
	e := requestOf("GET /jobs/a/runs")
	e.MultiValueQueryStringParameters = nil
	e.QueryStringParameters = map[string]string{"limit": "0"}
	w.send(e).wants(400, "InvalidRequest")
}

func TestRunNowAnswersTheRunThatEndsInTime(t *testing.T) {
	w := newWorld(t)
	begun := w.clock()
	w.sleep = func() {
		if w.clock().Sub(begun) < 5*time.Second {
			return
		}
		w.finish("a", run.Totals{Scanned: 6, Copied: 3, Bytes: 15, Skipped: map[string]int64{"in_sync": 2, "excluded": 1}, Sources: 6})
		w.sleep = nil
	}
	got := w.ask("POST /jobs/a/run-now?existing=true").wants(200, "")
	const want = `{"run_id":1,"status":"succeeded","objects_scanned":6,"objects_copied":3,"objects_skipped":3,"objects_deleted":0,"bytes_copied":15,"errors":0,` +
		`"trigger":"run-now","existing":true,"adopt":false,"compare":null,"started_at":"2026-04-01T12:00:00Z","ended_at":"2026-04-01T12:00:05.75Z",` +
		`"skipped_by_reason":{"excluded":1,"in_sync":2},"error":null}` + "\n"
	if got.Body != want {
		t.Errorf("got  %swant %s", got.Body, want)
	}
	// Looks after 0.25 s, 0.5 s, and then every second.
	if looks := w.store.Counts()["runs.run"]; looks > 20 {
		t.Errorf("%d reads in 6 seconds", looks)
	}
}

func TestRunNowAnswersTheTotalsSoFarOfALongRun(t *testing.T) {
	w := newWorld(t)
	begun := w.clock()
	w.sleep = func() {
		shard := w.claim()
		shard.Totals = run.Totals{Scanned: 100, Copied: 40, Bytes: 1000}
		_, err := w.runs.Save(context.Background(), &shard)
		w.must(err)
		w.sleep = nil
	}
	got := w.ask("POST /jobs/a/run-now").wants(202, "").json()
	if got["status"] != "running" || got["objects_scanned"] != 100.0 || got["objects_copied"] != 40.0 || got["ended_at"] != nil {
		t.Errorf("got %v", got)
	}
	if waited := w.clock().Sub(begun); waited != 20*time.Second {
		t.Errorf("waited %v", waited)
	}
	if got := w.ask("POST /jobs/a/run-now").wants(409, "RunActive").Body; !strings.Contains(got, "run 1 is active") {
		t.Errorf("it does not say which run: %s", got)
	}
	// The list has the totals so far too.
	first := w.ask("GET /jobs/a/runs").json()["runs"].([]any)[0].(map[string]any)
	if first["objects_scanned"] != 100.0 || first["status"] != "running" {
		t.Errorf("listed %v", first)
	}
}

func TestRunNowKeepsTimeForItsAnswer(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now() // deadlines are of the real clock
	begun := w.clock()
	ctx, cancel := context.WithDeadline(context.Background(), begun.Add(10*time.Second))
	defer cancel()
	response, err := w.handler.Handle(ctx, requestOf("POST /jobs/a/run-now"))
	w.must(err)
	if waited := w.clock().Sub(begun); response.StatusCode != 202 || waited > 7*time.Second {
		t.Errorf("answered %d after %v", response.StatusCode, waited)
	}
}

// A look that fails says nothing about the run.
func TestRunNowOutlivesAStoreThatIsAway(t *testing.T) {
	w := newWorld(t)
	w.sleep = func() {
		w.store.Hook = failHook(storetest.FailBefore, "runs.run", "runs.shards")
	}
	got := w.ask("POST /jobs/a/run-now").wants(202, "").json()
	if got["run_id"] != 1.0 || got["status"] != "queued" {
		t.Errorf("got %v", got)
	}
	if len(w.lines("look at run")) == 0 {
		t.Error("nothing is logged")
	}
}

// The run is stored; the schedule sends what could not be sent.
func TestARunWithoutItsTicketHasBegun(t *testing.T) {
	tests := map[string]struct {
		before  func(*world)
		request string
	}{
		"run-now":         {func(*world) {}, "POST /jobs/a/run-now"},
		"resume":          {func(w *world) { w.must(w.ledger.SetPaused(context.Background(), "a", true)) }, "POST /jobs/a/resume"},
		"approve-deletes": {func(w *world) { w.hold("a", 5) }, "POST /jobs/a/approve-deletes"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			test.before(w)
			w.tickets.Hook = failHook(storetest.FailBefore, "tickets.send")
			begun := w.clock()
			if got := w.ask(test.request).wants(202, "").json(); got["run_id"] != 1.0 {
				t.Errorf("got %v", got)
			}
			if w.clock() != begun {
				t.Error("it waited for a run that cannot begin")
			}
			if len(w.lines("tickets not sent: the schedule will")) != 1 {
				t.Errorf("not logged: %s", w.log.String())
			}
		})
	}
}

func TestOfTwoThatRunNowOneDoes(t *testing.T) {
	w := newWorld(t)
	var both sync.WaitGroup // arrive at the same condition
	both.Add(2)
	refused := make(chan struct{})
	w.store.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "runs.begin" {
			both.Done()
			both.Wait()
		}
		return storetest.None, nil
	}
	w.sleep = func() { <-refused }
	var statuses [2]int
	var group sync.WaitGroup
	for i := range statuses {
		group.Go(func() {
			response, err := w.handler.Handle(context.Background(), requestOf("POST /jobs/a/run-now"))
			if err != nil {
				t.Error(err)
			}
			if statuses[i] = response.StatusCode; statuses[i] == http.StatusConflict {
				close(refused)
			}
		})
	}
	group.Wait()
	slices.Sort(statuses[:])
	if statuses != [2]int{202, 409} {
		t.Errorf("got %v", statuses)
	}
	if tickets := w.tickets.Take(); len(tickets) != 1 {
		t.Errorf("%d runs began", len(tickets))
	}
}

func TestPagesThroughAllRuns(t *testing.T) {
	w := newWorld(t)
	const all = 45
	for range all {
		w.start("a")
		w.finish("a", run.Totals{Scanned: 1})
		w.wait(time.Hour)
	}
	for query, pages := range map[string]int{"": 3, "limit=10": 5, "limit=45": 1, "limit=44": 2, "limit=100": 1} {
		var got []int
		cursor, asked := "", 0
		for {
			body := w.ask(fmt.Sprintf("GET /jobs/a/runs?%s%s", query, cursor)).wants(200, "").json()
			for _, r := range body["runs"].([]any) {
				got = append(got, int(r.(map[string]any)["run_id"].(float64)))
			}
			asked++
			if body["next_cursor"] == nil {
				break
			}
			cursor = fmt.Sprintf("&cursor=%s", body["next_cursor"])
		}
		var want []int
		for id := all; id > 0; id-- {
			want = append(want, id)
		}
		if !slices.Equal(got, want) || asked != pages {
			t.Errorf("%q: %d pages, want %d, of %v", query, asked, pages, got)
		}
	}
}

func TestFailuresAreListedAsTheyAre(t *testing.T) {
	w := newWorld(t)
	at := func(bucket, key string) object.Ref {
		return object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: bucket}, Key: key}
	}
	fail := func(f object.Failure) {
		f.OccurredAt = w.clock()
		w.must(w.ledger.Fail(context.Background(), f))
		w.wait(time.Minute)
	}
	fail(object.Failure{Rule: "a", Source: at("from", "a/\xff"), Dest: at("to", "a/\xfe"), Code: "AccessDenied", Message: "no", Advice: "Let it."})
	fail(object.Failure{Rule: "b", Source: at("from", "b/other"), Dest: at("to", "b/other"), Code: "SlowDown"})
	fail(object.Failure{Rule: "a", Source: at("from", "a/ü"), Dest: at("to", "a/ü"), Code: "SlowDown", Message: "slow", Advice: "Wait.", Run: 7, RetryAt: w.clock().Add(15 * time.Minute)})

	id := func(key string) string { return object.Failure{Source: object.Ref{Key: key}}.ID() }
	newer := `{"id":"` + id("a/ü") + `","run_id":7,"occurred_at":"2026-04-01T12:02:00Z","source_key":"a/ü","dest_key":"a/ü",` +
		`"code":"SlowDown","error":"slow","advice":"Wait.","attempts":1,"will_retry_at":"2026-04-01T12:17:00Z"}`
	older := `{"id":"` + id("a/\xff") + `","run_id":null,"occurred_at":"2026-04-01T12:00:00Z","source_key":"a/\ufffd","source_key_base64":"YS//","dest_key":"a/\ufffd","dest_key_base64":"YS/+",` +
		`"code":"AccessDenied","error":"no","advice":"Let it.","attempts":1,"will_retry_at":null}`
	next, _ := w.ask("GET /jobs/a/failures?limit=1").json()["next_cursor"].(string)
	for query, want := range map[string]string{
		"":                         newer + "," + older + `],"next_cursor":null`,
		"?limit=2":                 newer + "," + older + `],"next_cursor":null`,
		"?limit=1":                 newer + `],"next_cursor":"` + next + `"`,
		"?limit=1&cursor=" + next:  older + `],"next_cursor":null`,
		"?limit=20&cursor=" + next: older + `],"next_cursor":null`,
	} {
		if got := w.ask("GET /jobs/a/failures"+query).wants(200, "").Body; got != `{"failures":[`+want+"}\n" {
			t.Errorf("%s: got  %swant %s", query, got, want)
		}
	}
	if got := w.ask("GET /jobs/c/failures").wants(200, "").Body; got != `{"failures":[],"next_cursor":null}`+"\n" {
		t.Errorf("got %s", got)
	}
	for _, cursor := range []string{"", "x", "Nw", next + "x", "LTEueA"} {
		w.ask("GET /jobs/a/failures?cursor="+cursor).wants(400, "InvalidRequest")
	}
}

// Each page of ten thousand costs one query, and together they tell of each
// once.
func TestManyFailuresComeInPages(t *testing.T) {
	const all = 10_000
	w := newWorld(t)
	for i := range all {
		w.must(w.ledger.Fail(context.Background(), object.Failure{
			Rule: "a", Source: object.Ref{Bucket: from, Key: fmt.Sprintf("a/%05d", i)}, OccurredAt: w.clock().Add(time.Duration(i/10) * time.Second),
		}))
	}
	told, asked := map[string]bool{}, 0
	for cursor := ""; ; asked++ {
		body := w.ask("GET /jobs/a/failures?limit=1000"+cursor).wants(200, "").json()
		for _, f := range body["failures"].([]any) {
			told[f.(map[string]any)["id"].(string)] = true
		}
		if body["next_cursor"] == nil {
			break
		}
		cursor = "&cursor=" + body["next_cursor"].(string)
	}
	if n := w.ledger.Counts()["ledger.failurePage"]; len(told) != all || asked != 9 || n != 10 {
		t.Errorf("%d were told on %d pages, by %d queries", len(told), asked+1, n)
	}
}

// What failed often is tried less often, and that is what is told.
func TestAFailureTellsWhenItIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.must(w.ledger.Fail(context.Background(), object.Failure{Rule: "a", OccurredAt: w.clock(), RetryAt: w.clock().Add(15 * time.Minute)}))
	}
	failure := w.ask("GET /jobs/a/failures").json()["failures"].([]any)[0].(map[string]any)
	if failure["attempts"] != 5.0 || failure["will_retry_at"] != "2026-04-01T13:00:00Z" {
		t.Errorf("got %v", failure)
	}
}

func TestAPauseEndsTheRunAndAResumptionMakesUpForIt(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.ask("POST /jobs/a/pause").wants(204, "")
	if job := w.ask("GET /jobs/a").json(); job["status"] != "paused" || job["status_raw"] != "cancelled" {
		t.Errorf("paused: %v", job)
	}
	w.ask("POST /jobs/a/pause").wants(204, "")
	begun := w.ask("POST /jobs/a/resume").wants(202, "").json()
	if begun["run_id"] != 2.0 || begun["trigger"] != "resume" || begun["status"] != "queued" {
		t.Errorf("resumed: %v", begun)
	}
	w.ask("POST /jobs/a/resume").wants(204, "")
	if job := w.ask("GET /jobs/a").json(); job["status"] != "running" || job["paused"] != false {
		t.Errorf("resumed: %v", job)
	}
}

// A pause whose run could not be cancelled is finished by the next one.
func TestAPauseThatWasInterrupted(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.store.Hook = failHook(storetest.FailBefore, "runs.turn")
	w.ask("POST /jobs/a/pause").wants(503, "Unavailable")
	if w.rule("a").Paused != true {
		t.Error("it is not paused")
	}
	w.store.Hook = nil
	w.ask("POST /jobs/a/pause").wants(204, "")
	if job := w.ask("GET /jobs/a").json(); job["status_raw"] != "cancelled" {
		t.Errorf("got %v", job)
	}
}

// The next resumption has nothing to do, so the schedule must have.
func TestAResumptionThatCannotStartItsRunLeavesItDue(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.finish("a", run.Totals{Scanned: 1})
	w.ask("POST /jobs/a/pause").wants(204, "")
	w.store.Hook = failHook(storetest.FailBefore, "runs.begin")
	if got := w.ask("POST /jobs/a/resume").wants(503, "Unavailable").Body; !strings.Contains(got, "by itself") {
		t.Errorf("got %s", got)
	}
	w.store.Hook = nil
	if w.rule("a").Paused {
		t.Error("it is paused")
	}
	w.tick("a")
	// That was it: the next one comes after a whole interval.
	job := w.ask("GET /jobs/a").json()
	if job["status"] != "running" || job["next_due_at"] != "2026-04-02T12:00:00Z" {
		t.Errorf("got %v", job)
	}
}

// A run from before the pause has passed by what changed meanwhile.
func TestAResumptionEndsARunThatOutlivedThePause(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	w.must(w.ledger.SetPaused(context.Background(), "a", true))
	if begun := w.ask("POST /jobs/a/resume").wants(202, "").json(); begun["run_id"] != 2.0 || begun["trigger"] != "resume" {
		t.Errorf("got %v", begun)
	}
}

// Somebody else's run makes up for the pause as well.
func TestAResumptionBesideTheSchedule(t *testing.T) {
	w := newWorld(t)
	w.must(w.ledger.SetPaused(context.Background(), "a", true))
	w.store.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "runs.begin" {
			w.store.Hook = nil
			w.start("a")
		}
		return storetest.None, nil
	}
	if begun := w.ask("POST /jobs/a/resume").wants(202, "").json(); begun["run_id"] != 1.0 || begun["trigger"] != "schedule" {
		t.Errorf("got %v", begun)
	}
}

// Whatever one call of a change comes to, nothing but the truth is answered,
// and asking again leads to where it was to go.
func TestEveryChangeOutlivesEveryFault(t *testing.T) {
	tests := map[string]struct {
		before func(*world)
		want   string // the job's status in the end
	}{
		"pause":           {func(w *world) { w.start("a") }, "paused"},
		"resume":          {func(w *world) { w.start("a"); w.must(w.ledger.SetPaused(context.Background(), "a", true)) }, "running"},
		"kill":            {func(w *world) { w.start("a") }, "cancelled"},
		"run-now":         {func(*world) {}, "running"},
		"approve-deletes": {func(w *world) { w.hold("a", 5) }, "running"},
	}
	for change, test := range tests {
		for _, fault := range []storetest.Fault{storetest.FailBefore, storetest.ApplyThenFail} {
			for nth := 1; ; nth++ { // the call that fails
				w := newWorld(t)
				test.before(w)
				calls, op := 0, ""
				hook := func(c storetest.Call) (storetest.Fault, error) {
					if calls++; calls != nth {
						return storetest.None, nil
					}
					op = c.Op
					return failHook(fault, op)(c)
				}
				w.ledger.Hook, w.store.Hook, w.tickets.Hook = hook, hook, hook
				first := w.ask("POST /jobs/a/" + change)
				w.ledger.Hook, w.store.Hook, w.tickets.Hook = nil, nil, nil
				if op == "" {
					first.wants(first.StatusCode, "")
					break
				}
				// A run that was stored is on its way: its ticket, and what is
				// read of it, cannot fail it.
				late := op == "tickets.send" || change == "run-now" && (op == "runs.run" || op == "runs.shards")
				if (first.StatusCode == 202) != late || !late && first.StatusCode != 503 {
					t.Errorf("%s, fault %d in %s: answered %d %s", change, fault, op, first.StatusCode, first.Body)
				}
				if again := w.ask("POST /jobs/a/" + change); again.StatusCode >= 500 {
					t.Errorf("%s, fault %d in %s: then %d %s", change, fault, op, again.StatusCode, again.Body)
				}
				if change == "resume" {
					w.tick("a")
				}
				if got := w.ask("GET /jobs/a").json()["status"]; got != test.want {
					t.Errorf("%s, fault %d in %s: it is %v, want %s", change, fault, op, got, test.want)
				}
			}
		}
	}
}

func TestAKillTellsHowFarTheRunCame(t *testing.T) {
	w := newWorld(t)
	w.start("a")
	shard := w.claim()
	shard.Scanned = 7
	_, err := w.runs.Save(context.Background(), &shard)
	w.must(err)
	got := w.ask("POST /jobs/replication%3Aa/kill").wants(202, "").json()
	if got["run_id"] != 1.0 || got["status"] != "cancelled" || got["objects_scanned"] != 7.0 || got["ended_at"] == nil {
		t.Errorf("got %v", got)
	}
	w.ask("POST /jobs/a/kill").wants(409, "RunNotActive")
}

// A run that ends between the look and the change is not cancelled.
func TestARunThatEndsFirst(t *testing.T) {
	for request, want := range map[string]struct {
		status int
		code   string
	}{
		"POST /jobs/a/kill":  {409, "Conflict"},
		"POST /jobs/a/pause": {204, ""},
	} {
		w := newWorld(t)
		w.start("a")
		w.store.Hook = func(c storetest.Call) (storetest.Fault, error) {
			if c.Op == "runs.turn" {
				w.store.Hook = nil
				w.finish("a", run.Totals{Scanned: 1})
			}
			return storetest.None, nil
		}
		w.ask(request).wants(want.status, want.code)
		if job := w.ask("GET /jobs/a").json(); job["status_raw"] != "succeeded" {
			t.Errorf("%s: got %v", request, job)
		}
	}
}

func TestHeldDeletesAreShownAndLetGo(t *testing.T) {
	w := newWorld(t)
	w.hold("a", 5)
	job := w.ask("GET /jobs/a").json()
	if job["status"] != "held" || job["status_raw"] != "deletes_held" {
		t.Errorf("got %v", job)
	}
	for _, part := range []string{"5 deletes", `"a/gone.txt"`, `"a/\xff"`, "no object at all", "/jobs/a/approve-deletes?deletes=5"} {
		if !strings.Contains(job["detail"].(string), part) {
			t.Errorf("the detail does not say %s: %s", part, job["detail"])
		}
	}
	held := w.ask("GET /jobs/a/runs").json()["runs"].([]any)[0].(map[string]any)
	sample := fmt.Sprint(held["deletes_sample"])
	if held["deletes_held"] != 5.0 || sample != "[map[dest_key:a/gone.txt] map[dest_key:a/\ufffd dest_key_base64:YS//]]" {
		t.Errorf("got %v, %s", held, sample)
	}

	approved := w.ask("POST /jobs/a/approve-deletes?deletes=5").wants(202, "").json()
	if approved["run_id"] != 1.0 || approved["status"] != "running" || approved["deletes_held"] != nil {
		t.Errorf("got %v", approved)
	}
	w.ask("POST /jobs/a/approve-deletes?deletes=5").wants(409, "RunActive")
	w.finish("a", run.Totals{Scanned: 5, Deleted: 5, Candidates: 5})
	if job := w.ask("GET /jobs/a").json(); job["status"] != "ok" || job["lifetime"].(map[string]any)["deleted"] != 5.0 {
		t.Errorf("got %v", job)
	}
}

func TestEveryChangeIsAudited(t *testing.T) {
	tests := map[string]struct {
		request string
		status  float64
		outcome string
		rule    string
		run     any
	}{
		"a pause":                      {"POST /jobs/b/pause", 204, "done", "b", nil},
		"a run":                        {"POST /jobs/replication%3Ab/run-now", 202, "done", "b", 1.0},
		"a kill that was refused":      {"POST /jobs/b/kill", 409, "RunNotActive", "b", nil},
		"a run of a job nobody knows":  {"POST /jobs/x/run-now", 404, "JobNotFound", "x", nil},
		"a request that is not valid":  {"POST /jobs/b/run-now?existing=1", 400, "InvalidRequest", "b", nil},
		"a resumption of what ran on":  {"POST /jobs/b/resume", 204, "done", "b", nil},
		"an approval that was refused": {"POST /jobs/d/approve-deletes", 409, "RuleDisabled", "d", nil},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.ask(test.request)
			lines := w.lines("audit")
			if len(lines) != 1 {
				t.Fatalf("%d lines: %s", len(lines), w.log.String())
			}
			_, path, _ := strings.Cut(test.request, " ")
			path, _, _ = strings.Cut(path, "?")
			route := "/jobs/{job}" + path[strings.LastIndex(path, "/"):]
			for name, want := range map[string]any{
				"caller": "arn:aws:iam::111122223333:user/operator", "source_ip": "192.0.2.1", "api_request": "request-1",
				"method": "POST", "route": route, "rule": test.rule, "status": test.status, "outcome": test.outcome, "run": test.run,
			} {
				if lines[0][name] != want {
					t.Errorf("%s is %v, want %v", name, lines[0][name], want)
				}
			}
		})
	}
	w := newWorld(t)
	for _, request := range []string{"GET /jobs", "HEAD /jobs/a", "GET /jobs/a/kill", "POST /jobs"} {
		w.ask(request)
	}
	if w.log.Len() > 0 {
		t.Errorf("what changes nothing is audited: %s", w.log.String())
	}
}

// The cause goes to the log, and the caller gets the means to find it.
func TestWhatGoesWrongHereIsNotTold(t *testing.T) {
	away := func(class object.Class) storetest.Hook {
		return func(storetest.Call) (storetest.Fault, error) {
			return storetest.FailBefore, &object.Error{Class: class, Op: "read", Code: "SomeException", Err: fmt.Errorf("secret internals")}
		}
	}
	tests := map[string]struct {
		hook    storetest.Hook
		request string
		status  int
		code    string
	}{
		"throttled":         {away(object.Retryable), "GET /jobs", 503, "Unavailable"},
		"forbidden":         {away(object.Permanent), "GET /jobs/a", 500, "Internal"},
		"forbidden to look": {away(object.Permanent), "GET /healthz", 503, "Unavailable"},
		"an error of no known kind": {func(storetest.Call) (storetest.Fault, error) {
			return storetest.FailBefore, fmt.Errorf("secret internals")
		}, "POST /jobs/a/pause", 500, "Internal"},
		"a panic": {func(storetest.Call) (storetest.Fault, error) { panic("secret internals") }, "POST /jobs/a/run-now", 500, "Internal"},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.ledger.Hook = test.hook
			got := w.ask(test.request).wants(test.status, test.code)
			if strings.Contains(got.Body, "secret") || !strings.Contains(got.Body, "request-1") {
				t.Errorf("got %s", got.Body)
			}
			lines := w.lines("not answered")
			if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]["error"]), "secret internals") || lines[0]["api_request"] != "request-1" {
				t.Errorf("logged %s", w.log.String())
			}
		})
	}
}
