package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"bucket-replicator/shared/rule"
)

func TestShortestPrefixesCoverTheOthers(t *testing.T) {
	for _, c := range []struct {
		name        string
		given, want []string
	}{
		{"none", nil, nil},
		{"the whole bucket covers everything", []string{"a/", "", "b"}, []string{""}},
		{"a prefix is no folder", []string{"logs-2026a/x", "logs-2026"}, []string{"logs-2026"}},
		{"siblings stay", []string{"b/", "a/", "a/x", "b/"}, []string{"a/", "b/"}},
	} {
		if got := shortest(c.given); !slices.Equal(got, c.want) {
			t.Errorf("%s: shortest(%q) = %q, want %q", c.name, c.given, got, c.want)
		}
	}
}

func TestPrefixesThatAPolicyCannotSayPermitMoreAndNeverLess(t *testing.T) {
	for prefix, want := range map[string]string{
		"":               "/*",
		"reports/":       "/reports/*",
		"a*b/":           "/a*",
		"who?/":          "/who*",
		"${aws:user}/":   "/*",
		"été/日本/":        "/été/*",
		"line\nbreak/":   "/line*",
		"plain space +/": "/plain space +/*",
	} {
		if got := objectsARN("aws", bucket{Name: "b"}, prefix); got != "arn:aws:s3:::b"+want {
			t.Errorf("%q becomes %s, want %s", prefix, got, want)
		}
	}
}

func TestPatternsAreFullBeforeAnotherIsBegun(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, strings.Repeat(string(rune('a'+i%26)), 63))
	}
	var got []string
	patterns := patternsFor(names)
	for i, p := range patterns {
		some := at(map[string]any(p), "detail", "bucket").(map[string]any)["name"].([]string)
		got = append(got, some...)
		if p.length() > 2048 {
			t.Errorf("pattern %d has %d characters", i, p.length())
		}
		if i+1 < len(patterns) && p.length()+len(`,""`)+63 <= 2048 {
			t.Errorf("pattern %d has room for one more", i)
		}
	}
	if !slices.Equal(got, names) {
		t.Errorf("the patterns name %d buckets, want %d in their order", len(got), len(names))
	}
	if patternsFor(nil) != nil {
		t.Error("a pattern for no bucket would match every bucket")
	}
}

func TestChunksKeepEveryElementInOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		list []string
		want string
	}{
		{"all fit", []string{"ab", "cd"}, "ab,cd"},
		{"exactly full", []string{"abcd", "e"}, "abcd|e"},
		{"one is too long by itself", []string{"a", "bcdefgh", "i"}, "a|bcdefgh|i"},
		{"one", []string{"abcdefgh"}, "abcdefgh"},
	} {
		var got []string
		for _, piece := range chunks(c.list, 4) {
			got = append(got, strings.Join(piece, ","))
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: %q, want %q", c.name, strings.Join(got, "|"), c.want)
		}
	}
}

// A rule that may be made at run time needs nothing that the stack does not give
// already: deployed beside the others it would change neither what the functions
// may do nor whose events they get.
func TestWhatTheAPILetsInIsCovered(t *testing.T) {
	pick := func(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }
	random := func(r *rand.Rand, name string) rule.Rule {
		made := rule.DefaultRule()
		made.Name, made.Enabled = name, r.IntN(5) > 0
		made.Source = rule.Side{Bucket: pick(r, "one", "two"), Prefix: pick(r, "", "a", "a/", "a/b/")}
		made.Destination = rule.Side{Bucket: pick(r, "two", "three"), Prefix: pick(r, "", "a", "a/", "a/b/")}
		made.ReplicateDeletes, made.DeleteMarkers = r.IntN(3) == 0, r.IntN(4) == 0
		made.ReplicateTags, made.OwnerOverride, made.ReplicateObjectLock = r.IntN(2) == 0, r.IntN(3) == 0, r.IntN(3) == 0
		if r.IntN(3) == 0 {
			made.Tags = map[string]string{"k": "v"}
		}
		made.SSE.KMSKey = pick(r, "", "", "alias/k")
		return made
	}
	covered := 0
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 0))
		storage := rule.Default().Storage
		storage.Replication.Enabled = r.IntN(10) > 0
		storage.Buckets = map[string]rule.Bucket{"one": {}, "two": {}, "three": {}}
		catalog := rule.Catalog{Storage: storage}
		for n := range 1 + r.IntN(5) {
			deployed := random(r, fmt.Sprint(n))
			catalog.Rules = append(catalog.Rules, rule.Stored{Rule: deployed, Deployed: true})
			storage.Replication.Rules = append(storage.Replication.Rules, deployed)
		}
		made := random(r, "made")
		if len(rule.Uncovered(catalog, made)) > 0 {
			continue
		}
		covered++
		before := newTopology(storage, "us-east-1")
		storage.Replication.Rules = append(storage.Replication.Rules, made)
		after := newTopology(storage, "us-east-1")
		if got, want := granted(after), granted(before); got != want {
			t.Fatalf("seed %d: %+v would need more:\n%s\nthan there is:\n%s", seed, made, got, want)
		}
	}
	if covered < 100 {
		t.Errorf("%d rules prove little", covered)
	}
}

// granted is what the functions may do in a topology, and whose events they get.
func granted(t topology) string {
	var said strings.Builder
	fmt.Fprintln(&said, t.sources(t.Home), slices.Compact(slices.Sorted(slices.Values(t.Keys))))
	for _, a := range []access{copying("aws", t.Buckets), looking("aws", t), identities(t)} {
		for _, action := range slices.Sorted(maps.Keys(a)) {
			fmt.Fprintln(&said, action, slices.Compact(slices.Sorted(slices.Values(a[action]))))
		}
	}
	return said.String()
}
