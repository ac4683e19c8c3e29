package e2e

import (
	"maps"
	"net/http"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// verifyBody is a verification as the API tells it.
type verifyBody struct {
	ID      int64            `json:"verification_id"`
	Status  *run.State       `json:"status"`
	Verdict string           `json:"verdict"`
	Scanned int64            `json:"objects_scanned"`
	Bytes   int64            `json:"bytes_compared"`
	Counts  map[string]int64 `json:"counts"`
	Samples []struct {
		Key    string `json:"dest_key"`
		Class  string `json:"class"`
		Reason string `json:"reason"`
		Why    string `json:"why"`
	} `json:"samples"`
	Repair *struct {
		Method  string `json:"method"`
		Path    string `json:"path"`
		Objects int64  `json:"objects"`
		Left    int64  `json:"left"`
	} `json:"repair"`
	Detail string `json:"detail"`
}

// verify compares both sides of a rule to the end.
func (s *stage) verify(t *testing.T, rule, mode string) verifyBody {
	t.Helper()
	var v verifyBody
	s.asked(t, http.StatusAccepted, http.MethodPost, "/jobs/"+rule+"/verify?mode="+mode, &v)
	await(t, func() (bool, error) {
		v = verifyBody{}
		s.asked(t, http.StatusOK, http.MethodGet, "/jobs/"+rule+"/verify", &v)
		return !v.Status.Active(), nil
	}, func() string { return "the end of " + v.Detail })
	return v
}

// written is every object below a prefix of a bucket, with its tag and its time.
func (s *stage) written(t *testing.T, bucket, prefix string) map[string]string {
	t.Helper()
	out, err := s.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range out.Contents {
		all[*o.Key] = *o.ETag + " " + o.LastModified.String()
	}
	return all
}

func TestAVerificationFindsEachKindOfDamageAndRepairsNothing(t *testing.T) {
	s := deployed(t)
	s.silence(t, "attic")
	const rule, prefix = "verified", "verified/"
	page := content{Body: "hello", ContentType: "text/html", Metadata: map[string]string{"by": "me"}, Tags: map[string]string{"state": "raw"}}
	names := []string{"flipped", "missing", "truncated", "bare", "untagged", "well", "ü 🙂+%20"}
	var replicas []object.Ref
	for _, name := range names {
		s.put(t, at{"attic", prefix + name}, page)
		replicas = append(replicas, object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "vault"}, Key: prefix + name})
	}
	s.runNow(t, rule)

	for _, mode := range []string{"metadata", "checksum", "bytes"} {
		v := s.verify(t, rule, mode)
		if v.Verdict != "clean" || v.Counts["matched"] != 7 || v.Scanned != 7 || v.Repair != nil || mode == "bytes" && v.Bytes != 35 {
			t.Errorf("a clean pair, by %s: %+v", mode, v)
		}
	}

	damaged := page
	damaged.Body = "hellO"
	s.put(t, at{"vault", prefix + "flipped"}, damaged)
	s.delete(t, at{"vault", prefix + "missing"})
	damaged.Body = "hell"
	s.put(t, at{"vault", prefix + "truncated"}, damaged)
	if _, err := s.S3.CopyObject(t.Context(), &s3.CopyObjectInput{
		Bucket: aws.String("vault"), Key: aws.String(prefix + "bare"), CopySource: aws.String("vault/" + prefix + "bare"),
		MetadataDirective: types.MetadataDirectiveReplace, ContentType: aws.String("text/html"),
	}); err != nil {
		t.Fatal(err)
	}
	s.tag(t, at{"vault", prefix + "untagged"}, nil)
	s.put(t, at{"vault", prefix + "extra"}, page)

	source, dest := s.written(t, "attic", prefix), s.written(t, "vault", prefix)
	facts, _, err := s.Ledger.Read(t.Context(), replicas, true)
	if err != nil {
		t.Fatal(err)
	}
	v := s.verify(t, rule, "bytes")
	got := map[string]string{}
	for _, f := range v.Samples {
		if f.Class != string(run.Matched) {
			got[f.Key] = f.Class + " " + f.Reason
		}
	}
	if want := map[string]string{
		prefix + "flipped": "mismatch bytes", prefix + "missing": "missing_on_dest missing", prefix + "truncated": "mismatch size",
		prefix + "bare": "mismatch metadata", prefix + "untagged": "mismatch tags", prefix + "extra": "orphan_on_dest not_ours",
	}; !maps.Equal(got, want) {
		t.Errorf("found %v, want %v: %+v", got, want, v)
	}
	if v.Verdict != "differs" || v.Counts["matched"] != 2 || v.Scanned != 8 || v.Repair == nil || v.Repair.Objects != 4 || v.Repair.Left != 2 ||
		v.Repair.Path != "/jobs/"+rule+"/run-now?compare=bytes" {
		t.Errorf("%+v", v)
	}
	after, _, err := s.Ledger.Read(t.Context(), replicas, true)
	if err != nil {
		t.Fatal(err)
	}
	for at, fact := range facts {
		if after[at].Revision != fact.Revision {
			t.Errorf("it wrote the ledger's item of %s", at)
		}
	}
	if len(after) != len(facts) || !maps.Equal(s.written(t, "attic", prefix), source) || !maps.Equal(s.written(t, "vault", prefix), dest) {
		t.Error("it wrote to a bucket")
	}

	// The run that it offers does what it said.
	var repair runBody
	s.asked(t, http.StatusOK, v.Repair.Method, v.Repair.Path, &repair)
	if repair.Status != run.Succeeded {
		t.Errorf("the repair is %+v, offered was %+v", repair, *v.Repair)
	}
	for _, name := range []string{"flipped", "missing", "truncated", "untagged"} {
		s.holds(t, at{"vault", prefix + name}, page)
	}
	left := s.verify(t, rule, "bytes")
	if left.Counts["missing_on_dest"] != 0 || left.Counts["mismatch"]+left.Counts["orphan_on_dest"] != v.Repair.Left {
		t.Errorf("after the repair: %+v", left)
	}
}
