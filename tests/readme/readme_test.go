// Package readme holds the README to the code: its tables, its examples and the
// commands it names.
package readme

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/adminapi"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"

	"github.com/aws/aws-lambda-go/events"
	"go.yaml.in/yaml/v3"
)

// file is a file of the repository, as text.
func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func path(t *testing.T, name string) string {
	t.Helper()
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, filepath.FromSlash(name))
}

// table is the rows of the table whose first column is called first, cells
// without the space around them.
func table(t *testing.T, first string) [][]string {
	t.Helper()
	var rows [][]string
	in := false
	for line := range strings.Lines(file(t, "README.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			in = false
		case in && !strings.HasPrefix(cells[0], "---"):
			rows = append(rows, cells)
		case cells[0] == first:
			in = true
		}
	}
	if len(rows) == 0 {
		t.Fatalf("there is no table that begins with | %s |", first)
	}
	return rows
}

var span = regexp.MustCompile("`([^`]+)`")

// spans are the code spans of a text.
func spans(text string) []string {
	var all []string
	for _, m := range span.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// prose is the README without its code blocks.
func prose(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i, part := range strings.Split(file(t, "README.md"), "```") {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// blocks are the code blocks in a language; "" for those that name none.
func blocks(t *testing.T, language string) []string {
	t.Helper()
	var all []string
	for i, part := range strings.Split(file(t, "README.md"), "```") {
		name, text, _ := strings.Cut(part, "\n")
		if i%2 == 1 && name == language {
			all = append(all, text)
		}
	}
	if len(all) == 0 {
		t.Fatalf("there is no block of %q", language)
	}
	return all
}

// Each setting has one row, with its default where the table says any.
func TestEverySettingHasItsRow(t *testing.T) {
	for first, of := range map[string]any{
		"setting of a rule":        rule.DefaultRule(),
		"setting of `replication`": rule.Default().Storage.Replication,
		"setting of a bucket":      rule.Bucket{},
		"setting of a backend":     rule.Backend{},
	} {
		typ := reflect.TypeOf(of)
		var fields, rows []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			fields = append(fields, name)
		}
		text, err := yaml.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		defaults := map[string]any{}
		if err := yaml.Unmarshal(text, &defaults); err != nil {
			t.Fatal(err)
		}
		for _, cells := range table(t, first) {
			names := spans(cells[0])
			rows = append(rows, names...)
			if typ == reflect.TypeFor[rule.Backend]() {
				continue // which has an example in place of a default: there is none
			}
			said := parts(cells[1])
			for i, name := range names {
				if got := said[min(i, len(said)-1)]; !isDefault(got, defaults[name]) {
					t.Errorf("%s %s: the default is said to be %q, and is %v", first, name, got, defaults[name])
				}
			}
		}
		slices.Sort(fields)
		slices.Sort(rows)
		if !slices.Equal(fields, rows) {
			t.Errorf("%s: rows for\n%q, there are\n%q", first, rows, fields)
		}
	}
}

// Each setting of a deployment has one row, but for those that make gives.
func TestEveryVariableHasItsRow(t *testing.T) {
	want := map[string]bool{}
	for _, m := range regexp.MustCompile("// [A-Z]\\w+ \\(`([a-z-]+)`\\)").FindAllStringSubmatch(file(t, "infra/settings.go"), -1) {
		switch m[1] {
		case "config", "local", "region", "dist":
		default:
			want["REPLICATOR_"+strings.ToUpper(strings.ReplaceAll(m[1], "-", "_"))] = true
		}
	}
	for _, cells := range table(t, "variable") {
		for _, name := range spans(cells[0]) {
			if !want[name] {
				t.Errorf("%s is no setting, or has two rows", name)
			}
			delete(want, name)
		}
	}
	for name := range want {
		t.Errorf("%s has no row", name)
	}
}

// parts are what a cell says for each of several settings, with commas between.
func parts(cell string) []string {
	var all []string
	code, from := false, 0
	for i, r := range cell {
		switch {
		case r == '`':
			code = !code
		case r == ',' && !code:
			all = append(all, strings.TrimSpace(cell[from:i]))
			from = i + 1
		}
	}
	return append(all, strings.TrimSpace(cell[from:]))
}

// isDefault reports whether what is said is this value; words stand for what is
// left out, or is zero.
func isDefault(said string, value any) bool {
	if code := spans(said); len(code) == 1 {
		var written any
		if yaml.Unmarshal([]byte(code[0]), &written) != nil {
			return false
		}
		return reflect.DeepEqual(written, value) || value == nil && reflect.ValueOf(written).IsZero()
	}
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any: // of a side, which must be said
		for _, part := range v {
			if part != "" {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// document is the API as it describes itself.
type document struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name, In string
			Required bool
		}
	}
	Components struct {
		Schemas map[string]struct{ Properties map[string]any }
	}
}

func openAPI(t *testing.T) document {
	t.Helper()
	answer, err := (&adminapi.Handler{}).Handle(context.Background(), events.APIGatewayProxyRequest{
		HTTPMethod: "GET", Path: adminapi.Root + "/openapi.json",
	})
	var d document
	if err != nil || json.Unmarshal([]byte(answer.Body), &d) != nil || len(d.Paths) == 0 {
		t.Fatalf("%d %s, %v", answer.StatusCode, answer.Body, err)
	}
	return d
}

// Each route has one row, and no row is without a route. The parameters of its
// query stand in the row, and no others do.
func TestEveryRouteHasItsRow(t *testing.T) {
	d := openAPI(t)
	rows := map[string]int{}
	for _, cells := range table(t, "route") {
		for _, said := range spans(cells[0]) {
			method, target, _ := strings.Cut(said, " ")
			path, query, _ := strings.Cut(target, "?")
			if said == "GET /" {
				continue // the page
			}
			if strings.HasPrefix(path, "/jobs/") {
				path = strings.Replace(path, "{rule}", "{job}", 1)
			}
			operation, ok := d.Paths[path][strings.ToLower(method)]
			if !ok {
				t.Errorf("%s is no route", said)
				continue
			}
			rows[method+" "+path]++
			known := map[string]bool{}
			for _, p := range operation.Parameters {
				if known[p.Name] = true; p.In == "query" && !strings.Contains(strings.Join(cells, " "), p.Name+"=") {
					t.Errorf("%s does not say %s=", said, p.Name)
				}
			}
			for _, name := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == '=' }) {
				if !known[name] {
					t.Errorf("%s takes no %s", said, name)
				}
			}
		}
	}
	for path, operations := range d.Paths {
		for method := range operations {
			if name := strings.ToUpper(method) + " " + path; rows[name] != 1 {
				t.Errorf("%s has %d rows", name, rows[name])
			}
		}
	}
}

