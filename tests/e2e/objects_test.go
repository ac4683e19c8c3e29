package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestObjectsArriveUnderTheRightNameWithAllTheyHave(t *testing.T) {
	s := deployed(t)
	full := content{
		Body: "\x00\xff any bytes \r\n", ContentType: "image/x-canon-cr2",
		Metadata: map[string]string{"camera": "EOS 5D", "place": "=?UTF-8?Q?K=C3=B6ln?="},
		Tags:     map[string]string{"rights": "mine + yours = ours", "empty": ""},
	}
	bare := content{ContentType: "application/octet-stream"}
	cases := []struct {
		name            string
		rule            string
		source, replica at
		content         content
	}{
		{name: "an escaped name is not unescaped", rule: "mirror", source: at{"photos", "a b+c%2F%20.txt"}, content: full},
		{name: "any language", rule: "mirror", source: at{"photos", "ü/日本/🙂.bin"}, content: full},
		{name: "an empty segment", rule: "mirror", source: at{"photos", "x//y"}, content: full},
		{name: "what means something in a URL", rule: "mirror", source: at{"photos", "=?&#.txt"}, content: full},
		{name: "the longest key", rule: "mirror", source: at{"photos", strings.Repeat("é", 512)}, content: full},
		{name: "no bytes", rule: "mirror", source: at{"photos", "empty"}, content: bare},
		{name: "more than one read", rule: "mirror", source: at{"photos", "large"}, content: text(strings.Repeat("0123456789abcdef", 1<<18))},
		{name: "re-rooted", rule: "reroot", source: at{"scans", "old/a b+c%2F%20.txt"}, replica: at{"library", "new/a b+c%2F%20.txt"}, content: full},
		{
			name: "the longest key, re-rooted", rule: "reroot",
			source:  at{"scans", "old/" + strings.Repeat("é", 510)},
			replica: at{"library", "new/" + strings.Repeat("é", 510)}, content: full,
		},
	}
	for _, c := range cases {
		s.put(t, c.source, c.content)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.replica == (at{}) {
				c.replica = at{"backup", c.source.key}
			}
			s.told(t, c.rule, c.source, "copied missing")
			s.holds(t, c.replica, c.content)
		})
	}
}

func TestWhatNeverTravels(t *testing.T) {
	s := deployed(t)
	for name, key := range map[string]string{
		"a directory marker":          "dir/",
		"a marker deeper down":        "dir/sub/",
		"what is excluded unasked":    ".deltaglider/x",
		"its directory marker":        ".deltaglider/",
		"what lies deeper down there": ".deltaglider/a/b",
	} {
		t.Run(name, func(t *testing.T) {
			s.put(t, at{"photos", key}, text("never copied"))
			s.told(t, "mirror", at{"photos", key}, "skipped excluded")
			s.isAbsent(t, at{"backup", key})
		})
	}
	t.Run("outside the prefix", func(t *testing.T) {
		s.put(t, at{"scans", "older/x"}, text("of no rule"))
		// Behind it in the queue, and so handled after it.
		s.put(t, at{"scans", "old/behind"}, text("of a rule"))
		s.told(t, "reroot", at{"scans", "old/behind"}, "copied missing")
		s.settles(t)
		s.told(t, "reroot", at{"scans", "older/x"})
		s.isAbsent(t, at{"library", "newer/x"})
	})
}

func TestOverwritesAndDeletesFollow(t *testing.T) {
	s := deployed(t)
	source, replica := at{"photos", "follows"}, at{"backup", "follows"}
	s.put(t, source, text("first"))
	s.told(t, "mirror", source, "copied missing")
	s.put(t, source, text("second"))
	s.told(t, "mirror", source, "copied missing", "copied changed")
	s.holds(t, replica, text("second"))
	s.delete(t, source)
	s.told(t, "mirror", source, "copied missing", "copied changed", "deleted removed")
	s.isAbsent(t, replica)
	s.put(t, source, text("third"))
	s.told(t, "mirror", source, "copied missing", "copied changed", "deleted removed", "copied missing")
	s.holds(t, replica, text("third"))
}

