package adminapi_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
)

// mine is a rule within what the deployed rule a may do.
const mine = `{"source":{"bucket":"from","prefix":"a/x/"},"destination":{"bucket":"to","prefix":"a/x/"},"priority":1}`

// with sends a request with a body and headers: "If-Match: 1".
func (w *world) with(line, body string, headers ...string) answer {
	w.t.Helper()
	return w.send(withBody(line, body, headers...))
}

func withBody(line, body string, headers ...string) events.APIGatewayProxyRequest {
	e := requestOf(line)
	e.Body, e.Headers = body, map[string]string{}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		e.Headers[name] = value
	}
	return e
}

func TestARuleIsMadeChangedAndRemoved(t *testing.T) {
	w := newWorld(t)
	made := w.with("PUT /rules/mine", mine).wants(201, "")
	const want = `{"name":"mine","owner":"api","revision":2,"paused":false,"created_at":"2026-04-01T12:00:00Z","uncovered":[],"rule":{"name":"mine","enabled":true,` +
		`"source":{"bucket":"from","prefix":"a/x/"},"destination":{"bucket":"to","prefix":"a/x/"},"interval":"24h","batch_size":100,"replicate_deletes":false,` +
		`"conflict":"newer-wins","include_globs":[],"exclude_globs":[".deltaglider/**"],"priority":1,"existing_objects":true,` +
		`"max_deletes":{"count":1000,"percent":10},"replicate_tags":true,"latency_target":"15m"}}` + "\n"
	if made.Body != want || made.Headers["ETag"] != `"2"` {
		t.Errorf("etag %s\ngot  %swant %s", made.Headers["ETag"], made.Body, want)
	}
	if got := w.ask("GET /rules/mine").wants(200, ""); got.Body != want || got.Headers["ETag"] != `"2"` {
		t.Errorf("etag %s, got %s", got.Headers["ETag"], got.Body)
	}
	if a := w.rule("mine"); a == nil || a.Priority != 1 {
		t.Errorf("the workers have %+v", a)
	}
	w.with("PUT /rules/mine", mine, `If-Match: "2"`).wants(200, "") // the same: nothing is written
	changed := w.with("PUT /rules/mine", strings.Replace(mine, `"priority":1`, `"priority":2`, 1), `if-match: "2"`).wants(200, "")
	if changed.Headers["ETag"] != `"3"` {
		t.Errorf("the etag of the change is %s", changed.Headers["ETag"])
	}
	w.put(from, "a/x/k", "x")
	w.replicateBy("a/x/k", 2)
	w.start("mine")
	w.with("DELETE /rules/mine", "", `If-Match: "2"`).wants(412, "PreconditionFailed")
	w.with("DELETE /rules/mine", "", `If-Match: "3"`).wants(204, "")
	w.ask("GET /rules/mine").wants(404, "RuleNotFound")
	if r, err := w.store.Run(context.Background(), "mine", 1); err != nil || r.State.Active() {
		t.Errorf("its run goes on: %+v, %v", r, err)
	}
	at := object.Ref{Bucket: to, Key: "a/x/k"}
	if _, ok := w.objects.Get(at); !ok || w.ledger.Item(at).Rule != "mine" {
		t.Errorf("its replica, or what is known of it, is gone: %+v", w.ledger.Item(at))
	}
	var audited []string
	for _, line := range w.lines("audit") {
		audited = append(audited, fmt.Sprintf("%v %v %v %v %v", line["method"], line["rule"], line["status"], line["outcome"], line["caller"]))
	}
	const caller = " arn:aws:iam::111122223333:user/operator"
	if want := []string{"PUT mine 201 done" + caller, "PUT mine 200 done" + caller, "PUT mine 200 done" + caller,
		"DELETE mine 412 PreconditionFailed" + caller, "DELETE mine 204 done" + caller}; !slices.Equal(audited, want) {
		t.Errorf("audited %q", audited)
	}
}

