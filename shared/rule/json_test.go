package rule_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"bucket-replicator/shared/rule"
)

func TestEveryProblemOfAJSONTextIsFound(t *testing.T) {
	_, problems := rule.ParseConfig([]byte(`{"storage": {
		"buckets": {"abc": {"creat": true}, "xyz": {"versioned": "yes"}},
		"replication": {"tick_interval": 5, "rules": [
			{"name": "m", "source": {"bucket": "abc"}, "destination": {"bucket": "xyz"}, "batch_size": 1.5, "interval": "soon", "max_deletes": []},
			{"name": "m", "Enabled": false, "source": {"bucket": "abc"}, "destination": {"bucket": "xyz"}, "nothing like it": {}}
		]}}, "storage": {}}`))
	got := rule.Problems(problems).In("")
	const want = `: storage.buckets.abc.creat: is not a field; did you mean create?
: storage.buckets.xyz.versioned: is "yes", not true or false
: storage.replication.tick_interval: is 5, not a text
: storage.replication.rules[0].batch_size: is 1.5, not a whole number
: storage.replication.rules[0].interval: "soon" is not a duration such as 30s, 15m, 24h or 7d
: storage.replication.rules[0].max_deletes: is a list, not an object
: storage.replication.rules[1].Enabled: is not a field; did you mean enabled?
: storage.replication.rules[1].nothing like it: is not a field (name, enabled, source, destination, interval, batch_size, replicate_deletes, conflict, include_globs, exclude_globs, priority, existing_objects, delete_markers, replicate_lifecycle_deletes, max_deletes, tags, min_size, max_size, storage_class, sse, owner_override, replicate_tags, replicate_object_lock, replicate_website_redirects, limits, latency_target)
: storage: is given twice
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestWhatIsNoJSON(t *testing.T) {
	for text, want := range map[string]string{
		"":              "1: is not JSON: unexpected end of JSON input",
		"{\n\n\"a\": x": "3: is not JSON: invalid character 'x' looking for beginning of value",
		"{} {}":         "1: is not JSON: invalid character '{' after top-level value",
		"\"\xff\"":      "is not JSON: it is not UTF-8",
		"1":             "is 1, not an object",
	} {
		if _, problems := rule.ParseRule([]byte(text)); len(problems) != 1 || problems[0].String() != want {
			t.Errorf("%q: %v, want %s", text, problems, want)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	whole, err := json.Marshal(rule.DefaultRule())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"source":{"bucket":"a"},"tags":{"a":"b"},"interval":null,"limits":{"window":"22:00-06:00"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		// What is read without a problem is what the standard decoder reads.
		r, problems := rule.ParseRule(text)
		if len(problems) > 0 {
			return
		}
		var want rule.Rule
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if string(text) != "null" && !reflect.DeepEqual(r, want) {
			t.Errorf("%q:\n got %+v\nwant %+v", text, r, want)
		}
	})
}
