package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// The local S3 sends no events of tags, so the test does.
func TestTagsTravelAfterTheObject(t *testing.T) {
	s := deployed(t)
	t.Run("to a replica that has others", func(t *testing.T) {
		source, replica := at{"photos", "retagged"}, at{"backup", "retagged"}
		s.put(t, source, content{Body: "x", ContentType: "text/plain", Tags: map[string]string{"state": "raw", "by": "me"}})
		s.told(t, "mirror", source, "copied missing")
		for i, step := range []struct {
			kind string
			tags map[string]string
		}{
			{"Object Tags Added", map[string]string{"state": "developed"}},
			{"Object Tags Deleted", map[string]string{}},
		} {
			s.tag(t, source, step.tags)
			before, err := s.outcomes(t.Context(), "mirror", source)
			if err != nil {
				t.Fatal(err)
			}
			s.send(t, events, news{kind: step.kind, at: source, sequencer: i + 1}.body(t))
			s.told(t, "mirror", source, append(words(before), "retagged tags_only")...)
			s.holds(t, replica, content{Body: "x", ContentType: "text/plain", Tags: step.tags})
		}
	})
	t.Run("by a rule that chooses by tags", func(t *testing.T) {
		source, replica := at{"site", "pages/index.html"}, at{"public", "index.html"}
		page := content{Body: "<p>", ContentType: "text/html"}
		s.put(t, source, page)
		s.told(t, "published", source, "skipped excluded")
		s.isAbsent(t, replica)
		page.Tags = map[string]string{"publish": "yes", "other": "tag"}
		s.tag(t, source, page.Tags)
		s.send(t, events, news{kind: "Object Tags Added", at: source}.body(t))
		s.told(t, "published", source, "skipped excluded", "copied missing")
		s.holds(t, replica, page)
	})
}

// The local S3 restores in two seconds; a look, which a tag filter needs, finds
// the object archived before that.
func TestAnArchivedObjectIsCopiedWhenItIsRestored(t *testing.T) {
	s := deployed(t)
	source, replica := at{"site", "pages/old.html"}, at{"public", "old.html"}
	page := content{Body: "<p>old", ContentType: "text/html", Tags: map[string]string{"publish": "yes"}}
	s.putIn(t, source, page, types.StorageClassGlacier)
	s.told(t, "published", source, "parked archived")
	s.isAbsent(t, replica)
	if _, err := s.S3.RestoreObject(t.Context(), &s3.RestoreObjectInput{
		Bucket: &source.bucket, Key: &source.key, RestoreRequest: &types.RestoreRequest{Days: aws.Int32(1)},
	}); err != nil {
		t.Fatal(err)
	}
	s.told(t, "published", source, "parked archived", "copied missing")
	s.holds(t, replica, page)
}

func TestWhatCannotBeDecodedEndsAmongTheDeadLettersAsItCame(t *testing.T) {
	s := deployed(t)
	body := "{\"detail-type\": \"Object Created\",\n\t\"source\": \"aws.s3\", \"detail\": \"ü ✂\"}"
	s.send(t, events, body)
	if got := s.takes(t, deadLetters); got != body {
		t.Errorf("the dead letter is %q, sent was %q", got, body)
	}
	s.settles(t)
}

func TestDeadLettersAreSentAgain(t *testing.T) {
	s := deployed(t)
	s.silence(t, "quiet")
	for queue, key := range map[string]string{deadLetters: "crashed once", undelivered: "never delivered"} {
		source := at{"quiet", key}
		out := s.put(t, source, text(key))
		s.send(t, queue, news{kind: "Object Created", at: source, etag: strings.Trim(*out.ETag, `"`), size: len(key), versionID: *out.VersionId}.body(t))
	}
	s.make(t, "redrive")
	for _, key := range []string{"crashed once", "never delivered"} {
		s.told(t, "shuffle", at{"quiet", key}, "copied missing")
		s.holds(t, at{"shuffled", key}, text(key))
	}
	s.settles(t)
}

// make runs what `make` runs for a target of that name, in a shell that sourced
// the local cloud's exports, and answers what it printed.
func (s *stage) make(t *testing.T, target ...string) string {
	t.Helper()
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", "./localstack"}, target...)...)
	cmd.Dir = root
	cmd.Env = slices.Concat(os.Environ(), []string{"AWS_PROFILE="}, s.Cloud.Environ())
	var notes strings.Builder
	cmd.Stderr = &notes
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", target, err, out, notes.String())
	}
	return string(out)
}

func TestAnEventOfAnUnknownTypeIsDropped(t *testing.T) {
	s := deployed(t)
	id := s.send(t, events, news{kind: "Object Reincarnated", at: at{"photos", "k"}}.body(t))
	await(t, func() (bool, error) {
		lines, err := s.Cloud.Logs(t.Context(), s.Stack.Outputs["ReplicateLogGroup"])
		for _, line := range lines {
			if strings.Contains(line, id) {
				if !strings.Contains(line, `"msg":"dropped"`) || !strings.Contains(line, `"event":"aws.s3: Object Reincarnated"`) {
					t.Fatalf("logged was %s", line)
				}
				return true, nil
			}
		}
		return false, err
	}, func() string { return "a log line about message " + id })
	s.settles(t)
}

func TestAPermanentFailureIsRecordedAndFinished(t *testing.T) {
	s := deployed(t)
	if _, err := s.S3.DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: aws.String("vanished")}); err != nil {
		t.Fatal(err)
	}
	source := at{"site", "lost/k"}
	s.put(t, source, text("x"))
	s.told(t, "lost", source, "failed")
	s.settles(t)
	failures, err := s.Ledger.Failures(t.Context(), "lost", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(failures) != 1 {
		t.Fatalf("recorded are %+v", failures)
	}
	f := failures[0]
	if f.Source.Key != source.key || f.Source.Bucket.Name != "site" || f.Dest.Bucket.Name != "vanished" || f.Dest.Key != "k" ||
		f.Code != "NoSuchBucket" || !strings.Contains(f.Advice, "Create the bucket") || !strings.Contains(f.Message, "vanished") ||
		f.Attempts != 1 || f.RetryAt.Before(time.Now()) {
		t.Errorf("recorded is %+v", f)
	}
}
