package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/jsii-runtime-go"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

const account = "111122223333"

func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// deployment is a configuration and the settings it is synthesised with. It is
// synthesised once for all tests.
type deployment struct {
	name     string
	config   string // YAML
	settings map[string]string
	// outdir and templates are known after synth: by stack name.
	once      sync.Once
	outdir    string
	templates map[string]template
}

var (
	// everything uses each part of the grammar that shows in a template.
	everything = &deployment{name: "everything", config: file("testdata/everything.yaml"), settings: map[string]string{
		"alarm-email": "on-call@example.com",
		"kms-keys":    "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-0000-0000-000000000000",
	}}
	local = &deployment{name: "local", config: file("testdata/everything.yaml"), settings: map[string]string{"local": "true"}}
	many  = &deployment{name: "many", config: manyPairs(60), settings: map[string]string{"api-log-role": "false"}}
	idle  = &deployment{name: "idle", config: "storage:\n  buckets:\n    releases: {}\n  replication:\n    rules: []\n"}

	deployments = []*deployment{everything, local, many, idle}
)

func file(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// manyPairs replicates n buckets with the longest of names, each under a prefix
// and to a bucket of its own, every second one from another region.
func manyPairs(n int) string {
	var buckets, rules strings.Builder
	for i := range n {
		source := fmt.Sprintf("source-%02d-%s", i, strings.Repeat("s", 53))
		replica := fmt.Sprintf("replica-%02d-%s", i, strings.Repeat("r", 52))
		backend := ""
		if i%2 == 1 {
			backend = "backend: frankfurt"
		}
		fmt.Fprintf(&buckets, "    %s: { %s }\n    %s: {}\n", source, backend, replica)
		fmt.Fprintf(&rules, "      - name: rule-%02d\n        source: { bucket: %s, prefix: incoming/ }\n        destination: { bucket: %s, prefix: copies/ }\n        replicate_deletes: true\n",
			i, source, replica)
	}
	return "storage:\n  backends:\n    - { name: frankfurt, region: eu-central-1 }\n  buckets:\n" + buckets.String() +
		"  replication:\n    rules:\n" + rules.String()
}

func (d *deployment) synth(t *testing.T) map[string]template {
	t.Helper()
	d.once.Do(func() {
		config := parse(t, d.config)
		d.outdir = filepath.Join(scratch(t), d.name)
		app := newApp(d.outdir)
		if err := newStacks(app, d.read(t), config); err != nil {
			t.Fatal(err)
		}
		app.Synth(nil)
		d.templates = map[string]template{}
		files, err := filepath.Glob(filepath.Join(d.outdir, "*.template.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			read := readTemplate(t, file)
			d.templates[read.name] = read
		}
	})
	if len(d.templates) == 0 {
		t.Fatalf("%s was not synthesised", d.name)
	}
	return d.templates
}

// home is the template of the home stack.
func (d *deployment) home(t *testing.T) template {
	t.Helper()
	return d.synth(t)["bucket-replicator"]
}

func (d *deployment) read(t *testing.T) Settings {
	t.Helper()
	environment := map[string]string{
		"CDK_DEFAULT_REGION": "us-east-1", "CDK_DEFAULT_ACCOUNT": account,
		"REPLICATOR_DIST": filepath.Join(scratch(t), "dist"),
	}
	s, err := readSettings(
		func(name string) string { return d.settings[name] },
		func(name string) string { return environment[name] })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parse(t *testing.T, text string) rule.Config {
	t.Helper()
	config, problems := rulefile.Parse([]byte(text))
	if err := rule.Problems(problems).Err(); err != nil {
		t.Fatal(err)
	}
	return config
}

// scratch is one directory for all tests, which outlives the test that made it:
// functions that do nothing, in dist/, and what is synthesised.
var scratch = func() func(t *testing.T) string {
	var once sync.Once
	var dir string
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			dir = filepath.Join("..", ".cache", "infra-test")
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			for _, arch := range []string{"arm64", "amd64"} {
				for _, file := range built {
					path := filepath.Join(dir, "dist", arch, file)
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(arch+" "+file), 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
		return dir
	}
}()

// each runs the test on every stack of every deployment.
func each(t *testing.T, test func(t *testing.T, d *deployment, stack template)) {
	t.Helper()
	for _, d := range deployments {
		for name, stack := range d.synth(t) {
			t.Run(d.name+"/"+name, func(t *testing.T) { test(t, d, stack) })
		}
	}
}
