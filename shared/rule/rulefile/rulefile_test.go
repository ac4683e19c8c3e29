package rulefile_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"
)

var update = flag.Bool("update", false, "write schema.json and the expected problems anew")

// samples are the texts of the files of that pattern, by name.
func samples(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files are named %s: %v", pattern, err)
	}
	texts := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = text
	}
	return texts
}

const (
	valid   = "testdata/valid/*.yaml"
	refused = "testdata/refused/*.yaml"
	example = "../../../infra/replication.yaml" // what people start from
)

func TestValidFilesParse(t *testing.T) {
	for _, pattern := range []string{valid, example} {
		for file, text := range samples(t, pattern) {
			t.Run(file, func(t *testing.T) {
				_, problems := rulefile.Parse(text)
				if err := rule.Problems(problems).Err(); err != nil {
					t.Error(err)
				}
				if err := bySchema(t, compiledSchema(t), text); err != nil {
					t.Errorf("the schema refuses it: %v", err)
				}
			})
		}
	}
}

func TestExampleHasNothingToComplainOf(t *testing.T) {
	for file, text := range samples(t, example) {
		c, problems := rulefile.Parse(text)
		if len(problems) > 0 {
			t.Error(rule.Problems(problems).In(file))
		}
		created := 0
		for _, b := range c.Storage.Buckets {
			if b.Create {
				created++
			}
		}
		if created != 2 {
			t.Errorf("%s creates %d buckets, want 2: it must deploy into an empty account", file, created)
		}
	}
}

// Every setting that the types know stands in the example, if only in a comment.
func TestExampleShowsEverySetting(t *testing.T) {
	text := samples(t, example)[example]
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Map:
			visit(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				name, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
				if !bytes.Contains(text, []byte(name+":")) {
					t.Errorf("%s.%s is not shown", typ, name)
				}
				visit(typ.Field(i).Type)
			}
		}
	}
	visit(reflect.TypeFor[rule.Config]())
}