func TestWhatARuleIsMadeOn(t *testing.T) {
	made := func(w *world) { w.with("PUT /rules/mine", mine).wants(201, "") }
	with := func(what string) string { return strings.TrimSuffix(mine, "}") + "," + what + "}" }
	tests := map[string]struct {
		before  func(*world)
		request string
		body    string
		header  string
		status  int
		code    string
		detail  string // of the error
	}{
		"new, none there":                {nil, "PUT /rules/mine", mine, "If-None-Match: *", 201, "", ""},
		"new, one there":                 {made, "PUT /rules/mine", mine, "If-None-Match: *", 412, "PreconditionFailed", ""},
		"a change of what is not there":  {nil, "PUT /rules/mine", mine, `If-Match: "2"`, 412, "PreconditionFailed", ""},
		"a change, unseen":               {made, "PUT /rules/mine", mine, "", 428, "PreconditionRequired", ""},
		"a change of what was seen":      {made, "PUT /rules/mine", mine, `If-Match: "2"`, 200, "", ""},
		"a change, without quotes":       {made, "PUT /rules/mine", mine, `If-Match: 2`, 200, "", ""},
		"a change of one of two":         {made, "PUT /rules/mine", mine, `If-Match: "1", "2"`, 200, "", ""},
		"a change of whatever is there":  {made, "PUT /rules/mine", mine, `If-Match: *`, 200, "", ""},
		"a change of what was there":     {made, "PUT /rules/mine", mine, `If-Match: "1"`, 412, "PreconditionFailed", ""},
		"a change by a weak tag":         {made, "PUT /rules/mine", mine, `If-Match: W/"2"`, 412, "PreconditionFailed", ""},
		"new, unless it is some version": {nil, "PUT /rules/mine", mine, `If-None-Match: "2"`, 400, "InvalidRequest", ""},
		"a change of a deployed rule":    {nil, "PUT /rules/a", mine, "If-Match: *", 409, "RuleDeployed", ""},
		"a removal of a deployed rule":   {nil, "DELETE /rules/a", "", "If-Match: *", 409, "RuleDeployed", ""},
		"a removal, unseen":              {made, "DELETE /rules/mine", "", "", 428, "PreconditionRequired", ""},
		"a removal of nothing":           {nil, "DELETE /rules/mine", "", "If-Match: *", 404, "RuleNotFound", ""},
		"a look at nothing":              {nil, "GET /rules/mine", "", "", 404, "RuleNotFound", ""},
		"all":                            {nil, "GET /rules", "", "", 200, "", ""},
		"a deployed one":                 {nil, "GET /rules/a", "", "", 200, "", ""},
		"a POST":                         {nil, "POST /rules/a", "", "", 405, "MethodNotAllowed", ""},
		"without a text":                 {nil, "PUT /rules/mine", " ", "", 400, "InvalidRequest", "body is missing: a rule as JSON or YAML"},
		"with too long a text":           {nil, "PUT /rules/mine", strings.Repeat(" x", 1<<15), "", 400, "InvalidRequest", "body has 65535 bytes: give at most 32768"},
		"that is no JSON":                {nil, "PUT /rules/mine", "{", "", 400, "InvalidRule", "1: is not JSON: unexpected end of JSON input"},
		"with a field misspelt":          {nil, "PUT /rules/mine", with(`"priorty":2`), "", 400, "InvalidRule", "priorty: is not a field; did you mean priority?"},
		"with a field twice":             {nil, "PUT /rules/mine", with(`"priority":2`), "", 400, "InvalidRule", "priority: is given twice"},
		"with a field in other letters":  {nil, "PUT /rules/mine", with(`"Enabled":true`), "", 400, "InvalidRule", "Enabled: is not a field; did you mean enabled?"},
		"with another policy":            {nil, "PUT /rules/mine", with(`"conflict":"newest"`), "", 400, "InvalidRule", `conflict: "newest" is not a policy; did you mean newer-wins? (newer-wins, source-wins, skip-if-dest-exists)`},
		"with another name":              {nil, "PUT /rules/mine", with(`"name":"yours"`), "", 400, "InvalidRule", `name: is "yours", and the path names "mine": a rule is not renamed`},
		"with its name":                  {nil, "PUT /rules/mine", with(`"name":"mine"`), "", 201, "", ""},
		"whose name is none":             {nil, "PUT /rules/%23catalog", mine, "", 400, "InvalidRule", `name: "#catalog" is not a name: 1 to 64 letters, digits, dots, dashes and underscores`},
		"with another bucket": {nil, "PUT /rules/mine", strings.Replace(mine, `"from"`, `"form"`, 1), "", 400, "InvalidRule",
			`source.bucket: "form" is not a bucket of storage.buckets; did you mean from? (from, to)`},
		"that collides": {nil, "PUT /rules/mine", strings.Replace(mine, `"priority":1`, `"priority":0`, 1), "", 400, "InvalidRule",
			`priority: rule "a" also writes to aws/to under "a/x/" and has the same priority, 0: give the one that shall win a higher priority`},
		"where nobody reads": {nil, "PUT /rules/mine", strings.Replace(mine, `"from","prefix":"a/x/"`, `"from","prefix":"other/"`, 1), "", 422, "NotCovered",
			`source: is not covered: deploy a rule that reads from under "other/", or above, first`},
		"where only a rule reads that is off": {nil, "PUT /rules/mine", strings.ReplaceAll(mine, "a/x/", "d/x/"), "", 422, "NotCovered",
			`source: is not covered: deploy a rule that reads from under "d/x/", or above, first`},
		"that deletes where nobody does": {nil, "PUT /rules/mine", with(`"replicate_deletes":true`), "", 422, "NotCovered",
			`replicate_deletes: is not covered: deploy a rule that deletes in to under "a/x/", or above, first`},
		"that encrypts as nobody does": {nil, "PUT /rules/mine", with(`"sse":{"mode":"aws:kms","kms_key":"alias/k"}`), "", 422, "NotCovered",
			`sse.kms_key: is not covered: deploy a rule that encrypts with alias/k first`},
		"that chooses by tags": {nil, "PUT /rules/mine", with(`"tags":{"team":"x"}`), "", 422, "NotCovered",
			`tags: is not covered: deploy a rule that chooses by tags in from first`},
	}
	for situation, test := range tests {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			if test.before != nil {
				test.before(w)
			}
			before := w.ledger.Fingerprint()
			got := w.with(test.request, test.body, test.header).wants(test.status, test.code)
			if test.detail != "" {
				details := got.json()["error"].(map[string]any)["details"].([]any)
				if len(details) == 0 || details[0] != test.detail {
					t.Errorf("details %q, want %q", details, test.detail)
				}
			}
			if test.status >= 400 && w.ledger.Fingerprint() != before {
				t.Error("what was refused changed something")
			}
		})
	}
}

