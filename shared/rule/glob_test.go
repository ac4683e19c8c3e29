package rule

import (
	"strings"
	"testing"

	"github.com/gobwas/glob"
)

func TestGlobTakesLinearTime(t *testing.T) {
	// Each would keep a backtracking matcher busy for hours. The test has no
	// clock: it would not end.
	keys := []string{"b" + strings.Repeat("a", 1023), "b" + strings.Repeat("/a", 511) + "a"}
	for _, pattern := range []string{"*[ab]", "*?", "*a", "**[ab]", "{**,a}", "**/a/", "{a/,**/a}"} {
		g, err := compileGlob(strings.Repeat(pattern, 20) + "ab?")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			if g.MatchString(key) {
				t.Errorf("%s matches %q", g, key)
			}
		}
	}
}

func TestGlobLongerThanAnyKeyIsRefused(t *testing.T) {
	if _, err := compileGlob(strings.Repeat("a", 1025)); err == nil {
		t.Error("no error")
	}
}

// FuzzGlob compares with the library whose syntax and meaning globs have.
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"**/x", "x"}, {"**/x", "a/b/x"}, {"a/**/b", "a/b"}, {"a/**", "a/"}, {"a**/b", "a/b"}, {"*", ""}, {"*", "a/b"},
		{"{a,b/}**/x", "b/x"}, {"{a/,b/}**/x", "b/x"}, {"{,a/}**/x", "x"}, {"**/**/x", "x"}, {"[!a]", "/"}, {"[a-c]x", "bx"},
		{`[\]^-]`, "^"}, {`\*\\`, `*\`}, {"?.tmp", "ü.tmp"}, {"a.b", "axb"}, {"**\n", "a\n"}, {"{a,{b,c}d}", "cd"}, {"***/x", "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if len(pattern) > 30 || len(key) > 30 {
			return // theirs might not come back
		}
		theirs, err := glob.Compiler{Separators: []rune{'/'}, Globstar: true}.Compile(pattern)
		ours, err2 := compileGlob(pattern)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%q: they say %v, we say %v", pattern, err, err2)
		}
		if err == nil && theirs.Match(key) != ours.MatchString(key) {
			t.Fatalf("%q as %s: %q matches theirs: %t, ours: %t", pattern, ours, key, theirs.Match(key), ours.MatchString(key))
		}
	})
}

func BenchmarkGlob(b *testing.B) {
	g, err := compileGlob("**/*-{access,error}-*.log")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		g.MatchString("logs/2026/11/20/frontend-access-7f3a.log")
	}
}
