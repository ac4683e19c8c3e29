package adminapi_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/storetest"
)

// look asks as the page's script does.
func (w *world) look(line string) answer {
	w.t.Helper()
	return w.with(line, "", "Accept: text/html; fragment")
}

// The page loads what is beside it and nothing else, and has no script or style
// in its text: its policy would refuse them.
func TestThePageIsAloneAndWhole(t *testing.T) {
	w := newWorld(t)
	page := w.ask("GET /").wants(http.StatusOK, "")
	if bare := w.ask("GET "); bare.Body != page.Body {
		t.Error("without its slash it is another")
	}
	if strings.Contains(page.Body, "style=") || strings.Contains(page.Body, "<style") || regexp.MustCompile(`\son\w+=|<script>|javascript:`).MatchString(page.Body) {
		t.Error("there is a script or a style in the page's text")
	}
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#]*)"`).FindAllStringSubmatch(page.Body, -1) {
		names[m[1]] = true
	}
	const script = "text/javascript; charset=utf-8"
	media := map[string]string{
		"assets/page.css": "text/css; charset=utf-8", "assets/page.js": script, "assets/icon.svg": "image/svg+xml",
		"assets/htmx.min.js": script, "assets/idiomorph-ext.min.js": script,
	}
	for name := range names {
		got := w.ask("GET /"+name).wants(http.StatusOK, "")
		if got.Headers["Content-Type"] != media[name] {
			t.Errorf("%s is %s", name, got.Headers["Content-Type"])
		}
		for _, address := range regexp.MustCompile(`(?:https?:)?//[a-z][^\s"']*`).FindAllString(got.Body, -1) {
			if address != "http://www.w3.org/2000/svg" { // a name that nobody loads
				t.Errorf("%s names %s", name, address)
			}
		}
	}
	if len(names) != len(media) {
		t.Errorf("it loads %v", names)
	}
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'none'", "base-uri 'none'"} {
		if policy := page.Headers["Content-Security-Policy"]; !strings.Contains(policy, part) || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("the policy %q lacks %s", policy, part)
		}
	}
	if w.log.Len() > 0 {
		t.Errorf("it is logged: %s", w.log.String())
	}
	if n := len(w.store.Counts()) + len(w.ledger.Counts()); n > 0 {
		t.Error("the page itself makes requests")
	}
}

// A function that was built without what others wrote says so, to the browser
// and in its log.
func TestALibraryThatIsMissingIsNamed(t *testing.T) {
	w := newWorld(t)
	w.handler.Assets = fstest.MapFS{}
	got := w.ask("GET /assets/htmx.min.js").wants(http.StatusServiceUnavailable, "Unavailable")
	if !strings.Contains(got.Body, "assets/htmx.min.js") || !strings.Contains(got.Body, "make build") || len(w.lines("not answered")) != 1 {
		t.Errorf("it says %s, and logs %s", got.Body, w.log.String())
	}
}

// htmx is told to run no text as a script, and to ask nobody else.
func TestThePageNeedsNoEval(t *testing.T) {
	page := newWorld(t).ask("GET /").wants(http.StatusOK, "").Body
	for _, setting := range []string{`"allowEval": false`, `"allowScriptTags": false`, `"selfRequestsOnly": true`, `"includeIndicatorStyles": false`, `"historyCacheSize": 0`} {
		if !strings.Contains(page, setting) {
			t.Errorf("htmx is not told %s", setting)
		}
	}
	if found := regexp.MustCompile(`\bhx-(on|vars|vals)\b|\bjs:|hx-trigger="[^"]*\[`).FindString(page); found != "" {
		t.Errorf("the page has %s, which htmx evaluates", found)
	}
}

func TestTheJobsHaveWhatCanBeDoneAboutThem(t *testing.T) {
	w := newWorld(t)
	w.hold("a", 25)
	w.start("b")
	w.must(w.ledger.SetPaused(context.Background(), "c", true))
	html := w.look("GET /jobs").wants(http.StatusOK, "").Body
	rows := strings.Split(html, "<tr")[2:]
	for i, want := range []struct {
		name, acts string
		texts      []string
	}{
		{"a", "approve-deletes?deletes=25 run-now pause", []string{"held", "Run 1 holds 25 deletes", "replication:a", "Approve 25 deletes", "delete 25 objects at the destination?"}},
		{"b", "kill pause", []string{"running", `hx-get="jobs/b" hx-trigger="load, every 2s"`, "<progress", "waits for its first worker"}},
		{"c", "resume", []string{"paused"}},
		{"d", "", []string{"disabled"}},
		{"e", "run-now pause", []string{"never run", "the first begins by itself"}},
	} {
		var acts []string
		for _, m := range regexp.MustCompile(`hx-post="jobs/`+want.name+`/([^"]*)"`).FindAllStringSubmatch(rows[i], -1) {
			acts = append(acts, m[1])
		}
		if got := strings.Join(acts, " "); got != want.acts {
			t.Errorf("%s can be asked to %s, want %s", want.name, got, want.acts)
		}
		for _, text := range want.texts {
			if !strings.Contains(rows[i], text) {
				t.Errorf("%s does not say %q: %s", want.name, text, rows[i])
			}
		}
		if asks := strings.Count(rows[i], "hx-confirm="); asks != len(acts)-strings.Count(want.acts, "run-now")-strings.Count(want.acts, "resume") {
			t.Errorf("%s asks before %d of %s", want.name, asks, want.acts)
		}
	}
	if strings.Contains(html, "POST") {
		t.Error("it speaks of the API")
	}
}

