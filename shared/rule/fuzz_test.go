package rule_test

import (
	"strings"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

func FuzzReroot(f *testing.F) {
	f.Add("in/", "out/", "a b+c%2F%20.txt")
	f.Add("", "x", "x//y")
	f.Add("=?&#", "", "\U0001f642.bin")
	f.Fuzz(func(t *testing.T, from, to, rest string) {
		r := mirror("m")
		r.Source.Prefix, r.Destination.Prefix = from, to
		a := compile(t, r).Rule("m")
		source := object.Ref{Bucket: photos, Key: from + rest}
		dest := a.Dest(source.Key)
		if dest != (object.Ref{Bucket: copies, Key: to + rest}) {
			t.Fatalf("%s goes to %s", source, dest)
		}
		if back, ok := a.SourceOf(dest.Key); !ok || back != source {
			t.Fatalf("%s comes back as %s, %t", source, back, ok)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("in/", "out/", "**/*.txt", ".deltaglider/**", "in/a/b.txt")
	f.Add("", "", "{a,b}/[!x]?", `\*`, "a/yz")
	f.Add("a", "", "", "", "a")
	f.Fuzz(func(t *testing.T, from, to, in, out, key string) {
		r := mirror("m")
		r.Source.Prefix, r.Destination.Prefix, r.ExcludeGlobs = from, to, []string{out}
		if in != "" {
			r.IncludeGlobs = []string{in}
		}
		s, err := rule.Compile(catalog(r))
		if err != nil {
			return // not a glob
		}
		got := s.Match(object.Ref{Bucket: photos, Key: key})
		if !strings.HasPrefix(key, from) {
			if len(got) > 0 {
				t.Fatalf("%q matches outside %q", key, from)
			}
			return
		}
		if len(got) != 1 {
			t.Fatalf("%q has %d matches under %q", key, len(got), from)
		}
		m := got[0]
		if !m.Excluded && (m.Dest.Key == "" || strings.HasSuffix(key, "/") || strings.HasSuffix(m.Dest.Key, "/")) {
			t.Fatalf("%q would be written as %q", key, m.Dest.Key)
		}
		if m.TooLong != (len(m.Dest.Key) > 1024) {
			t.Fatalf("a destination key of %d bytes: TooLong is %t", len(m.Dest.Key), m.TooLong)
		}
		r.IncludeGlobs, r.ExcludeGlobs = nil, nil
		if free := compile(t, r).Match(object.Ref{Bucket: photos, Key: key}); free[0].Excluded && !m.Excluded {
			t.Fatalf("a glob lets %q in that is excluded without", key)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, text := range []string{"30s", "15m", "24h", "7d", "1d12h", "36500d", "0s", "1.5h", "-1h", "d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := rule.ParseDuration(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is %d ns", text, d)
		}
		if again, err := rule.ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q is written %q and read back as %d ns, %v", text, d, again, err)
		}
	})
}
