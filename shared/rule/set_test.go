package rule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
)

var (
	photos = object.Bucket{Backend: "aws", Name: "photos"}
	copies = object.Bucket{Backend: "aws", Name: "copies"}
	far    = object.Bucket{Backend: "minio", Name: "photos"}
	since  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func catalog(rules ...rule.Rule) rule.Catalog {
	c := rule.Catalog{Revision: 1, Storage: config().Storage}
	for _, r := range rules {
		c.Rules = append(c.Rules, rule.Stored{Rule: r, Revision: 1, CreatedAt: since})
	}
	return c
}

func compile(t *testing.T, rules ...rule.Rule) *rule.Set {
	t.Helper()
	s, err := rule.Compile(catalog(rules...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// with is r after every change.
func with(r rule.Rule, changes ...func(*rule.Rule)) rule.Rule {
	for _, change := range changes {
		change(&r)
	}
	return r
}

func priority(n int) func(*rule.Rule) { return func(r *rule.Rule) { r.Priority = n } }
func disabled(r *rule.Rule)           { r.Enabled = false }
func markers(r *rule.Rule)            { r.DeleteMarkers = true }

func TestSetKnowsItsRulesAndBuckets(t *testing.T) {
	s := compile(t,
		between("low", "photos:", "copies:"),
		with(between("off", "third:", "plain:"), disabled),
		with(between("z", "photos:z/", "far:"), priority(5)),
		with(between("a", "photos:a/", "far:a/"), priority(5)))

	var names []string
	for _, a := range s.Rules() {
		names = append(names, a.Name)
	}
	if want := []string{"a", "z", "low"}; !slices.Equal(names, want) {
		t.Errorf("rules are %v, want %v: by priority, then by name", names, want)
	}
	a := s.Rule("a")
	if a == nil || a.SourceBucket != photos || a.DestBucket != far || !a.Since.Equal(since) || a.Paused {
		t.Errorf("rule a is %+v", a)
	}
	if s.Rule("off") != nil || s.Rule("none") != nil {
		t.Error("a disabled or unknown rule is there")
	}
	third, plain := object.Bucket{Backend: "aws", Name: "third"}, object.Bucket{Backend: "aws", Name: "plain"}
	if !s.IsSource(photos) || s.IsSource(copies) || s.IsSource(far) || s.IsSource(third) {
		t.Error("sources are not just aws/photos")
	}
	if !s.IsDestination(copies) || !s.IsDestination(far) || s.IsDestination(photos) || s.IsDestination(plain) {
		t.Error("destinations are not just aws/copies and minio/photos")
	}
}

func TestSetKeepsPausedRules(t *testing.T) {
	c := catalog(mirror("m"))
	c.Rules[0].Paused = true
	s, err := rule.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	if m := s.Match(object.Ref{Bucket: photos, Key: "k"}); len(m) != 1 || !m[0].Rule.Paused {
		t.Errorf("matches are %+v, want the paused rule", m)
	}
}

func TestSetOfSwitchedOffReplicationIsEmpty(t *testing.T) {
	c := catalog(mirror("m"))
	c.Storage.Replication.Enabled = false
	s, err := rule.Compile(c)
	if err != nil || len(s.Rules()) != 0 || s.IsSource(photos) {
		t.Errorf("set is %+v, %v; want an empty one", s, err)
	}
}

func TestCompileNamesEveryBrokenRule(t *testing.T) {
	_, err := rule.Compile(catalog(
		between("lost", "nowhere:", "copies:"),
		with(mirror("globs"), func(r *rule.Rule) { r.IncludeGlobs = []string{"{"} }),
		mirror("twin"), mirror("twin"),
		with(between("off", "nowhere:", "copies:"), disabled)))
	if err == nil {
		t.Fatal("no error")
	}
	for _, say := range []string{`rule "lost": bucket "nowhere" is not configured`, `rule "globs": glob "{"`, `rule "twin": the name is taken`} {
		if !strings.Contains(err.Error(), say) {
			t.Errorf("error is\n%v\nand does not say %s", err, say)
		}
	}
	if strings.Contains(err.Error(), "off") {
		t.Errorf("error names a disabled rule:\n%v", err)
	}
}

func TestOppositeMarkers(t *testing.T) {
	forth := between("forth", "photos:in/", "copies:out/")
	for name, c := range map[string]struct {
		back rule.Rule
		want bool
	}{
		"the same folders back":            {with(between("back", "copies:out/", "photos:in/"), markers), true},
		"back without markers":             {between("back", "copies:out/", "photos:in/"), false},
		"back, but disabled":               {with(between("back", "copies:out/", "photos:in/"), markers, disabled), false},
		"a wider folder, to other keys":    {with(between("back", "copies:", "photos:"), markers), false},
		"back to other keys":               {with(between("back", "copies:out/", "photos:else/"), markers), false},
		"back from a part only":            {with(between("back", "copies:out/part/", "photos:in/part/"), markers), false},
		"on to a third bucket":             {with(between("back", "copies:out/", "third:in/"), markers), false},
		"from the same name on a far side": {with(between("back", "far:out/", "photos:in/"), markers), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := compile(t, forth, c.back).Rule("forth").OppositeMarkers; got != c.want {
				t.Errorf("OppositeMarkers is %t", got)
			}
		})
	}
	t.Run("whole buckets back cover a folder of the same name", func(t *testing.T) {
		s := compile(t, between("forth", "photos:a/", "copies:a/"), with(between("back", "copies:", "photos:"), markers))
		if !s.Rule("forth").OppositeMarkers {
			t.Error("OppositeMarkers is false")
		}
	})
}

func TestRival(t *testing.T) {
	s := compile(t,
		with(between("r", "photos:", "copies:x/"), priority(1)),
		with(between("above", "third:", "copies:"), priority(2)),
		with(between("below", "third:", "copies:x/y/"), priority(0)),
		with(between("beside", "third:", "copies:x/"), priority(1)),
		with(between("elsewhere", "third:", "copies:z/"), priority(2)),
		with(between("another bucket", "third:", "far:x/"), priority(2)),
		with(between("disabled", "third:", "copies:"), priority(2), disabled))
	for other, want := range map[string]rule.Rank{
		"above": rule.Higher, "below": rule.Lower, "beside": rule.Equal,
		"elsewhere": rule.NoRival, "another bucket": rule.NoRival,
		"disabled": rule.NoRival, "unknown": rule.NoRival, "r": rule.NoRival, "": rule.NoRival,
	} {
		if got := s.Rival(s.Rule("r"), other); got != want {
			t.Errorf("%s ranks %d against r, want %d", other, got, want)
		}
	}
}

// AWS says of a bucket only its name, also where another backend sent the
// notification through it.
func TestAnEventOfAWSIsAboutTheOneBucketOfItsName(t *testing.T) {
	st := rule.Default().Storage
	st.Backends = []rule.Backend{{Name: "dr", Region: "eu-central-1"}, {Name: "hq", Endpoint: "https://hq.example"}, {Name: "lab", Endpoint: "https://lab.example"}}
	st.Buckets = map[string]rule.Bucket{
		"photos": {}, "far": {Backend: "dr"}, "scans": {Backend: "hq"}, "photos-hq": {Backend: "hq", Name: "photos"},
		"both-1": {Backend: "hq", Name: "both"}, "both-2": {Backend: "lab", Name: "both"},
	}
	set, err := rule.Compile(rule.Catalog{Storage: st})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"photos": "aws", "far": "dr", "scans": "hq", "both": "aws", "unknown": "aws"} {
		if got := set.Locate(object.Bucket{Backend: object.AWS, Name: name}); got != (object.Bucket{Backend: want, Name: name}) {
			t.Errorf("%s is %s, want it on %s", name, got, want)
		}
	}
	if of := (object.Bucket{Backend: "lab", Name: "scans"}); set.Locate(of) != of {
		t.Errorf("what a backend says of itself becomes %s", set.Locate(of))
	}
}
