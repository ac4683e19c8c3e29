package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/rule/rulefile"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// The rules that are deployed here are those that the import prints, so that what
// the next test sees is what the two files lead to.
func TestWhatIsDeployedIsWhatTheImportPrints(t *testing.T) {
	s := deployed(t)
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	samples := filepath.Join(root, "shared", "rule", "foreign", "testdata")
	printed := s.make(t, "import", "-format", "s3", "-bucket", "team-zurich team-geneva",
		"-file", filepath.Join(samples, "exoscale-zurich.json")+" "+filepath.Join(samples, "exoscale-geneva.json"))
	imported, problems := rulefile.Parse([]byte(printed))
	if err := rule.Problems(problems).Err(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("replication.yaml")
	if err != nil {
		t.Fatal(err)
	}
	own, problems := rulefile.Parse(text)
	if err := rule.Problems(problems).Err(); err != nil {
		t.Fatal(err)
	}
	var deployed []rule.Rule
	for _, r := range own.Storage.Replication.Rules {
		if strings.HasPrefix(r.Name, "both-ways") {
			deployed = append(deployed, r)
		}
	}
	if want := imported.Storage.Replication.Rules; len(want) != 2 || !reflect.DeepEqual(deployed, want) {
		t.Errorf("deployed are\n%+v\nimported\n%+v", deployed, want)
	}
}

// Exoscale's example: two buckets that replicate to each other.
func TestTwoBucketsReplicateToEachOther(t *testing.T) {
	s := deployed(t)
	const zurich, geneva = "team-zurich", "team-geneva"
	put := map[at]string{}
	for _, from := range []at{{zurich, "shared/z1"}, {zurich, "shared/z2"}, {geneva, "shared/g1"}, {geneva, "shared/g2"}} {
		put[from] = "written in " + from.bucket
		s.put(t, from, text(put[from]))
	}
	s.put(t, at{zurich, "private/z3"}, text("stays"))
	other := map[string]string{zurich: geneva, geneva: zurich}
	leads := map[string]string{zurich: "both-ways", geneva: "both-ways-2"}
	for from, body := range put {
		s.told(t, leads[from.bucket], from, "copied missing")
		s.told(t, leads[other[from.bucket]], at{other[from.bucket], from.key}, "skipped echo")
		s.holds(t, at{other[from.bucket], from.key}, text(body))
	}
	s.settles(t)
	for bucket := range other {
		versions, markers := s.history(t, at{bucket, "shared/"})
		if len(versions) != 4 || len(markers) > 0 {
			t.Errorf("%s has %v and the markers %v: 4 objects were written, each once", bucket, versions, markers)
		}
	}
	for from := range put {
		s.stands(t, from, leads[from.bucket], "source", "COMPLETED")
		s.stands(t, at{other[from.bucket], from.key}, leads[from.bucket], "destination", "REPLICA")
	}

	// On either side, of an object where it was written and of a replica.
	deletes := []at{{zurich, "shared/z1"}, {zurich, "shared/g1"}, {geneva, "shared/g2"}}
	for _, where := range deletes {
		there := at{other[where.bucket], where.key}
		s.delete(t, where)
		await(t, func() (bool, error) {
			_, found, err := s.get(t.Context(), there)
			return !found, err
		}, func() string { return fmt.Sprintf("the delete of %s to reach %s", where, there) })
	}
	s.settles(t)
	for bucket := range other {
		versions, markers := s.history(t, at{bucket, "shared/"})
		if len(versions) != 4 || len(markers) != len(deletes) {
			t.Errorf("%s has %v and the markers %v: %d were deleted, a marker for each", bucket, versions, markers, len(deletes))
		}
		for _, what := range deletes {
			if markers[what.key] != 1 {
				t.Errorf("%s has %d markers of %s, want one", bucket, markers[what.key], what.key)
			}
		}
		if versions, markers := s.history(t, at{bucket, "private/"}); len(markers) > 0 || len(versions) > 0 && bucket == geneva {
			t.Errorf("outside the prefix %s has %v, %v", bucket, versions, markers)
		}
	}
}

// history counts what S3 itself has on record of the keys that begin so: the
// versions, each of which somebody wrote, and the markers.
func (s *stage) history(t *testing.T, of at) (versions, markers map[string]int) {
	t.Helper()
	out, err := s.S3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: &of.bucket, Prefix: &of.key})
	if err != nil {
		t.Fatal(err)
	}
	versions, markers = map[string]int{}, map[string]int{}
	for _, v := range out.Versions {
		versions[*v.Key]++
	}
	for _, m := range out.DeleteMarkers {
		markers[*m.Key]++
	}
	for key, n := range versions {
		if n != 1 {
			t.Errorf("%s/%s was written %d times", of.bucket, key, n)
		}
	}
	return versions, markers
}

