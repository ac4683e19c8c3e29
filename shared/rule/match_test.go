package rule_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

func include(globs ...string) func(*rule.Rule) { return func(r *rule.Rule) { r.IncludeGlobs = globs } }
func exclude(globs ...string) func(*rule.Rule) { return func(r *rule.Rule) { r.ExcludeGlobs = globs } }

func TestMatchCoversKeys(t *testing.T) {
	for name, c := range map[string]struct {
		rule     rule.Rule
		key      string
		dest     string // empty: no match
		excluded bool
	}{
		"any key of a whole bucket":             {mirror("m"), "a b+c%2F%20.txt", "a b+c%2F%20.txt", false},
		"a key with two slashes":                {mirror("m"), "x//y", "x//y", false},
		"under the prefix":                      {between("m", "photos:in/", "copies:out/"), "in/a/b", "out/a/b", false},
		"the prefix stripped":                   {between("m", "photos:in/", "copies:"), "in/a", "a", false},
		"the prefix twice, stripped once":       {between("m", "photos:in/", "copies:"), "in/in/a", "in/a", false},
		"beside the prefix":                     {between("m", "photos:in/", "copies:"), "inn/a", "", false},
		"the prefix in another case":            {between("m", "photos:in/", "copies:"), "In/a", "", false},
		"a prefix is a plain string":            {between("m", "photos:logs-2026", "copies:old/"), "logs-2026a/x", "old/a/x", false},
		"a directory marker":                    {mirror("m"), "dir/", "dir/", true},
		"a key that would become a directory":   {between("m", "photos:in", "copies:out/"), "in", "out/", true},
		"the bookkeeping of a proxy":            {mirror("m"), ".deltaglider/x/y", ".deltaglider/x/y", true},
		"the bookkeeping deeper down is data":   {mirror("m"), "a/.deltaglider/x", "a/.deltaglider/x", false},
		"the default excludes given up":         {with(mirror("m"), exclude()), ".deltaglider/x", ".deltaglider/x", false},
		"globs see the whole source key":        {with(between("m", "photos:in/", "copies:out/"), exclude("in/*.tmp")), "in/a.tmp", "out/a.tmp", true},
		"globs do not see what is left":         {with(between("m", "photos:in/", "copies:out/"), exclude("*.tmp")), "in/a.tmp", "out/a.tmp", false},
		"globs do not see the destination":      {with(between("m", "photos:in/", "copies:out/"), exclude("out/**")), "in/a", "out/a", false},
		"a star stops at a slash":               {with(mirror("m"), exclude("a/*")), "a/b/c", "a/b/c", false},
		"two stars do not":                      {with(mirror("m"), exclude("a/**")), "a/b/c", "a/b/c", true},
		"two stars and a slash match nothing":   {with(mirror("m"), exclude("**/*.tmp")), "x.tmp", "x.tmp", true},
		"a question mark is one character":      {with(mirror("m"), exclude("?.tmp")), "ü.tmp", "ü.tmp", true},
		"included":                              {with(mirror("m"), include("*.jpg", "*.png")), "a.png", "a.png", false},
		"not among the included":                {with(mirror("m"), include("*.jpg", "*.png")), "a.gif", "a.gif", true},
		"exclude beats include":                 {with(mirror("m"), include("*.jpg"), exclude("a.*")), "a.jpg", "a.jpg", true},
		"a directory marker that is included":   {with(mirror("m"), include("**")), "dir/", "dir/", true},
		"a glob has no meaning beyond its text": {with(mirror("m"), exclude(`a.b`)), "axb", "axb", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := compile(t, c.rule).Match(object.Ref{Bucket: photos, Key: c.key})
			if c.dest == "" {
				if len(got) != 0 {
					t.Errorf("matches are %+v, want none", got)
				}
				return
			}
			want := object.Ref{Bucket: copies, Key: c.dest}
			if len(got) != 1 || got[0].Dest != want || got[0].Excluded != c.excluded || got[0].Outranked || got[0].TooLong {
				t.Errorf("matches are %+v, want %s, excluded %t", got, want, c.excluded)
			}
		})
	}
}