// The file may change so that it covers a rule no longer, which nobody would see.
func TestARuleThatADeploymentLeftUncovered(t *testing.T) {
	w := newWorld(t)
	w.with("PUT /rules/mine", mine).wants(201, "")
	w.catalog(func(c *rule.Catalog) { c.Rules[0].Rule.Source.Prefix = "z/" })
	const want = `"uncovered":["source: is not covered: deploy a rule that reads from under \"a/x/\", or above, first"]`
	for _, request := range []string{"GET /rules", "GET /rules/mine"} {
		if got := w.ask(request).wants(200, "").Body; strings.Count(got, want) != 1 {
			t.Errorf("%s: %s", request, got)
		}
	}
}

// Whoever makes a rule at the same time is not overlooked.
func TestARuleThatRacesAnother(t *testing.T) {
	rival := rule.DefaultRule()
	rival.Name, rival.Priority = "rival", 1
	rival.Source, rival.Destination = rule.Side{Bucket: "from", Prefix: "a/x/"}, rule.Side{Bucket: "to", Prefix: "a/x/"}
	for situation, test := range map[string]struct {
		change func(*rule.Catalog)
		status int
		code   string
	}{
		"one that stands in its way": {func(c *rule.Catalog) { c.Rules = append(c.Rules, rule.Stored{Rule: rival, Revision: 1}) }, 400, "InvalidRule"},
		"one that does not":          {func(c *rule.Catalog) { c.Rules[1].Paused = true }, 201, ""},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			w.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
				if c.Op == "catalog.put" {
					w.ledger.Hook = nil
					w.catalog(test.change)
				}
				return storetest.None, nil
			}
			w.with("PUT /rules/mine", mine).wants(test.status, test.code)
		})
	}
	w := newWorld(t)
	w.ledger.Hook = func(c storetest.Call) (storetest.Fault, error) {
		if c.Op == "catalog.put" {
			w.catalog(func(*rule.Catalog) {})
		}
		return storetest.None, nil
	}
	w.with("PUT /rules/mine", mine).wants(503, "Unavailable")
}