// stands fails unless the API says of the object that it has this role and status
// under the rule.
func (s *stage) stands(t *testing.T, what at, ruleName, role, status string) {
	t.Helper()
	var answer struct {
		Rules []struct{ Rule, Role, Status, Detail string }
	}
	s.asked(t, http.StatusOK, http.MethodGet, "/objects?"+url.Values{"bucket": {what.bucket}, "key": {what.key}}.Encode(), &answer)
	for _, r := range answer.Rules {
		if r.Rule == ruleName {
			if r.Role != role || r.Status != status {
				t.Errorf("%s under %s is %+v, want %s as %s", what, ruleName, r, status, role)
			}
			return
		}
	}
	t.Errorf("%s: the API knows of %+v, not of %s", what, answer.Rules, ruleName)
}

// The local S3 replicates, as S3 does. Its replicas are adopted when the rule that
// takes over is asked to, and deletes reach them from then on.
func TestWhatS3ItselfReplicatedIsAdopted(t *testing.T) {
	s := deployed(t)
	source, replica := at{"drafts", "left/by S3"}, at{"archive", "left/by S3"}
	if _, err := s.S3.PutBucketReplication(t.Context(), &s3.PutBucketReplicationInput{
		Bucket: &source.bucket,
		ReplicationConfiguration: &types.ReplicationConfiguration{
			Role: aws.String("arn:aws:iam::000000000000:role/replication"),
			Rules: []types.ReplicationRule{{
				ID: aws.String("old"), Status: types.ReplicationRuleStatusEnabled, Priority: aws.Int32(1),
				Filter:                  &types.ReplicationRuleFilter{Prefix: aws.String("left/")},
				DeleteMarkerReplication: &types.DeleteMarkerReplication{Status: types.DeleteMarkerReplicationStatusDisabled},
				Destination:             &types.Destination{Bucket: aws.String("arn:aws:s3:::" + replica.bucket)},
			}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	s.put(t, source, text("replicated by S3"))
	s.told(t, "versions", source, "skipped identical")
	printed := s.make(t, "import", "-bucket", source.bucket)
	if !strings.Contains(printed, "make adopt RULE=old") || !strings.Contains(printed, fmt.Sprintf("%q in %s", "left/*", replica.bucket)) {
		t.Errorf("the import says\n%s", printed)
	}
	if _, err := s.S3.DeleteBucketReplication(t.Context(), &s3.DeleteBucketReplicationInput{Bucket: &source.bucket}); err != nil {
		t.Fatal(err)
	}
	// A person's own, with the same bytes.
	s.put(t, at{source.bucket, "left/on both sides"}, text("the same"))
	s.put(t, at{replica.bucket, "left/on both sides"}, text("the same"))
	s.settles(t)

	if said := s.make(t, "adopt", "versions"); !strings.Contains(said, "(1 of them adopted)") {
		t.Errorf("make adopt says %s", said)
	}
	s.delete(t, source)
	s.delete(t, at{source.bucket, "left/on both sides"})
	s.told(t, "versions", source, "skipped identical", "deleted removed")
	s.settles(t)
	s.isAbsent(t, replica)
	s.holds(t, at{replica.bucket, "left/on both sides"}, text("the same"))
}
