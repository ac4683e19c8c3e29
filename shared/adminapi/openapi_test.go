package adminapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

// contract is what the document promises.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

type fields = map[string]any

const docURL = "https://replicator.invalid/openapi.json"

func newContract(t testing.TB) *contract {
	text := newWorld(t).ask("GET /openapi.json").wants(200, "").Body
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{doc: doc.(fields), compiler: jsonschema.NewCompiler()}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := c.compiler.AddResource(docURL, doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// at is what stands at a path in the document, nil for nothing.
func (c *contract) at(path ...string) any {
	var v any = c.doc
	for _, name := range path {
		m, _ := v.(fields)
		v = m[name]
	}
	return v
}

// schema compiles the one at a path.
func (c *contract) schema(t testing.TB, path ...string) *jsonschema.Schema {
	t.Helper()
	pointer := "#"
	for _, name := range path {
		pointer += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	s, err := c.compiler.Compile(docURL + pointer)
	if err != nil {
		t.Fatalf("%s: %v", pointer, err)
	}
	return s
}

// operations are the path and the method of each.
func (c *contract) operations() [][2]string {
	var all [][2]string
	for _, path := range slices.Sorted(maps.Keys(c.at("paths").(fields))) {
		for _, method := range slices.Sorted(maps.Keys(c.at("paths", path).(fields))) {
			all = append(all, [2]string{path, method})
		}
	}
	return all
}

func TestTheDocumentIsWellFormed(t *testing.T) {
	c := newContract(t)
	if c.doc["openapi"] != "3.1.0" || c.at("info", "title") == nil || c.at("info", "version") == nil {
		t.Errorf("it is %v, %v", c.doc["openapi"], c.doc["info"])
	}
	for name := range c.at("components", "schemas").(fields) {
		c.schema(t, "components", "schemas", name)
	}
	ids := map[any]bool{}
	for _, o := range c.operations() {
		path, method := o[0], o[1]
		id := c.at("paths", path, method, "operationId")
		if ids[id] || !regexp.MustCompile(`^[a-z][A-Za-z]+$`).MatchString(fmt.Sprint(id)) {
			t.Errorf("%s %s: the id is %v", method, path, id)
		}
		ids[id] = true
		if about, _ := c.at("paths", path, method, "summary").(string); !strings.HasSuffix(about, ".") {
			t.Errorf("%s %s: the summary is %q", method, path, about)
		}
		var inPath []string
		params, _ := c.at("paths", path, method, "parameters").([]any)
		for i, p := range params {
			p := p.(fields)
			if p["in"] == "path" {
				inPath = append(inPath, "{"+p["name"].(string)+"}")
			}
			if p["in"] == "path" && p["required"] != true {
				t.Errorf("%s %s: %v is not required", method, path, p["name"])
			}
			c.schema(t, "paths", path, method, "parameters", strconv.Itoa(i), "schema")
		}
		if want := regexp.MustCompile(`\{\w+\}`).FindAllString(path, -1); !slices.Equal(inPath, want) {
			t.Errorf("%s: parameters %v", path, inPath)
		}
		for status, r := range c.at("paths", path, method, "responses").(fields) {
			if _, err := strconv.Atoi(status); err != nil || r.(fields)["description"] == "" {
				t.Errorf("%s %s: the answer %s is %v", method, path, status, r)
			}
		}
	}
	if n := len(c.operations()); n < 18 {
		t.Errorf("%d operations", n)
	}
}

// The values of states and triggers are written down twice.
func TestTheDocumentKnowsEveryState(t *testing.T) {
	c := newContract(t)
	file, err := parser.ParseFile(token.NewFileSet(), "../run/run.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if constant, ok := n.(*ast.ValueSpec); ok && len(constant.Values) == 1 {
			of, _ := constant.Type.(*ast.Ident)
			if value, ok := constant.Values[0].(*ast.BasicLit); ok && of != nil && value.Kind == token.STRING {
				text, _ := strconv.Unquote(value.Value)
				want[of.Name] = append(want[of.Name], text)
			}
		}
		return true
	})
	for of, property := range map[string]string{"State": "status", "Trigger": "trigger"} {
		var got []string
		for _, v := range c.at("components", "schemas", "Run", "properties", property, "enum").([]any) {
			got = append(got, v.(string))
		}
		if len(got) == 0 || !slices.Equal(got, want[of]) {
			t.Errorf("%s: %q, want %q", of, got, want[of])
		}
	}
}

func TestTheSchemaOfTheConfiguration(t *testing.T) {
	w := newWorld(t)
	if got := w.ask("GET /schema.json").wants(200, ""); !json.Valid([]byte(got.Body)) || !strings.Contains(got.Body, "max_failures_retained") {
		t.Errorf("got %s", got.Body)
	}
	if rules := string(rule.Schema); !strings.Contains(rules, `"$ref": "#/$defs/Config"`) {
		t.Errorf("it is of something else: %.100s", rules)
	}
}

// generated is a value of a schema, or now and then of none.
func (c *contract) generated(r *rand.Rand, s fields, depth int) any {
	if r.IntN(25) == 0 {
		return []any{nil, "", "x", -1, 1.5, []any{}, fields{}, true, strings.Repeat("y", 2000), "\xff\x00"}[r.IntN(10)]
	}
	if ref, ok := s["$ref"].(string); ok {
		return c.generated(r, c.at("components", "schemas", ref[strings.LastIndex(ref, "/")+1:]).(fields), depth)
	}
	if any, ok := s["anyOf"].([]any); ok {
		return c.generated(r, any[r.IntN(len(any))].(fields), depth)
	}
	if constant, ok := s["const"]; ok {
		return constant
	}
	if words, ok := s["enum"].([]any); ok {
		return words[r.IntN(len(words))]
	}
	switch s["type"] {
	case "object":
		o := fields{}
		properties, _ := s["properties"].(fields)
		for name, p := range properties {
			if required, _ := s["required"].([]any); slices.Contains(required, any(name)) || r.IntN(4) == 0 {
				o[name] = c.generated(r, p.(fields), depth+1)
			}
		}
		if more, ok := s["additionalProperties"].(fields); ok {
			o[[]string{"from", "to", "x"}[r.IntN(3)]] = c.generated(r, more, depth+1)
		}
		return o
	case "array":
		list := []any{}
		for range r.IntN(3) {
			list = append(list, c.generated(r, s["items"].(fields), depth+1))
		}
		return list
	case "boolean":
		return r.IntN(2) == 0
	case "integer":
		return r.IntN(200) - 5
	default:
		return []string{"from", "to", "a", "a/x/", "", "**/*.x", "[", "24h", "20s", "1s", "mine", "replication:b", "MQ", "*", `"2"`, "ü/🙂", "1"}[r.IntN(17)]
	}
}

// request is one for an operation, its parameters generated.
func (c *contract) request(r *rand.Rand, path, method string) events.APIGatewayProxyRequest {
	e := requestOf(strings.ToUpper(method) + " " + path)
	e.Headers = map[string]string{}
	query := url.Values{}
	params, _ := c.at("paths", path, method, "parameters").([]any)
	for _, p := range params {
		p := p.(fields)
		value := fmt.Sprint(c.generated(r, p["schema"].(fields), 0))
		name := p["name"].(string)
		switch {
		case p["in"] == "path":
			names := append([]string{value, "mine", "mine"}, rules...)
			e.Path = strings.Replace(e.Path, "{"+name+"}", url.PathEscape(names[r.IntN(len(names))]), 1)
		case p["required"] != true && r.IntN(2) == 0:
		case p["in"] == "header":
			e.Headers[name] = value
		default:
			query.Set(name, value)
		}
	}
	e.MultiValueQueryStringParameters = query
	if s, ok := c.at("paths", path, method, "requestBody", "content", "application/json", "schema").(fields); ok {
		text, err := json.Marshal(c.generated(r, s, 0))
		if err != nil {
			panic(err)
		}
		if e.Body = string(text); r.IntN(20) == 0 {
			e.Body = e.Body[:r.IntN(len(e.Body)+1)]
		}
		if r.IntN(3) == 0 {
			e.Body = mine
		}
	}
	if c.at("paths", path, method, "requestBody", "content", "application/yaml") != nil && r.IntN(2) == 0 {
		e.Headers["Content-Type"] = "application/yaml" // JSON is YAML
	}
	if c.at("paths", path, method, "responses", "200", "content", "application/yaml") != nil && r.IntN(2) == 0 {
		e.Headers["Accept"] = "application/yaml"
	}
	return e
}

// keep sends requests to every operation, and checks that each answer is one
// that the document promises.
func (c *contract) keep(t testing.TB, seed uint64) map[int]int {
	r := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	for _, prepare := range []func(){
		func() { w.hold("e", 5) },
		func() { w.start("a") },
		func() { w.verified("b") },
		func() { w.start("b"); w.wait(time.Minute); w.tickets.Take() },
		func() { w.must(w.ledger.SetPaused(context.Background(), "c", true)) },
		func() { w.put(from, "a/x/", "x"); w.put(from, "a", "x"); w.put(from, "a/x", "x") },
		func() { w.with("PUT /rules/mine", mine).wants(201, "") },
		func() {
			w.must(w.ledger.Fail(context.Background(), object.Failure{Rule: "a", Source: object.Ref{Bucket: from, Key: "a/x"}, OccurredAt: w.clock(), Run: 3}))
		},
	} {
		if r.IntN(2) == 0 {
			w.tickets.Take()
			prepare()
		}
	}
	statuses := map[int]int{}
	operations := c.operations()
	for range 40 {
		o := operations[r.IntN(len(operations))]
		e := c.request(r, o[0], o[1])
		got := w.send(e)
		statuses[got.StatusCode]++
		status := strconv.Itoa(got.StatusCode)
		where := fmt.Sprintf("seed %d: %s %s?%v %s", seed, e.HTTPMethod, e.Path, e.MultiValueQueryStringParameters, e.Body)
		if c.at("paths", o[0], o[1], "responses", status) == nil {
			t.Fatalf("%s: %s is not in the document: %s", where, status, got.Body)
		}
		if got.StatusCode >= 500 {
			t.Fatalf("%s: %s %s", where, status, got.Body)
		}
		if c.at("paths", o[0], o[1], "responses", status, "content") == nil {
			if got.Body != "" {
				t.Fatalf("%s: a body that is not in the document: %s", where, got.Body)
			}
			continue
		}
		media := got.Headers["Content-Type"]
		if media == "application/yaml" {
			var value any
			w.must(yaml.Unmarshal([]byte(got.Body), &value))
			text, err := json.Marshal(value)
			w.must(err)
			got.Body = string(text)
		}
		body, err := jsonschema.UnmarshalJSON(strings.NewReader(got.Body))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		s := c.schema(t, "paths", o[0], o[1], "responses", status, "content", media, "schema")
		if err := s.Validate(body); err != nil {
			t.Fatalf("%s: %s: %v in %s", where, status, err, got.Body)
		}
	}
	return statuses
}

func TestEveryAnswerIsAsTheDocumentSays(t *testing.T) {
	c := newContract(t)
	met := map[int]int{}
	for seed := range uint64(100) {
		for status, n := range c.keep(t, seed) {
			met[status] += n
		}
	}
	for _, status := range []int{200, 201, 202, 204, 400, 404, 409, 412, 428} {
		if met[status] == 0 {
			t.Errorf("no answer was %d: %v", status, met)
		}
	}
}

func FuzzTheDocument(f *testing.F) {
	c := newContract(f)
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { c.keep(t, seed) })
}