func TestARuleOrAConfigurationIsValidated(t *testing.T) {
	const config = `{"storage":{"buckets":{"abc":{},"xyz":{}},"replication":{"rules":[{"name":"m","source":{"bucket":"abc","prefx":""},"destination":{"bucket":"xzy"}}]}}}`
	for situation, test := range map[string]struct {
		body string
		want string
	}{
		"a rule":            {strings.TrimSuffix(mine, "}") + `,"name":"mine"}`, `{"valid":true,"problems":[]}`},
		"a rule and a name": {mine, `{"valid":false,"problems":[{"path":"name","message":"is missing: a name of 1 to 64 letters, digits, dots, dashes and underscores","warning":false}]}`},
		"a deployed rule, elsewhere": {`{"name":"a","source":{"bucket":"from","prefix":"new/"},"destination":{"bucket":"to","prefix":"new/"}}`,
			`{"valid":true,"problems":[]}`},
		"a rule with a warning": {`{"name":"mine","source":{"bucket":"from","prefix":"a/x"},"destination":{"bucket":"to","prefix":"a/x/"},"priority":1}`,
			`{"valid":true,"problems":[{"path":"source.prefix","message":"\"a/x\" also stands for keys such as \"a/xa/x\"; write \"a/x/\" if a folder is meant","warning":true}]}`},
		"a configuration": {strings.Replace(strings.Replace(config, "prefx", "prefix", 1), "xzy", "xyz", 1), `{"valid":true,"problems":[]}`},
		"a configuration with two mistakes": {config, `{"valid":false,"problems":[` +
			`{"path":"storage.replication.rules[0].source.prefx","message":"is not a field; did you mean prefix?","warning":false},` +
			`{"path":"storage.replication.rules[0].destination.bucket","message":"\"xzy\" is not a bucket of storage.buckets; did you mean xyz? (abc, xyz)","warning":false}]}`},
		"a list": {"[]", `{"valid":false,"problems":[{"path":"","message":"is a list, not an object","warning":false}]}`},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			if got := w.with("POST /rules/validate", test.body).wants(200, "").Body; got != test.want+"\n" {
				t.Errorf("got  %swant %s", got, test.want)
			}
		})
	}
	w := newWorld(t)
	w.with("POST /rules/validate", "").wants(400, "InvalidRequest")
	many := w.with("POST /rules/validate", `{"x":1`+strings.Repeat(`,"y":1`, 5000)+"}").wants(200, "").json()
	if n := len(many["problems"].([]any)); n != 100 {
		t.Errorf("%d problems are told", n)
	}
	if lines := w.lines("audit"); len(lines) > 0 {
		t.Errorf("what changes nothing is audited: %v", lines)
	}
}

func TestABodyInBase64(t *testing.T) {
	w := newWorld(t)
	e := withBody("PUT /rules/mine", base64.StdEncoding.EncodeToString([]byte(mine)))
	e.IsBase64Encoded = true
	w.send(e).wants(201, "")
	e.Body = "?"
	w.send(e).wants(400, "InvalidRequest")
}