// What is shown of the API's JSON has names that the API has.
func TestTheJSONShownIsTheAPIs(t *testing.T) {
	d := openAPI(t)
	text := file(t, "README.md")
	for _, example := range []struct {
		begins  string
		schemas []string
		names   string // how a name goes on, in the example
	}{
		{`{"run_id":`, []string{"Run"}, `":`},
		{`{"error":`, []string{"Error", "ErrorFields"}, `"`},
	} {
		_, rest, ok := strings.Cut(text, example.begins)
		if !ok {
			t.Errorf("no example begins with %s", example.begins)
			continue
		}
		line, _, _ := strings.Cut(example.begins+rest, "\n")
		known := map[string]any{}
		for _, name := range example.schemas {
			if len(d.Components.Schemas[name].Properties) == 0 {
				t.Errorf("the API has no schema %s", name)
			}
			for property := range d.Components.Schemas[name].Properties {
				known[property] = nil
			}
		}
		shown := regexp.MustCompile(`"([a-z_]+)`+example.names).FindAllStringSubmatch(line, -1)
		for _, m := range shown {
			if _, ok := known[m[1]]; !ok {
				t.Errorf("%s has no %s", example.schemas, m[1])
			}
		}
		if len(shown) < 4 {
			t.Errorf("only %d names in %s", len(shown), line)
		}
	}
}

// The curl example, and every path under $ADMIN_URL, is a route.
func TestTheRequestsShownAreRoutes(t *testing.T) {
	d := openAPI(t)
	shown := regexp.MustCompile(`-X ([A-Z]+) "\$ADMIN_URL(/[^"?]*)`).FindAllStringSubmatch(file(t, "README.md"), -1)
	if len(shown) == 0 {
		t.Fatal("no request is shown")
	}
	for _, request := range shown {
		found := false
		for path, operations := range d.Paths {
			_, has := operations[strings.ToLower(request[1])]
			found = found || has && regexp.MustCompile("^"+regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "[^/]+")+"$").MatchString(request[2])
		}
		if !found {
			t.Errorf("%s %s is no route", request[1], request[2])
		}
	}
}