func TestGuideSaysWhatItSays(t *testing.T) {
	c, _ := rulefile.Parse(samples(t, "testdata/valid/guide.yaml")["testdata/valid/guide.yaml"])
	mirror := rule.DefaultRule()
	mirror.Name = "mirror-releases-to-dr"
	mirror.Source.Bucket, mirror.Destination.Bucket = "releases", "releases-dr"
	want := rule.Config{Storage: rule.Storage{
		Backends: []rule.Backend{
			{Name: "aws-dr", Region: "eu-central-1"},
			{Name: "minio-hq", Endpoint: "https://minio.example:9000", Region: "us-east-1", PathStyle: true,
				CredentialsSecret: "arn:aws:secretsmanager:us-east-1:123456789012:secret:minio-hq-AbCdEf"},
		},
		Buckets: map[string]rule.Bucket{
			"releases": {}, "releases-dr": {Backend: "aws-dr", Name: "releases"}, "fresh": {Create: true, Versioned: true},
		},
		Replication: rule.Replication{Enabled: true, TickInterval: rule.Duration(time.Minute), MaxFailuresRetained: 100,
			Rules: []rule.Rule{mirror}},
	}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("it says\n%+v\nwant\n%+v", c, want)
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	c, problems := rulefile.Parse([]byte(`
storage:
  buckets: {one: , two: ~}
  replication:
    tick_interval: ~
    rules:
      - name: m
        source: {bucket: one}
        destination: {bucket: two}
        max_deletes: {count: 5}
        exclude_globs:
        limits:
`))
	if len(problems) > 0 {
		t.Fatal(rule.Problems(problems).In("text"))
	}
	want := rule.DefaultRule()
	want.Name, want.Source.Bucket, want.Destination.Bucket, want.MaxDeletes.Count = "m", "one", "two", 5
	if got := c.Storage.Replication.Rules[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("the rule is\n%+v\nwant\n%+v", got, want)
	}
}

func TestMergedAliasesGiveWayToWhatIsSaid(t *testing.T) {
	text := samples(t, "testdata/valid/two-sites.yaml")["testdata/valid/two-sites.yaml"]
	c, _ := rulefile.Parse(text)
	there, back := c.Storage.Replication.Rules[0], c.Storage.Replication.Rules[1]
	if back.Name != "back" || back.Source != there.Destination || back.Destination != there.Source {
		t.Errorf("the second rule is not the first one turned round: %+v", back)
	}
	if back.MaxDeletes != there.MaxDeletes || back.Interval != there.Interval || !back.ReplicateDeletes {
		t.Errorf("the second rule did not take over the rest: %+v", back)
	}
}

func TestRefusedFilesNameEveryProblem(t *testing.T) {
	for file, text := range samples(t, refused) {
		t.Run(file, func(t *testing.T) {
			_, problems := rulefile.Parse(text)
			got := rule.Problems(problems).In("replication.yaml")
			expected := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(expected)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if rule.Problems(problems).Err() == nil {
				t.Error("it is not refused")
			}
		})
	}
}

func TestRefusedTexts(t *testing.T) {
	const buckets = "storage:\n  buckets: {abc: {}}\n"
	for name, c := range map[string]struct{ text, want string }{
		"nothing":                  {"", "1: the file is empty; it begins with storage:"},
		"comments only":            {"# later\n", "1: the file is empty; it begins with storage:"},
		"a null":                   {"\n~\n", "2: the file is empty; it begins with storage:"},
		"an empty mapping":         {"{}", "1: storage.buckets: is missing: the buckets that rules may use, by alias"},
		"a scalar":                 {"storage", `1: is "storage", not a mapping`},
		"a list":                   {"- storage", "1: is a list, not a mapping"},
		"not YAML":                 {buckets + "  replication: [\n", "3: not YAML: did not find expected node content"},
		"a tab":                    {"storage:\n\tbuckets: {}\n", "2: not YAML: found character that cannot start any token"},
		"two documents":            {buckets + "---\n" + buckets, "3: begins a second document; a configuration is one"},
		"a broken second document": {buckets + "---\n[", "4: not YAML: did not find expected node content"},
		"bytes that are no text":   {"storage: \xff\n", "1: not YAML: invalid leading UTF-8 octet"},
		"a misspelt root":          {"storge:\n", "1: storge: is not a field; did you mean storage?\n1: storage.buckets: is missing: the buckets that rules may use, by alias"},
		"a tag of CloudFormation":  {"storage:\n  buckets: {abc: {name: !Ref Bucket}}\n", "2: storage.buckets.abc.name: has the tag !Ref; tags mean nothing here"},
		"a field given twice":      {buckets + "  buckets: {}\n", "3: storage.buckets: is given twice, first on line 2"},
		"a name that is a list":    {"storage:\n  buckets: {abc: {}, [x]: {}}\n", "2: storage.buckets: has a name that is not a single value"},
		"an unknown alias":         {"storage: *x\n", "1: not YAML: unknown anchor 'x' referenced"},
		"a mapping merged into itself": {"storage:\n  buckets: &b\n    <<: *b\n    abc: {}\n",
			"2: storage.buckets: is merged into itself"},
		"a duration without a unit": {buckets + "  replication: {tick_interval: 5}\n",
			`3: storage.replication.tick_interval: "5" is not a duration such as 30s, 15m, 24h or 7d`},
		"a duration that is a list": {buckets + "  replication: {tick_interval: [5m]}\n",
			"3: storage.replication.tick_interval: is a list, not a single value"},
		"a number with a fraction": {buckets + "  replication: {max_failures_retained: 1.5}\n",
			`3: storage.replication.max_failures_retained: is "1.5", not a whole number`},
		"a number too large": {buckets + "  replication: {max_failures_retained: 99999999999999999999}\n",
			`3: storage.replication.max_failures_retained: is "99999999999999999999", not a whole number`},
		"a yes": {buckets + "  replication: {enabled: yes}\n", `3: storage.replication.enabled: is "yes", not true or false`},
		"a rule where the list should be": {buckets + "  replication:\n    rules: {name: m}\n",
			"4: storage.replication.rules: is a mapping, not a list"},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := rulefile.Parse([]byte(c.text))
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("problems are:\n%s\nwant:\n%s", strings.Join(got, "\n"), c.want)
			}
		})
	}
}

func TestMergedAliasesThatGrowWithoutBoundsAreRefused(t *testing.T) {
	text := "storage:\n  buckets:\n    a0: &a0 {name: abc}\n"
	for _, n := range strings.Split("123456789", "") {
		last := "*a" + string(n[0]-1)
		text += "    a" + n + ": &a" + n + " {<<: [" + strings.Repeat(last+", ", 9) + last + "]}\n"
	}
	_, problems := rulefile.Parse([]byte(text))
	if len(problems) == 0 || !strings.Contains(rule.Problems(problems).In("text"), "grows without bounds through merged aliases") {
		t.Errorf("problems are:\n%s", rule.Problems(problems).In("text"))
	}
}

func TestPrintAndParseAreStable(t *testing.T) {
	for _, pattern := range []string{valid, example} {
		for file, text := range samples(t, pattern) {
			t.Run(file, func(t *testing.T) { expectStable(t, text) })
		}
	}
}

