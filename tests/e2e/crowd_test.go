package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"bucket-replicator/shared/object"
)

func TestABurstArrivesAndEachIsCopiedOnce(t *testing.T) {
	s := deployed(t)
	const objects = 300
	s.putMany(t, "scans", "old/burst/", objects)
	await(t, func() (bool, error) {
		found, err := s.list(t, "library", "new/burst/")
		return len(found) == objects, err
	}, func() string { return "the replicas of the burst" })
	s.settles(t)
	s.sameObjects(t, at{"scans", "old/burst/"}, at{"library", "new/burst/"})

	copies := map[string]int{}
	outcomes, err := s.outcomes(t.Context(), "reroot", at{bucket: "scans"})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Result == "copied" && strings.HasPrefix(o.Key, "old/burst/") {
			copies[o.Key]++
		}
	}
	for key, n := range copies {
		if n != 1 {
			t.Errorf("%s was copied %d times", key, n)
		}
	}
	// The log of a crowded local cloud lacks a line now and then; the ledger does
	// not.
	var replicas []object.Ref
	for i := range objects {
		replicas = append(replicas, object.Ref{
			Bucket: object.Bucket{Backend: object.AWS, Name: "library"}, Key: fmt.Sprintf("new/burst/%05d", i),
		})
	}
	recorded, _, err := s.Ledger.Read(t.Context(), replicas, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(recorded) != objects || len(copies) == 0 {
		t.Errorf("%d copies were recorded, %d were logged", len(recorded), len(copies))
	}
}

// putMany writes so many small objects under a prefix.
func (s *stage) putMany(t *testing.T, bucket, prefix string, n int) {
	t.Helper()
	var puts errgroup.Group
	puts.SetLimit(8)
	for i := range n {
		puts.Go(func() error {
			_, err := s.S3.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &bucket, Key: aws.String(fmt.Sprintf("%s%05d", prefix, i)), Body: strings.NewReader(strconv.Itoa(i)),
			})
			return err
		})
	}
	if err := puts.Wait(); err != nil {
		t.Fatal(err)
	}
}

// Every event comes in random order, a third of them twice, and a tenth only
// after all others were handled. They are the test's own, and have what the
// local S3 leaves out: version ids.
func TestDisorderEndsWithTheSourceAsItIs(t *testing.T) {
	s := deployed(t)
	s.silence(t, "quiet")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	const changes, keys = 500, 120
	var told []news
	written := map[string]bool{}
	for i := range changes {
		n := news{at: at{"quiet", fmt.Sprintf("disorder/%03d", random.IntN(keys))}, sequencer: i + 1}
		if random.IntN(10) < 7 || !written[n.at.key] {
			body := strconv.Itoa(i)
			out := s.put(t, n.at, text(body))
			n.kind, n.etag, n.size, n.versionID = "Object Created", strings.Trim(*out.ETag, `"`), len(body), aws.ToString(out.VersionId)
			written[n.at.key] = true
		} else {
			out := s.delete(t, n.at)
			n.kind, n.marker, n.versionID = "Object Deleted", true, aws.ToString(out.VersionId)
		}
		told = append(told, n)
		if i%3 == 0 {
			told = append(told, n)
		}
	}
	random.Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] })
	var bodies []string
	messages := map[string]int{} // by key
	for _, n := range told {
		bodies = append(bodies, n.body(t))
		messages[n.at.key]++
	}
	late := len(bodies) / 10
	s.sendAll(t, bodies[late:])
	s.settles(t)
	s.sendAll(t, bodies[:late])
	s.settles(t)
	s.sameObjects(t, at{"quiet", "disorder/"}, at{"shuffled", "disorder/"})

	copied := map[string]int{}
	outcomes, err := s.outcomes(t.Context(), "shuffle", at{bucket: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, o := range outcomes {
		switch {
		case !strings.HasPrefix(o.Key, "disorder/"):
		case o.Result == "copied":
			copied[o.Key]++
			total++
		case o.Result == "failed" || o.Result == "crashed":
			t.Errorf("%s of %s: %s", o.Result, o.Key, o.Error)
		}
	}
	// All events came after all changes, so one copy brings a key up to date.
	// Workers that race make more on the local S3, which ignores the condition.
	for key, n := range copied {
		if n > messages[key] {
			t.Errorf("%s was copied %d times for %d messages", key, n, messages[key])
		}
	}
	t.Logf("%d messages about %d changes of %d keys: %d copies of %d keys", len(told), changes, keys, total, len(copied))
}

// sendAll puts messages into the events queue, ten at a time.
func (s *stage) sendAll(t *testing.T, bodies []string) {
	t.Helper()
	for batch := range slices.Chunk(bodies, 10) {
		in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(s.Stack.Outputs[events])}
		for i, body := range batch {
			in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
		}
		out, err := s.sqs.SendMessageBatch(t.Context(), in)
		if err == nil && len(out.Failed) > 0 {
			err = errors.New(aws.ToString(out.Failed[0].Message))
		}
		if err != nil {
			t.Fatalf("send a batch: %v", err)
		}
	}
}

// list answers the tags of the objects under a prefix, by what follows it.
func (s *stage) list(t *testing.T, bucket, prefix string) (map[string]string, error) {
	t.Helper()
	found := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(s.S3, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			found[strings.TrimPrefix(*o.Key, prefix)] = *o.ETag
		}
	}
	return found, nil
}

// sameObjects fails unless both prefixes hold the same names with the same
// bytes.
func (s *stage) sameObjects(t *testing.T, source, destination at) {
	t.Helper()
	want, err := s.list(t, source.bucket, source.key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.list(t, destination.bucket, destination.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, etag := range want {
		switch found, ok := got[name]; {
		case !ok:
			t.Errorf("%s is missing at the destination", name)
		case found != etag:
			t.Errorf("%s has other bytes at the destination", name)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is at the destination and not at the source", name)
	}
}