func TestAPersonsObjectAtTheDestinationSurvives(t *testing.T) {
	s := deployed(t)
	t.Run("one that was rewritten since", func(t *testing.T) {
		source, replica := at{"photos", "rewritten"}, at{"backup", "rewritten"}
		s.put(t, source, text("at the source"))
		s.told(t, "mirror", source, "copied missing")
		s.put(t, replica, text("by hand"))
		s.delete(t, source)
		s.told(t, "mirror", source, "copied missing", "skipped not_ours")
		s.holds(t, replica, text("by hand"))
	})
	t.Run("one that no rule ever wrote", func(t *testing.T) {
		source, replica := at{"photos", "theirs"}, at{"backup", "theirs"}
		s.put(t, replica, text("by hand"))
		s.send(t, events, news{kind: "Object Deleted", at: source}.body(t)) // the local S3 says nothing of a delete of nothing
		s.told(t, "mirror", source, "skipped not_ours")
		s.holds(t, replica, text("by hand"))
	})
	t.Run("a rule that keeps replicas", func(t *testing.T) {
		source, replica := at{"scans", "old/kept"}, at{"library", "new/kept"}
		s.put(t, source, text("kept"))
		s.told(t, "reroot", source, "copied missing")
		s.delete(t, source)
		s.told(t, "reroot", source, "copied missing", "skipped deletes_off")
		s.holds(t, replica, text("kept"))
	})
}

func TestADeleteOnAVersionedPairPutsOneMarker(t *testing.T) {
	s := deployed(t)
	source, replica := at{"drafts", "novel"}, at{"archive", "novel"}
	s.put(t, source, text("first draft"))
	s.told(t, "versions", source, "copied missing")
	s.delete(t, source)
	s.told(t, "versions", source, "copied missing", "deleted removed")
	s.delete(t, source) // another marker at the source, of which the local S3 does not tell
	s.send(t, events, news{kind: "Object Deleted", marker: true, at: source}.body(t))
	s.told(t, "versions", source, "copied missing", "deleted removed", "skipped gone")
	s.isAbsent(t, replica)
	if objects, markers := s.versions(t, replica); objects != 1 || markers != 1 {
		t.Errorf("the replica has %d versions and %d markers, want one of each", objects, markers)
	}
}

func TestAnEventThatComesAfterTheDeleteBringsNothingBack(t *testing.T) {
	s := deployed(t)
	s.silence(t, "quiet")
	source, replica := at{"quiet", "put and deleted"}, at{"shuffled", "put and deleted"}
	put := s.put(t, source, text("x"))
	deleted := s.delete(t, source)
	s.send(t, events, news{kind: "Object Deleted", marker: true, at: source, versionID: *deleted.VersionId, sequencer: 2}.body(t))
	s.told(t, "shuffle", source, "skipped gone")
	s.send(t, events, news{kind: "Object Created", at: source, etag: strings.Trim(*put.ETag, `"`), size: 1, versionID: *put.VersionId, sequencer: 1}.body(t))
	s.told(t, "shuffle", source, "skipped gone", "skipped gone")
	if objects, markers := s.versions(t, replica); objects+markers != 0 {
		t.Errorf("the destination has %d versions and %d markers, want none", objects, markers)
	}
}

// versions counts an object's versions and delete markers.
func (s *stage) versions(t *testing.T, what at) (objects, markers int) {
	t.Helper()
	out, err := s.S3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &what.bucket, Prefix: &what.key})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range out.Versions {
		if *v.Key == what.key {
			objects++
		}
	}
	for _, m := range out.DeleteMarkers {
		if *m.Key == what.key {
			markers++
		}
	}
	return objects, markers
}

func TestAPairOfRulesSettles(t *testing.T) {
	s := deployed(t)
	paris, tokyo := at{"paris", "letter"}, at{"tokyo", "letter"}
	s.put(t, paris, text("bonjour"))
	s.told(t, "paris-to-tokyo", paris, "copied missing")
	s.told(t, "tokyo-to-paris", tokyo, "skipped echo") // of the replica's own event
	s.isNewSecond(t, paris)                            // the later write wins, and S3 tells times in seconds
	s.put(t, tokyo, text("konnichiwa"))
	s.told(t, "tokyo-to-paris", tokyo, "skipped echo", "copied newer")
	s.told(t, "paris-to-tokyo", paris, "copied missing", "skipped echo")
	s.settles(t)
	s.told(t, "tokyo-to-paris", tokyo, "skipped echo", "copied newer")
	s.told(t, "paris-to-tokyo", paris, "copied missing", "skipped echo")
	s.holds(t, paris, text("konnichiwa"))
	s.holds(t, tokyo, text("konnichiwa"))
}

// isNewSecond waits until a write would be later than that of the object.
func (s *stage) isNewSecond(t *testing.T, than at) {
	t.Helper()
	out, err := s.S3.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &than.bucket, Key: &than.key})
	if err != nil {
		t.Fatal(err)
	}
	await(t, func() (bool, error) { return time.Now().Truncate(time.Second).After(*out.LastModified), nil },
		func() string { return "the next second" })
}
