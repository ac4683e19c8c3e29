package console

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"bucket-replicator/localstack/server"
)

var (
	examples = flag.Int("examples", 3, "how many requests of each kind schemathesis makes to a route")
	seed     = flag.Int("seed", 1, "of what schemathesis makes up")
)

// fuzzing tells schemathesis the names of jobs and rules that there are: of names
// that it makes up it would hear 404 alone. Every limit of a rule is tried in
// package adminapi; here that would be thousands of requests.
//
// Of the checks, which are all on, those are off that hold for nobody who means
// what this API does: what is well formed may name a bucket that there is not,
// Allow tells of the rules named "import" and "validate", too, and
// /rules/validate is there for what is wrong.
const fuzzing = `
[dictionaries]
jobs.values    = ["fuzzed", "replication:fuzzed"]
rules.values   = ["fuzzed", "fuzzed-made"]
buckets.values = ["shop", "outlet"]
keys.values    = ["fuzzed/a", "fuzzed/é %2F"]
waits.values   = ["1s"]

[parameters]
"path.job"     = { dictionary = "jobs", probability = 0.9 }
"path.rule"    = { dictionary = "rules", probability = 0.9 }
"query.bucket" = { dictionary = "buckets", probability = 0.5 }
"query.key"    = { dictionary = "keys", probability = 0.5 }
"query.wait"   = { dictionary = "waits", probability = 0.9 }

[checks]
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = [400, 404, 405, 409, 412, 422, 428]

[[operations]]
include-path-regex = "/plan$|/rules/.rule.$"
phases.coverage.enabled = false

[[operations]]
include-path-regex = "^/rules/(import|validate)$"
checks.allow_header_conformance.enabled = false

[[operations]]
include-path = "/rules/validate"
phases.coverage.enabled = false
checks.negative_data_rejection.enabled = false
`

// What the running API serves as its description is valid, and whatever is sent
// to it, it answers as described: no status, header or body that the document
// does not have, and no 5xx. It goes through the console, which signs.
func TestTheAPIIsAsItsDocumentSays(t *testing.T) {
	s := deployed(t)
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	tool := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, ".cache", "tools", "schemathesis", "bin", name), args...)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "NO_COLOR=1", "COLUMNS=160", "no_proxy=*"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		} else {
			t.Logf("%s", out)
		}
	}
	var described map[string]any
	served := s.asked(t, 200, "GET", "/openapi.json", "")
	if err := json.Unmarshal([]byte(served), &described); err != nil {
		t.Fatal(err)
	}
	// The console signs: what happens to the unsigned is another test's.
	delete(described, "security")
	delete(described["components"].(map[string]any), "securitySchemes")
	unsigned, err := json.Marshal(described)
	if err != nil {
		t.Fatal(err)
	}
	document, fuzzed, config := filepath.Join(s.Dir, "openapi.json"), filepath.Join(s.Dir, "fuzzed.json"), filepath.Join(s.Dir, "schemathesis.toml")
	for file, text := range map[string]string{document: served, fuzzed: string(unsigned), config: fuzzing} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tool("openapi-spec-validator", document)

	opened, err := url.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, "shop", "fuzzed/a", "fuzzed/b")
	s.asked(t, 200, "POST", "/jobs/fuzzed/run-now", "")
	tool("schemathesis", "--config-file", config, "run", fuzzed, "--url", s.console(),
		"--header", "Cookie:console-"+opened.Port()+"="+opened.Query().Get("token"), "--header", "Origin:"+s.console(),
		"--request-timeout", "30", "--max-examples", fmt.Sprint(*examples), "--seed", fmt.Sprint(*seed),
		"--generation-database", "none", "--workers", "3", "--continue-on-failure")
}
