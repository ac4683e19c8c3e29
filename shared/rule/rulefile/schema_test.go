package rulefile_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func TestSchemaIsThatOfTheGoTypes(t *testing.T) {
	fresh := generateSchema(t)
	if *update {
		if err := os.WriteFile("../schema.json", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(fresh, rule.Schema) {
		t.Fatal("schema.json is stale; refresh it with: go test ./shared/rule/rulefile -run Schema -update")
	}
}

// generateSchema reflects rule.Config, with the doc comments as descriptions
// and the defaults that rule knows.
func generateSchema(t *testing.T) []byte {
	t.Helper()
	r := jsonschema.Reflector{
		Anonymous:                  true,
		RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t == reflect.TypeFor[rule.Duration]() {
				return &jsonschema.Schema{
					Type:     "string",
					Pattern:  "^([0-9]+d)?([0-9.]+[hms])*$",
					Examples: []any{"30s", "15m", "24h", "7d"},
				}
			}
			return nil
		},
	}
	// The reader of comments makes import paths of the paths it walks, so it
	// must stand at the module's root.
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(here, "../../.."))
	if err := r.AddGoComments("bucket-replicator", "shared/rule"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	for at, comment := range r.CommentMap {
		r.CommentMap[at] = strings.Join(strings.Fields(comment), " ")
	}
	schema := r.Reflect(rule.Config{})
	setDefaults(t, schema.Definitions["Replication"], rule.Default().Storage.Replication, "enabled", "tick_interval", "max_failures_retained")
	setDefaults(t, schema.Definitions["MaxDeletes"], rule.DefaultRule().MaxDeletes, "count", "percent")
	setDefaults(t, schema.Definitions["SSE"], rule.DefaultRule().SSE, "bucket_key")
	setDefaults(t, schema.Definitions["Rule"], rule.DefaultRule(), "enabled", "interval", "batch_size", "replicate_deletes",
		"conflict", "include_globs", "exclude_globs", "existing_objects", "replicate_tags", "latency_target")

	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// Whoever edits with the schema at hand is told what each field is.
func TestEveryFieldIsDescribed(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]struct{ Description string }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(rule.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for name, of := range schema.Defs {
		for field, property := range of.Properties {
			if property.Description == "" {
				t.Errorf("%s.%s says nothing", name, field)
			}
		}
	}
}

func setDefaults(t *testing.T, schema *jsonschema.Schema, from any, names ...string) {
	t.Helper()
	text, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		property, ok := schema.Properties.Get(name)
		if !ok {
			t.Fatalf("no property %s", name)
		}
		property.Default = values[name]
	}
}

func compiledSchema(t *testing.T) *validator.Schema {
	t.Helper()
	doc, err := validator.UnmarshalJSON(bytes.NewReader(rule.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bySchema is what the schema says of a YAML text.
func bySchema(t *testing.T, s *validator.Schema, text []byte) error {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestSchemaRefusesWhatParseRefuses(t *testing.T) {
	const storage = "storage:\n  buckets: {abc: {}, xyz: {}}\n"
	const m = storage + "  replication:\n    rules:\n    - {name: m, source: {bucket: abc}, destination: {bucket: xyz}"
	s := compiledSchema(t)
	if err := bySchema(t, s, []byte(m+"}\n")); err != nil {
		t.Fatalf("the text that the cases break is refused: %v", err)
	}
	for name, text := range map[string]string{
		"no storage":                  "{}",
		"no buckets":                  "storage: {}",
		"an unknown field at the top": storage + "extra: 1\n",
		"an unknown field of a rule":  m + ", batchSize: 5}",
		"an unknown policy":           m + ", conflict: newest}",
		"an unknown storage class":    m + ", storage_class: COLD}",
		"an unknown encryption":       m + ", sse: {mode: kms}}",
		"a duration without a unit":   m + ", interval: 5}",
		"a duration in words":         m + ", interval: soon}",
		"a batch of nothing":          m + ", batch_size: 0}",
		"more than all":               m + ", max_deletes: {percent: 101}}",
		"a rule without a name":       storage + "  replication: {rules: [{source: {bucket: abc}, destination: {bucket: xyz}}]}",
		"a rule without a source":     storage + "  replication: {rules: [{name: m, destination: {bucket: xyz}}]}",
		"a name with a space":         storage + "  replication: {rules: [{name: m n, source: {bucket: abc}, destination: {bucket: xyz}}]}",
		"a backend without a name":    storage + "  backends: [{region: eu-west-1}]",
	} {
		t.Run(name, func(t *testing.T) {
			if err := bySchema(t, s, []byte(text)); err == nil {
				t.Error("the schema accepts it")
			}
			if _, problems := rulefile.Parse([]byte(text)); rule.Problems(problems).Err() == nil {
				t.Error("Parse accepts it")
			}
		})
	}
}

// The names a field may have are in the types' tags for the schema, and in
// Validate for its messages.
func TestSchemaAndValidateKnowTheSameNames(t *testing.T) {
	var schema jsonschema.Schema
	if err := json.Unmarshal(rule.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	c := rule.Default()
	c.Storage.Buckets = map[string]rule.Bucket{"abc": {}, "xyz": {}}
	r := rule.DefaultRule()
	r.Name, r.Source.Bucket, r.Destination.Bucket = "m", "abc", "xyz"
	r.Conflict, r.StorageClass, r.SSE.Mode = "?", "?", "?"
	c.Storage.Replication.Rules = []rule.Rule{r}
	said := rule.Problems(rule.Validate(c)).In("")

	for _, at := range [][2]string{{"Rule", "conflict"}, {"Rule", "storage_class"}, {"SSE", "mode"}} {
		property, ok := schema.Definitions[at[0]].Properties.Get(at[1])
		if !ok {
			t.Fatalf("no property %s", at)
		}
		var names []string
		for _, name := range property.Enum {
			names = append(names, name.(string))
		}
		if list := "(" + strings.Join(names, ", ") + ")"; !strings.Contains(said, list) {
			t.Errorf("the schema allows %s %s; Validate says:\n%s", at[1], list, said)
		}
	}
}