func TestMatchExcludesAKeyThatWouldBecomeNothing(t *testing.T) {
	m := compile(t, between("m", "photos:in", "copies:")).Match(object.Ref{Bucket: photos, Key: "in"})
	if len(m) != 1 || m[0].Dest.Key != "" || !m[0].Excluded {
		t.Errorf("matches are %+v, want an excluded one", m)
	}
}

func TestMatchKeepsBackendsApart(t *testing.T) {
	s := compile(t, between("here", "photos:", "copies:"), between("there", "far:", "copies:far/"))
	for at, want := range map[object.Bucket]string{photos: "here", far: "there"} {
		if m := s.Match(object.Ref{Bucket: at, Key: "k"}); len(m) != 1 || m[0].Rule.Name != want {
			t.Errorf("%s matches %+v, want %s", at, m, want)
		}
	}
	if m := s.Match(object.Ref{Bucket: copies, Key: "k"}); m != nil {
		t.Errorf("a bucket that is no source matches %+v", m)
	}
}

func TestMatchShowsKeysThatGrowTooLong(t *testing.T) {
	s := compile(t, between("m", "photos:", "copies:out/"))
	for size, want := range map[int]bool{1020: false, 1021: true} {
		m := s.Match(object.Ref{Bucket: photos, Key: strings.Repeat("k", size)})
		if len(m) != 1 || m[0].TooLong != want {
			t.Errorf("a key of %d bytes and 4 more: TooLong is not %t", size, want)
		}
	}
}

