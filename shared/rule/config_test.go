package rule_test

import (
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
)

// mirror is a rule that is valid where photos and copies are buckets.
func mirror(name string) rule.Rule {
	r := rule.DefaultRule()
	r.Name = name
	r.Source.Bucket, r.Destination.Bucket = "photos", "copies"
	return r
}

// between is a rule with "alias:prefix" on both sides.
func between(name, from, to string) rule.Rule {
	r := mirror(name)
	r.Source.Bucket, r.Source.Prefix, _ = strings.Cut(from, ":")
	r.Destination.Bucket, r.Destination.Prefix, _ = strings.Cut(to, ":")
	return r
}

// config is valid if the rules are: four buckets on AWS, one elsewhere.
func config(rules ...rule.Rule) rule.Config {
	c := rule.Default()
	c.Storage.Backends = []rule.Backend{{Name: "minio", Endpoint: "https://minio.example:9000", PathStyle: true}}
	c.Storage.Buckets = map[string]rule.Bucket{
		"photos": {}, "copies": {}, "third": {}, "plain": {Create: true},
		"far": {Backend: "minio", Name: "photos"},
	}
	c.Storage.Replication.Rules = rules
	return c
}

// expectOnly fails unless the problems are the one at path whose message
// contains say, or none where path is empty.
func expectOnly(t *testing.T, got []rule.Problem, path, say string, warning bool) {
	t.Helper()
	if path == "" && len(got) == 0 {
		return
	}
	if len(got) != 1 || got[0].Path != path || !strings.Contains(got[0].Message, say) || got[0].Warning != warning {
		t.Errorf("problems are:\n%swant one at %q (warning: %t) that says %q", rule.Problems(got).In("config"), path, warning, say)
	}
}