// YAML that is shown is a configuration with nothing wrong.
func TestTheConfigurationsShownAreValid(t *testing.T) {
	for _, text := range blocks(t, "yaml") {
		if _, problems := rulefile.Parse([]byte(text)); len(problems) > 0 {
			t.Errorf("%s\nin\n%s", rule.Problems(problems).In("README.md"), text)
		}
	}
}

// The example shows every setting, if only in a comment, and names files that
// are there.
func TestTheExampleShowsEverySetting(t *testing.T) {
	text := file(t, "infra/replication.yaml")
	var shown func(typ reflect.Type)
	shown = func(typ reflect.Type) {
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			if name == "" {
				continue
			}
			if !regexp.MustCompile(`(?m)^[ #-]*` + name + `:`).MatchString(text) {
				t.Errorf("%s: %s is not shown", typ, name)
			}
			if of := typ.Field(i).Type; of.Kind() == reflect.Struct {
				shown(of)
			}
		}
	}
	for _, of := range []any{rule.Config{}, rule.Rule{}, rule.Bucket{}, rule.Backend{}} {
		shown(reflect.TypeOf(of))
	}
	for _, name := range regexp.MustCompile(`\bshared/[a-z./]+[a-z]`).FindAllString(text, -1) {
		if _, err := os.Stat(path(t, name)); err != nil {
			t.Errorf("%s is not there", name)
		}
	}
}

// Every make that is spoken of is a target which make can begin, and shell that
// is shown is shell.
func TestTheCommandsShownExist(t *testing.T) {
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z0-9 -]*):`).FindAllStringSubmatch(file(t, "Makefile"), -1) {
		for name := range strings.FieldsSeq(m[1]) {
			targets[name] = true
		}
	}
	var commands []string
	for _, text := range blocks(t, "") {
		if strings.Contains(text, "──>") { // a drawing
			continue
		}
		command := regexp.MustCompile(`(?m)^\{.*$`).ReplaceAllString(text, "") // what is answered
		if out, err := exec.Command("bash", "-n", "-c", command).CombinedOutput(); err != nil {
			t.Errorf("%v: %s in\n%s", err, out, text)
		}
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			commands = append(commands, line)
		}
	}
	commands = append(commands, spans(prose(t))...)
	makes := 0
	for _, line := range commands {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "make" {
			continue
		}
		if end := slices.Index(words, ">"); end > 0 {
			words = words[:end]
		}
		for _, word := range words[1:] {
			if makes++; !strings.Contains(word, "=") && !targets[word] {
				t.Errorf("%q: there is no target %s", strings.TrimSpace(line), word)
			}
		}
		rehearsal := exec.Command("make", append([]string{"-n"}, words[1:]...)...) // only says what it would do
		rehearsal.Dir = path(t, ".")
		rehearsal.Env = append(os.Environ(), "MAKEFLAGS=") // of a make that runs this test
		if out, err := rehearsal.CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", strings.TrimSpace(line), err, out)
		}
	}
	if makes < 30 {
		t.Errorf("only %d words of make commands were found", makes)
	}
}

// A file, a heading and a variable that is named is there.
func TestWhatIsNamedIsThere(t *testing.T) {
	text := file(t, "README.md")
	top := regexp.MustCompile("^(functions|infra|shared|events|localstack|tests)/[^ *:]+$")
	for _, name := range spans(prose(t)) {
		if !top.MatchString(name) {
			continue
		}
		if _, err := os.Stat(path(t, name)); err != nil {
			t.Errorf("%s is not there", name)
		}
	}
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		headings = append(headings, strings.ReplaceAll(strings.ToLower(m[1]), " ", "-"))
	}
	for _, m := range regexp.MustCompile(`\]\(([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if anchor, ok := strings.CutPrefix(m[1], "#"); ok {
			if !slices.Contains(headings, anchor) {
				t.Errorf("there is no heading for #%s", anchor)
			}
		} else if !strings.Contains(m[1], "://") {
			if _, err := os.Stat(path(t, m[1])); err != nil {
				t.Errorf("%s is not there", m[1])
			}
		}
	}
	settings := file(t, "infra/settings.go")
	for _, name := range regexp.MustCompile(`REPLICATOR_([A-Z_]+)`).FindAllStringSubmatch(text, -1) {
		if setting := `"` + strings.ReplaceAll(strings.ToLower(name[1]), "_", "-") + `"`; !strings.Contains(settings, setting) {
			t.Errorf("%s is no setting", name[0])
		}
	}
}
