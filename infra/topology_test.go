package main

import (
	"slices"
	"strings"
	"testing"
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