func TestMatchByPriority(t *testing.T) {
	type seen struct {
		Name      string
		Outranked bool
	}
	for name, c := range map[string]struct {
		rules []rule.Rule
		want  []seen
	}{
		"the higher one first, the lower one outranked": {
			[]rule.Rule{mirror("low"), with(mirror("high"), priority(1))},
			[]seen{{"high", false}, {"low", true}}},
		"to different keys": {
			[]rule.Rule{mirror("low"), with(between("high", "photos:", "copies:x/"), priority(1))},
			[]seen{{"high", false}, {"low", false}}},
		"to the same key by different prefixes": {
			[]rule.Rule{mirror("low"), with(between("high", "photos:k", "copies:k"), priority(1))},
			[]seen{{"high", false}, {"low", true}}},
		"the higher one excludes it": {
			[]rule.Rule{mirror("low"), with(mirror("high"), priority(1), exclude("key"))},
			[]seen{{"high", false}, {"low", false}}},
		"equal ones leave each other alone": {
			[]rule.Rule{mirror("b"), mirror("a")},
			[]seen{{"a", false}, {"b", false}}},
		"three in a row": {
			[]rule.Rule{mirror("c"), with(mirror("a"), priority(2)), with(mirror("b"), priority(1))},
			[]seen{{"a", false}, {"b", true}, {"c", true}}},
		"the higher one chooses by tags": {
			[]rule.Rule{mirror("low"), with(mirror("high"), priority(1), gold)},
			[]seen{{"high", false}, {"low", false}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []seen
			for _, m := range compile(t, c.rules...).Match(object.Ref{Bucket: photos, Key: "key"}) {
				got = append(got, seen{m.Rule.Name, m.Outranked})
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func gold(r *rule.Rule) { r.Tags = map[string]string{"tier": "gold"} }

func TestOutrankedForWhatTheHigherRuleChooses(t *testing.T) {
	large := func(r *rule.Rule) { r.MinSize = 100 }
	fresh := func(r *rule.Rule) { r.ExistingObjects = false }
	for name, c := range map[string]struct {
		high  func(*rule.Rule)
		state object.State
		want  bool
		tags  bool
	}{
		"it wants the tag, and the object has it":   {gold, object.State{Tags: map[string]string{"tier": "gold"}}, true, true},
		"it wants the tag, and the object lacks it": {gold, object.State{Tags: map[string]string{}}, false, true},
		"it wants large ones, and this is":          {large, object.State{Size: 100}, true, false},
		"it wants large ones, and this is not":      {large, object.State{Size: 99}, false, false},
		"it wants new ones, and this is":            {fresh, object.State{LastModified: since}, true, false},
		"it wants new ones, and this is not":        {fresh, object.State{LastModified: since.Add(-time.Second)}, false, false},
		"it wants everything":                       {priority(1), object.State{}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := compile(t, mirror("low"), with(mirror("high"), c.high, priority(1)))
			low := s.Match(object.Ref{Bucket: photos, Key: "key"})[1]
			if low.NeedsTags() != c.tags {
				t.Errorf("NeedsTags is %t", low.NeedsTags())
			}
			if got := low.OutrankedFor(c.state); got != c.want {
				t.Errorf("OutrankedFor is %t", got)
			}
		})
	}
}

func TestAdmits(t *testing.T) {
	sizes := func(low, high int64) func(*rule.Rule) {
		return func(r *rule.Rule) { r.MinSize, r.MaxSize = low, high }
	}
	for name, c := range map[string]struct {
		filter func(*rule.Rule)
		state  object.State
		want   bool
	}{
		"no filter, nothing known":      {priority(0), object.State{}, true},
		"as small as allowed":           {sizes(5, 9), object.State{Size: 5}, true},
		"smaller":                       {sizes(5, 9), object.State{Size: 4}, false},
		"as large as allowed":           {sizes(5, 9), object.State{Size: 9}, true},
		"larger":                        {sizes(5, 9), object.State{Size: 10}, false},
		"large, and no limit":           {sizes(5, 0), object.State{Size: 1 << 50}, true},
		"the tag among others":          {gold, object.State{Tags: map[string]string{"tier": "gold", "x": "y"}}, true},
		"the tag with another value":    {gold, object.State{Tags: map[string]string{"tier": "silver"}}, false},
		"no tags at all":                {gold, object.State{Tags: map[string]string{}}, false},
		"an empty value is not absence": {func(r *rule.Rule) { r.Tags = map[string]string{"k": ""} }, object.State{Tags: map[string]string{}}, false},
		"an empty value that is there":  {func(r *rule.Rule) { r.Tags = map[string]string{"k": ""} }, object.State{Tags: map[string]string{"k": ""}}, true},
		"too small to ask for its tags": {func(r *rule.Rule) { gold(r); r.MinSize = 1 }, object.State{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := compile(t, with(mirror("m"), c.filter)).Rule("m").Admits(c.state); got != c.want {
				t.Errorf("Admits is %t", got)
			}
		})
	}
}

func TestAdmitsRefusesToGuessTags(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an answer without tags; want a panic")
		}
	}()
	compile(t, with(mirror("m"), gold)).Rule("m").Admits(object.State{})
}

func TestSourceOf(t *testing.T) {
	a := compile(t, between("m", "photos:in/", "copies:out/")).Rule("m")
	if got, ok := a.SourceOf("out/x"); !ok || got != (object.Ref{Bucket: photos, Key: "in/x"}) {
		t.Errorf("the source of out/x is %v, %t", got, ok)
	}
	if got, ok := a.SourceOf("outer/x"); ok {
		t.Errorf("the source of outer/x is %v", got)
	}
}

func BenchmarkMatch(b *testing.B) {
	var rules []rule.Rule
	for _, folder := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		rules = append(rules, between(folder, "photos:"+folder+"/", "copies:"+folder+"/"))
	}
	s, err := rule.Compile(catalog(rules...))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s.Match(object.Ref{Bucket: photos, Key: "k/2026/11/20/file.jpg"})
	}
}
