package events_test

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bucket-replicator/events"
)

const home = "https://bucket-replicator.invalid/events/"

// schemas compiles every schema, by its form.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent() // look into the message of an envelope, too
	names, err := fs.Glob(events.FS, "*.schema.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d schemas, %v", len(names), err)
	}
	for _, name := range names {
		if err := c.AddResource(home+name, document(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range names {
		s, err := c.Compile(home + name)
		if err != nil {
			t.Fatal(err)
		}
		compiled[strings.TrimSuffix(name, ".schema.json")] = s
	}
	return compiled
}

// document is the parsed JSON of a file.
func document(t *testing.T, name string) any {
	t.Helper()
	text, err := events.FS.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func samples(t *testing.T, form string) []string {
	t.Helper()
	names, err := fs.Glob(events.FS, "samples/"+form+"/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("found %d samples of %s, %v", len(names), form, err)
	}
	return names
}

func TestEachSampleFitsTheSchemaOfItsForm(t *testing.T) {
	for form, schema := range schemas(t) {
		for _, name := range samples(t, form) {
			if err := schema.Validate(document(t, name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestEachFolderOfSamplesHasItsSchema(t *testing.T) {
	folders, err := fs.ReadDir(events.FS, "samples")
	if err != nil {
		t.Fatal(err)
	}
	all := schemas(t)
	for _, f := range folders {
		if all[f.Name()] == nil && f.Name() != "dropped" && f.Name() != "undecodable" {
			t.Errorf("samples/%s has no schema", f.Name())
		}
	}
}

// The schemas say what is acted on, so they are of no use if they let through
// what is dropped or cannot be decoded.
func TestNoSchemaAcceptsWhatIsDroppedOrUndecodable(t *testing.T) {
	all := schemas(t)
	for _, name := range append(samples(t, "dropped"), samples(t, "undecodable")...) {
		text, err := events.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			v = string(text) // not even JSON
		}
		if path.Base(name) == "key-not-utf8.json" {
			continue // what an escape stands for is beyond a schema
		}
		for form, schema := range all {
			if schema.Validate(v) == nil {
				t.Errorf("%s fits %s", name, form)
			}
		}
		batch := map[string]any{"Records": []any{
			map[string]any{"messageId": "id", "receiptHandle": "receipt", "body": string(text)},
		}}
		if all["sqs-batch"].Validate(batch) == nil {
			t.Errorf("a batch with %s fits sqs-batch", name)
		}
	}
}