// expectStable fails unless what text says is printed and read back the same.
func expectStable(t *testing.T, text []byte) {
	t.Helper()
	c, _ := rulefile.Parse(text)
	printed, err := rulefile.Print(c)
	if err != nil {
		t.Fatal(err)
	}
	again, problems := rulefile.Parse(printed)
	if err := rule.Problems(problems).Err(); err != nil {
		t.Fatalf("its print is refused:\n%s\n%v", printed, err)
	}
	if !reflect.DeepEqual(again, c) {
		t.Fatalf("printed:\n%s\nit reads back as\n%+v\nwant\n%+v", printed, again, c)
	}
}

// Prefixes and tags may be any text; YAML has its own ideas about some.
func FuzzPrint(f *testing.F) {
	for _, text := range []string{"<<", "~", "null", "yes", "2026-01-01", "0x10", " a ", "a: b # c", "- x", "*a", "!x", "\u2028", "\ufeff",
		"line\nline\n", "\t", "\x00", "ü/日本/\U0001f642"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		prefixed, tagged := rule.DefaultRule(), rule.DefaultRule()
		prefixed.Destination.Prefix = text
		tagged.Tags = map[string]string{text: text}
		for _, r := range []rule.Rule{prefixed, tagged} {
			r.Name, r.Source.Bucket, r.Destination.Bucket = "m", "abc", "xyz"
			c := rule.Default()
			c.Storage.Buckets = map[string]rule.Bucket{"abc": {}, "xyz": {}}
			c.Storage.Replication.Rules = []rule.Rule{r}
			if rule.Problems(rule.Validate(c)).Err() != nil {
				continue
			}
			printed, err := rulefile.Print(c)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := rulefile.Parse(printed); !reflect.DeepEqual(again, c) {
				t.Fatalf("printed:\n%s\nit reads back as\n%+v\nwant\n%+v", printed, again, c)
			}
			if printed, err = rulefile.PrintRule(r); err != nil {
				t.Fatal(err)
			}
			if again, _, problems := rulefile.ParseRule(printed); len(problems) > 0 || !reflect.DeepEqual(again, r) {
				t.Fatalf("printed:\n%s\nit reads back as\n%+v, %v\nwant\n%+v", printed, again, problems, r)
			}
		}
	})
}

func TestARuleAlone(t *testing.T) {
	const text = `
# a comment
name: mirror
source:
  bucket: abc
  prefix: x/
destination: { bucket: xyz }
interval: 1h
`
	r, lines, problems := rulefile.ParseRule([]byte(text))
	want := rule.DefaultRule()
	want.Name, want.Source, want.Destination = "mirror", rule.Side{Bucket: "abc", Prefix: "x/"}, rule.Side{Bucket: "xyz"}
	want.Interval = rule.Duration(time.Hour)
	if len(problems) > 0 || !reflect.DeepEqual(r, want) {
		t.Errorf("%+v, %v", r, problems)
	}
	for path, line := range map[string]int{"name": 3, "source.prefix": 6, "source.nothing": 5, "interval": 8, "conflict": 3} {
		if got := lines.Of(path); got != line {
			t.Errorf("%s is on line %d, want %d", path, got, line)
		}
	}
	for text, want := range map[string]string{
		"":                   "1: the text is empty; a rule begins with name:",
		"~":                  "1: the text is empty; a rule begins with name:",
		"- name: mirror":     "1: is a list, not a mapping",
		"name: x\n bad: y":   "2: not YAML: mapping values are not allowed in this context",
		"name: x\n---\nn: y": "2: begins a second document; a configuration is one",
		"name: x\nsource: {bucket: a, prefx: y}\ninterval: soon\nexclude_blobs: []": `2: source.prefx: is not a field; did you mean prefix?
3: interval: "soon" is not a duration such as 30s, 15m, 24h or 7d
4: exclude_blobs: is not a field; did you mean exclude_globs?`,
	} {
		_, _, problems := rulefile.ParseRule([]byte(text))
		if err := rule.Problems(problems).Err(); err == nil || err.Error() != want {
			t.Errorf("%q:\n%v\nwant\n%s", text, err, want)
		}
	}
	for text, want := range map[string]bool{
		"storage:": true, `{"storage": {}}`: true, "name: x\nstorage: y": true,
		"name: x": false, "- storage": false, "storage": false, "": false, "a: [": false,
	} {
		if rulefile.IsConfig([]byte(text)) != want {
			t.Errorf("%q is a configuration: %t", text, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{valid, refused} {
		for _, text := range samples(f, pattern) {
			f.Add(text)
		}
	}
	f.Add([]byte("storage:\n  buckets: &b\n    <<: *b\n"))
	f.Add([]byte("---\n---\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, problems := rulefile.Parse(text)
		for _, p := range problems {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("a problem has no line or no message: %+v", p)
			}
		}
		if rule.Problems(problems).Err() == nil {
			expectStable(t, text)
		}
	})
}