// count is what a worker counts so many hours ago of copies with these lags.
func (w *world) count(rule string, ago int, lags ...time.Duration) {
	w.t.Helper()
	h := object.Hour{Begin: w.clock().Truncate(time.Hour).Add(-time.Duration(ago) * time.Hour), Copied: int64(len(lags))}
	for _, lag := range lags {
		h.Lag.Observe(lag)
	}
	w.must(w.ledger.CountHour(context.Background(), rule, h))
}

func TestWhatThePageShows(t *testing.T) {
	failed := func(w *world) {
		w.must(w.ledger.Fail(context.Background(), object.Failure{
			Rule: "a", Source: object.Ref{Bucket: from, Key: "a/<b>"}, OccurredAt: w.clock(), RetryAt: w.clock().Add(time.Hour),
			Code: "AccessDenied", Message: "no & never", Advice: "Allow it.",
		}))
	}
	for situation, test := range map[string]struct {
		before func(*world)
		ask    string
		want   []string
	}{
		"no rules":    {func(w *world) { w.catalog(func(c *rule.Catalog) { c.Rules = nil }) }, "GET /jobs", []string{"No rules are deployed."}},
		"no runs":     {nil, "GET /jobs/a/runs", []string{"No run is on record."}},
		"no failures": {nil, "GET /jobs/a/failures", []string{"Nothing failed"}},
		"runs": {func(w *world) { w.hold("a", 25) }, "GET /jobs/a/runs",
			[]string{"Run 1", "deletes held", "25 deletes held", "<code>a/gone.txt</code>", `<code>&#34;a/\xff&#34;</code>`}},
		"a run that failed some": {func(w *world) {
			w.start("a")
			w.finish("a", run.Totals{Scanned: 12000, Copied: 11990, Bytes: 5e9, Errors: 3, Skipped: map[string]int64{"in_sync": 7}})
		}, "GET /jobs/a/runs", []string{"completed with errors", "12\u2009000", "5.0 GB", `<dd class="bad">3`, "in sync"}},
		"older runs": {func(w *world) {
			for range 21 {
				w.start("a")
				w.finish("a", run.Totals{})
			}
		}, "GET /jobs/a/runs", []string{`hx-get="jobs/a/runs?cursor=`, "Older runs"}},
		"no large objects": {nil, "GET /jobs/a/transfers", []string{"No large object is being copied by parts.", `hx-trigger="every 15s"`}},
		"large objects": {func(w *world) { w.moving() }, "GET /jobs/a/transfers", []string{
			`hx-get="jobs/a/transfers" hx-trigger="every 5s"`, "a/&lt;b&gt;", `<span class="badge copying">copying</span>`, `max="4" value="1"`, "40% of 10.0 GB, 1 of 4 parts",
			"found by run 7, begun", "last progress", "counted", "within a minute, after 2 invitations in vain", "met SlowDown", "waits for its first worker", "not counted yet", "aws/to/a/&lt;b&gt;",
		}},
		"a row with large objects": {func(w *world) { w.moving() }, "GET /jobs/a", []string{
			`hx-get="jobs/a" hx-trigger="every 10s"`, "3 large objects, 30% of 30.0 GB", "1 stalled", `href="#a/transfers"`,
		}},
		"failures":                        {failed, "GET /jobs/a/failures", []string{"a/&lt;b&gt;", "AccessDenied", "no &amp; never", "Allow it.", "1 attempt;", "in 60 min"}},
		"a day in which nothing was done": {nil, "GET /jobs/a/hours", []string{"there is no lag", "Nothing was copied in the last 24 hours.", "<div data-small>–</div>"}},
		"a day": {func(w *world) {
			w.count("a", 0, 800*time.Millisecond, 900*time.Millisecond)
			w.count("a", 2, 2*time.Hour)
		}, "GET /jobs/a/hours", []string{
			"Lag: 0.8 s on average, 99% within 1 s, in the hour from 12:00 UTC.", "approximate", "In the last 24 hours 3 objects copied, most of them (2) in the hour from 12:00 UTC; 0 attempts failed.",
			"12:00 UTC: 2 objects copied, 0 attempts failed", "10:00 UTC: 2 h on average, 99% within more than 1 h", `<th scope="row">03-31 13:00</th>`,
		}},
		"a rule of the file": {nil, "GET /rules/a", []string{
			"The configuration file has this rule", "<code>make deploy</code>", "name: a\n", "bucket: from", `hx-post="rules/validate"`, `hx-post="jobs/a/plan"`, "A new rule from this text",
		}},
		"a rule that was made here": {func(w *world) {
			w.with("PUT /rules/made", `{"source": {"bucket": "from", "prefix": "a/x/"}, "destination": {"bucket": "to", "prefix": "a/x/"}, "priority": 1}`).wants(http.StatusCreated, "")
		}, "GET /rules/made", []string{
			"Made through the API, revision 2", "name: made\n", `hx-put="rules/made" hx-headers='{"If-Match": "\"2\""}'`, `hx-delete="rules/made" hx-params="none" hx-headers='{"If-Match": "\"2\""}'`,
			"Rule made: delete the rule?", `hx-put="rules/{name}" hx-headers='{"If-None-Match": "*"}'`,
		}},
		"a rule that nothing covers any more": {func(w *world) {
			w.catalog(func(c *rule.Catalog) { c.Rules[0].Deployed = false })
		}, "GET /rules/a", []string{"does not cover it any more", "<li>source: is not covered"}},
		"what is wrong with a rule": {nil, "POST /rules/validate\nname: a\ninterval: 1x\n", []string{"It cannot be used", "line 2: <code>interval</code>"}},
		"a rule that is right":      {nil, "POST /rules/validate\nname: a\nsource: {bucket: from, prefix: a/}\ndestination: {bucket: to, prefix: a/}\n", []string{"Nothing is wrong with it."}},
		"a plan": {func(w *world) {
			w.put(from, "a/new", "hello")
		}, "POST /jobs/a/plan", []string{"A run now would look at 1 key.", "a/new", "missing, 5 B", "Nothing was changed."}},
		"a plan of a draft": {func(w *world) {
			w.put(from, "a/new", "hello")
		}, "POST /jobs/other/plan\nname: other\nsource: {bucket: from, prefix: a/}\ndestination: {bucket: to, prefix: a/}\npriority: 1\n", []string{"A run now would look at 1 key.", "a/new"}},
		"a rule that was never verified": {nil, "GET /jobs/a/verify", []string{
			"never verified", `hx-post="jobs/a/verify?mode=metadata"`, `hx-post="jobs/a/verify?mode=checksum"`, `hx-post="jobs/a/verify?mode=bytes"`,
		}},
		"a verification under way": {func(w *world) { w.ask("POST /jobs/a/verify") }, "GET /jobs/a/verify", []string{
			`hx-get="jobs/a/verify" hx-trigger="every 2s"`, "waits for its first worker", `hx-post="jobs/a/verify/cancel"`, "pending",
		}},
		"a run that compares": {func(w *world) { w.ask("POST /jobs/a/run-now?compare=bytes") }, "GET /jobs/a/runs", []string{"by run-now, comparing bytes"}},
		"a verification": {func(w *world) { w.verified("a") }, "GET /jobs/a/verify", []string{
			`<span class="badge succeeded">succeeded</span>`, "saw every key", "differs", "<code class=\"key\">a/&lt;b&gt;</code>", "the source has 7 bytes", `hx-post="jobs/a/run-now?compare=bytes"`, `hx-confirm="Rule a: start a run? A run that compares by bytes, as this did, repairs 4 objects. It takes the source to be right: `, "It leaves 1 as they are",
		}},
		"an object":                  {func(w *world) { w.put(from, "a/x", "hello") }, "GET /objects?bucket=from&key=a/x", []string{"PENDING", "as source; next: copy", "aws/to/a/x"}},
		"an object that failed":      {func(w *world) { w.put(from, "a/<b>", "hello"); failed(w) }, "GET /objects?bucket=from&key=a/%3Cb%3E", []string{"FAILED", "AccessDenied", "Allow it.", "in 60 min"}},
		"an object of nobody's rule": {nil, "GET /objects?bucket=from&key=x", []string{"No rule concerns this object."}},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			if test.before != nil {
				test.before(w)
			}
			line, text, _ := strings.Cut(test.ask, "\n")
			got := w.with(line, text, "Accept: text/html; fragment", "Content-Type: application/yaml").wants(http.StatusOK, "")
			if got.Headers["Content-Type"] != "text/html; charset=utf-8" || got.Headers["Content-Security-Policy"] == "" {
				t.Errorf("it is %v", got.Headers)
			}
			for _, text := range test.want {
				if !strings.Contains(got.Body, text) {
					t.Errorf("it does not say %q: %s", text, got.Body)
				}
			}
		})
	}
}

// Only the page's own script gets fragments: a browser that opens a route, curl
// and errors get the API's JSON.
func TestWhoGetsJSON(t *testing.T) {
	w := newWorld(t)
	for _, accept := range []string{"", "*/*", "text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"} {
		if got := w.with("GET /jobs", "", "Accept: "+accept); got.Headers["Content-Type"] != "application/json" {
			t.Errorf("Accept: %s gets %s", accept, got.Headers["Content-Type"])
		}
	}
	w.look("GET /jobs/x/runs").wants(http.StatusNotFound, "JobNotFound")
	w.look("GET /jobs/a/runs?limit=x").wants(http.StatusBadRequest, "InvalidRequest")
	w.store.Hook = failHook(storetest.FailBefore, "runs.overview")
	w.look("GET /jobs").wants(http.StatusServiceUnavailable, "Unavailable")
}
