package rule_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"bucket-replicator/shared/rule"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "30s": 30 * time.Second, "15m": 15 * time.Minute, "24h": 24 * time.Hour,
		"7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1d0h5s": 24*time.Hour + 5*time.Second,
		"1.5h": 90 * time.Minute, "36500d": 876_000 * time.Hour,
	} {
		if got, err := rule.ParseDuration(text); err != nil || time.Duration(got) != want {
			t.Errorf("%q is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "h", "-1h", "+1h", "1d-2h", "1d+2h", "12h1d", "1d1d", "1.5d", " 1h", "1h ", "1 d",
		"36501d", "99999999999d", "106000d24000000h", "2562048h", "1w", "soon"} {
		if got, err := rule.ParseDuration(text); err == nil {
			t.Errorf("%q is taken for %s", text, got)
		}
	}
}

func TestDurationString(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", 10 * time.Minute: "10m", 24 * time.Hour: "24h", 100 * time.Hour: "100h",
		48 * time.Hour: "2d", 90 * time.Minute: "1h30m", time.Hour + 5*time.Second: "1h0m5s",
	} {
		if got := rule.Duration(d).String(); got != want {
			t.Errorf("%d ns is written %q, want %q", d, got, want)
		}
	}
}

func TestDurationIsLeftAloneByARefusedText(t *testing.T) {
	d := rule.Duration(time.Hour)
	if err := d.UnmarshalText([]byte("soon")); err == nil || d != rule.Duration(time.Hour) {
		t.Errorf("it is %s, %v", d, err)
	}
}

func TestRuleFromJSONHasDefaults(t *testing.T) {
	var got rule.Rule
	text := `{"name":"m","source":{"bucket":"photos"},"destination":{"bucket":"copies"},"max_deletes":{"count":7},"exclude_globs":["x"]}`
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := mirror("m")
	want.MaxDeletes.Count, want.ExcludeGlobs = 7, []string{"x"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is\n%+v\nwant\n%+v", got, want)
	}
}

func TestRuleSurvivesJSON(t *testing.T) {
	want := with(mirror("m"), disabled, include("a"), exclude(), gold, priority(-1))
	want.ExistingObjects, want.ReplicateTags, want.MaxDeletes = false, false, rule.MaxDeletes{}
	want.Interval, want.SSE.Mode = rule.Duration(36*time.Hour), "AES256"
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got rule.Rule
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s reads back as\n%+v, %v\nwant\n%+v", text, got, err, want)
	}
}

func TestNearest(t *testing.T) {
	fields := []string{"name", "enabled", "source", "destination", "batch_size", "replicate_deletes", "replicate_tags", "min_size", "max_size", "sse", "tags"}
	for name, want := range map[string]string{
		"nmae": "name", "Name": "name", "batchSize": "batch_size", "batch-size": "batch_size", "soruce": "source",
		"dest": "destination", "enable": "enabled", "replicate_delete": "replicate_deletes", "max_sizes": "max_size",
		"colour": "", "x": "", "": "", "retention": "",
	} {
		if got := rule.Nearest(name, fields); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}

func TestProblemsRender(t *testing.T) {
	ps := rule.Problems{
		{Path: "storage.buckets", Line: 3, Message: "is missing"},
		{Path: "storage.replication", Message: "is odd", Warning: true},
	}
	want := "replication.yaml:3: storage.buckets: is missing\nreplication.yaml: warning: storage.replication: is odd\n"
	if got := ps.In("replication.yaml"); got != want {
		t.Errorf("rendered:\n%swant:\n%s", got, want)
	}
	if err := ps.Err(); err == nil || err.Error() != "3: storage.buckets: is missing" {
		t.Errorf("error is %v", err)
	}
	if err := ps[1:].Err(); err != nil {
		t.Errorf("a warning alone is an error: %v", err)
	}
}
