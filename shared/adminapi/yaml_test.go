package adminapi_test

import (
	"fmt"
	"strings"
	"testing"
)

const inYAML = "Content-Type: application/yaml"

// minePart is mine as people write it.
const minePart = `
# below what a covers
source:
  bucket: from
  prefix: a/x/
destination: { bucket: to, prefix: a/x/ }
priority: 1
`

func TestARuleIsMadeInYAML(t *testing.T) {
	w := newWorld(t)
	for _, media := range []string{inYAML, "content-type: Application/YAML; charset=utf-8"} {
		w = newWorld(t)
		w.with("PUT /rules/mine", minePart, media).wants(201, "")
	}
	w.with("PUT /rules/mine", mine, `If-Match: "2"`).wants(200, "") // the same in JSON: nothing is written
	w.with("PUT /rules/mine", mine, `If-Match: "2"`, inYAML).wants(200, "")

	shown := w.with("GET /rules/mine", "", "Accept: text/plain, application/yaml;q=0.9").wants(200, "")
	const want = `name: mine
enabled: true
source:
  bucket: from
  prefix: a/x/
destination:
  bucket: to
  prefix: a/x/
interval: 24h
batch_size: 100
replicate_deletes: false
conflict: newer-wins
include_globs: []
exclude_globs:
  - .deltaglider/**
priority: 1
existing_objects: true
max_deletes:
  count: 1000
  percent: 10
replicate_tags: true
latency_target: 15m
`
	if shown.Body != want || shown.Headers["Content-Type"] != "application/yaml" || shown.Headers["ETag"] != `"2"` || shown.Headers["X-Content-Type-Options"] != "nosniff" {
		t.Errorf("%v\n%s", shown.Headers, shown.Body)
	}
	w.with("PUT /rules/mine", shown.Body, `If-Match: "2"`, inYAML).wants(200, "")
	changed := w.with("PUT /rules/mine", strings.Replace(shown.Body, "priority: 1", "priority: 3", 1), `If-Match: "2"`, inYAML).wants(200, "")
	if changed.Headers["ETag"] != `"3"` || w.rule("mine").Priority != 3 {
		t.Errorf("changed to %s", changed.Body)
	}
	w.with("GET /rules/none", "", "Accept: application/yaml").wants(404, "RuleNotFound")
}

// A mistake is where it is, whatever finds it.
func TestMistakesInYAMLHaveTheirLine(t *testing.T) {
	for situation, test := range map[string]struct {
		text, code string
		details    string
	}{
		"a field that is none": {minePart + "exclude_glob: []\n", "InvalidRule", "[8: exclude_glob: is not a field; did you mean exclude_globs?]"},
		"two mistakes": {strings.Replace(minePart, "priority: 1", "priority: high\nconflict: never", 1), "InvalidRule",
			"[7: priority: is \"high\", not a whole number]"},
		"no YAML":      {"source: [", "InvalidRule", "[1: not YAML: did not find expected node content]"},
		"nothing":      {" \n", "InvalidRule", "[1: the text is empty; a rule begins with name:]"},
		"another name": {minePart + "name: other\n", "InvalidRule", `[8: name: is "other", and the path names "mine": a rule is not renamed]`},
		"a bucket that is not configured": {strings.Replace(minePart, "bucket: from", "bucket: form", 1), "InvalidRule",
			`[4: source.bucket: "form" is not a bucket of storage.buckets; did you mean from? (from, to)]`},
		"what no deployed rule covers": {minePart + "replicate_deletes: true\n", "NotCovered", "[8: replicate_deletes: "},
	} {
		t.Run(situation, func(t *testing.T) {
			w := newWorld(t)
			got := w.with("PUT /rules/mine", test.text, inYAML)
			if got.code() != test.code || !strings.HasPrefix(fmt.Sprint(got.json()["error"].(map[string]any)["details"]), test.details) {
				t.Errorf("%d %s", got.StatusCode, got.Body)
			}
		})
	}
}

func TestYAMLIsValidated(t *testing.T) {
	w := newWorld(t)
	for situation, test := range map[string]struct{ text, want string }{
		"a rule": {"name: mine" + minePart, `{"valid":true,"problems":[]}`},
		"a rule with a mistake": {"name: mine" + minePart + "interval: 1s\n",
			`{"valid":false,"problems":[{"line":8,"path":"interval","message":"`},
		"a configuration with a mistake": {"storage:\n  buckets: {abc: {}, xyz: {}}\n  replication:\n    rules:\n      - name: m\n        source: {bucket: abc, prefx: x}\n        destination: {bucket: xyz}\n",
			`{"valid":false,"problems":[{"line":6,"path":"storage.replication.rules[0].source.prefx","message":"is not a field; did you mean prefix?","warning":false}]}`},
	} {
		if got := w.with("POST /rules/validate", test.text, inYAML).wants(200, "").Body; !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %s", situation, got)
		}
	}
}
