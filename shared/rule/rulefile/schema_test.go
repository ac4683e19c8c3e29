package rulefile_test

import (
	"bytes"
	"encoding/json"
	"flag"
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

var update = flag.Bool("update", false, "write schema.json anew from the Go types")

func TestSchemaIsThatOfTheGoTypes(t *testing.T) {
	fresh := generateSchema(t)
	if *update {
		if err := os.WriteFile("schema.json", fresh, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(fresh, rulefile.Schema) {
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
	setDefaults(t, schema.Definitions["Rule"], rule.DefaultRule(), "enabled", "interval", "batch_size", "replicate_deletes",
		"conflict", "include_globs", "exclude_globs", "existing_objects", "replicate_tags", "latency_target")

	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
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
	doc, err := validator.UnmarshalJSON(bytes.NewReader(rulefile.Schema))
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
