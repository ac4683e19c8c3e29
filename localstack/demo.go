package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
)

// demo starts a cloud of its own, deploys localstack/demo.yaml and plays the
// scenes. It prints only what it saw, and fails where that is not the story.
func demo(ctx context.Context, out io.Writer) (err error) {
	root, err := server.Root()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, ".cache"), 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Join(root, ".cache"), "demo-")
	if err != nil {
		return err
	}
	started := time.Now()
	fmt.Fprint(out, "Bucket Replicator on a local cloud: real S3 events, queues and functions, no AWS account.\n\n")
	// Policies are evaluated, so that what is refused is refused as on AWS.
	c, err := cloud.Start(ctx, cloud.Options{Dir: dir, Env: []string{"AUTH=true"}, Out: out})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, c.Stop())
		if err != nil {
			fmt.Fprintf(out, "\nThe logs are in %s\n", dir)
			return
		}
		fmt.Fprintf(out, "\nThe local cloud is stopped, nothing is left running. %.0f s in all.\n", time.Since(started).Seconds())
		err = os.RemoveAll(dir)
	}()
	s := story{out: out, cloud: c}
	if err := s.before(ctx); err != nil {
		return err
	}
	if s.stack, err = c.Deploy(ctx, filepath.Join(root, "localstack", "demo.yaml")); err != nil {
		return err
	}
	s.api = operator{
		admin: admin{account: c.AWS(), url: cloud.AdminURL(c.URL(), s.stack.Outputs)},
		out:   indent{out}, notes: io.Discard, now: time.Now,
	}
	s.deployed()
	for i, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"New objects become replicas, whatever their names", s.newObjects},
		{"An excluded key is left alone", s.excludedKey},
		{"A delete follows, because the rule wrote the replica", s.replicatedDelete},
		{"What a person wrote at the destination survives the delete of its source", s.manualObject},
		{"Two opposite rules do not loop", s.oppositeRules},
		{"A run copies what was there before the rule", s.existingObjects},
		{"What fails says what to do, and heals when that is done", s.failure},
		{"A pause holds replication up, and resuming makes up for it", s.pause},
		{"Many deletes wait until somebody approves them", s.brake},
		{"Both sides are compared byte by byte, and what differs is mended when somebody says so", s.verification},
	} {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, scene.title)
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("scene %d: %w", i+1, err)
		}
	}
	return s.totals(ctx)
}

// before puts objects of which no event will tell.
func (s *story) before(ctx context.Context) error {
	fmt.Fprintln(s.out, "\nBefore anything is deployed")
	if _, err := s.cloud.S3().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("attic")}); err != nil {
		return err
	}
	for _, name := range []string{"1997.txt", "1998.txt", "box/1999.txt"} {
		if err := s.put(ctx, object{"attic", name}, []byte("album")); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.out)
	return nil
}

// deployed tells what now runs, from the configuration and the stack's outputs.
func (s *story) deployed() {
	fmt.Fprintln(s.out, "\nWhat is deployed")
	storage := s.stack.Config.Storage
	for _, r := range storage.Replication.Rules {
		var but []string
		if !slices.Equal(r.ExcludeGlobs, rule.DefaultRule().ExcludeGlobs) {
			but = append(but, "except "+strings.Join(r.ExcludeGlobs, ", "))
		}
		if r.ReplicateDeletes {
			but = append(but, "deletes too")
		}
		line := fmt.Sprintf("  %-17s %s/%s -> %s/%s  %s", r.Name,
			r.Source.Bucket, r.Source.Prefix, r.Destination.Bucket, r.Destination.Prefix, strings.Join(but, "; "))
		fmt.Fprintln(s.out, strings.TrimRight(line, " "))
	}
	o := s.stack.Outputs
	fmt.Fprintln(s.out, "  An event's way: S3 -> EventBridge -> SQS -> Lambda, which copies and remembers in DynamoDB what it wrote.")
	fmt.Fprintln(s.out, "  A run's way: schedule or API -> SQS -> Lambda, which compares both sides key by key.")
	for _, name := range []string{"EventsQueueUrl", "ReplicateFunction", "ShardsQueueUrl", "ReconcileFunction", "ProvenanceTable", "AdminUrl"} {
		fmt.Fprintf(s.out, "  %-17s %s\n", name, o[name])
	}
}

func (s *story) newObjects(ctx context.Context) error {
	megabyte := []byte(strings.Repeat("0123456789abcdef", 1<<16))
	for _, o := range []struct {
		key  string
		body []byte
	}{
		{"2026/lake.jpg", megabyte},
		{"a b+c%2F%20.txt", []byte("spaces, plus and percent signs")},
		{"ü/日本/🙂.bin", []byte("any language")},
		{"x//y", []byte("an empty path segment")},
		{"empty", nil},
		{"2026/lake.jpg", append(megabyte, "and now a second version"...)},
	} {
		if err := s.putAndArrive(ctx, object{"photos", o.key}, object{"backup", "photos/" + o.key}, o.body); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) excludedKey(ctx context.Context) error {
	at := object{"photos", "2026/upload.tmp"}
	if err := s.put(ctx, at, []byte("half a picture")); err != nil {
		return err
	}
	if err := s.told(ctx, "photos-to-backup", at, "skipped", "excluded"); err != nil {
		return err
	}
	return s.isAbsent(ctx, object{"backup", "photos/2026/upload.tmp"})
}

func (s *story) replicatedDelete(ctx context.Context) error {
	source, replica := object{"photos", "2026/lake.jpg"}, object{"backup", "photos/2026/lake.jpg"}
	if err := s.delete(ctx, source); err != nil {
		return err
	}
	if err := s.told(ctx, "photos-to-backup", source, "deleted", "removed"); err != nil {
		return err
	}
	return s.isAbsent(ctx, replica)
}

func (s *story) manualObject(ctx context.Context) error {
	source, replica := object{"photos", "notes.txt"}, object{"backup", "photos/notes.txt"}
	if err := s.putAndArrive(ctx, source, replica, []byte("written at the source")); err != nil {
		return err
	}
	byHand := []byte("rewritten at the destination, by a person")
	if err := s.put(ctx, replica, byHand); err != nil {
		return err
	}
	if err := s.delete(ctx, source); err != nil {
		return err
	}
	if err := s.told(ctx, "photos-to-backup", source, "skipped", "not_ours"); err != nil {
		return err
	}
	return s.holds(ctx, replica, "still", byHand)
}

func (s *story) oppositeRules(ctx context.Context) error {
	for _, way := range []struct{ from, to, back, key string }{
		{"paris", "tokyo", "tokyo-to-paris", "bonjour.txt"},
		{"tokyo", "paris", "paris-to-tokyo", "konnichiwa.txt"},
	} {
		replica := object{way.to, way.key}
		if err := s.putAndArrive(ctx, object{way.from, way.key}, replica, []byte(way.key)); err != nil {
			return err
		}
		// The replica is an object in a source bucket too, so its event comes.
		if err := s.told(ctx, way.back, replica, "skipped", "echo"); err != nil {
			return err
		}
	}
	return nil
}

const attic = "attic-to-vault"

func (s *story) existingObjects(ctx context.Context) error {
	replica := object{"vault", "box/1999.txt"}
	if err := s.isAbsent(ctx, replica); err != nil {
		return err
	}
	r, err := s.runNow(ctx, attic, "")
	if err != nil {
		return err
	}
	if r.Status != run.Succeeded || r.Scanned != 3 || r.Copied != 3 || r.Bytes != 15 || r.Errors != 0 {
		return fmt.Errorf("three objects of 15 bytes in all were to be copied, and it is %v", r)
	}
	s.swept += r.Copied
	if err := s.holds(ctx, replica, "", []byte("album")); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "\n  make runs RULE=%s\n", attic)
	return s.api.runs(ctx, attic)
}

func (s *story) failure(ctx context.Context) error {
	source, replica := object{"attic", "private/diary.txt"}, object{"vault", "private/diary.txt"}
	if err := s.forbid(ctx, source); err != nil {
		return err
	}
	if err := s.put(ctx, source, []byte("dear diary")); err != nil {
		return err
	}
	if err := s.told(ctx, attic, source, "failed", ""); err != nil {
		return err
	}
	s.failures++
	fmt.Fprintf(s.out, "\n  make failures RULE=%s\n", attic)
	if err := s.api.failures(ctx, attic); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	var list struct{ Failures []failureAnswer }
	if _, err := s.api.get(ctx, jobPath(attic, "/failures"), &list); err != nil {
		return err
	}
	if len(list.Failures) != 1 {
		return fmt.Errorf("%d failures are on record, want one", len(list.Failures))
	}
	if f := list.Failures[0]; f.SourceKey != source.key || f.Code != "AccessDenied" || f.Advice == "" || f.WillRetryAt.Before(time.Now()) {
		return fmt.Errorf("the failure on record is %+v", f)
	}

	if err := s.permit(ctx, source); err != nil {
		return err
	}
	r, err := s.runNow(ctx, attic, "")
	if err != nil {
		return err
	}
	if r.Status != run.Succeeded || r.Copied != 1 {
		return fmt.Errorf("the diary was to be copied, and it is %v", r)
	}
	s.swept += r.Copied
	if err := s.holds(ctx, replica, "", []byte("dear diary")); err != nil {
		return err
	}
	if _, err := s.api.get(ctx, jobPath(attic, "/failures"), &list); err != nil {
		return err
	}
	if len(list.Failures) != 0 {
		return fmt.Errorf("it is healed, and still on record: %+v", list.Failures)
	}
	return nil
}

func (s *story) pause(ctx context.Context) error {
	if _, err := s.post(ctx, attic, "/pause"); err != nil {
		return err
	}
	source, replica := object{"attic", "2026.txt"}, object{"vault", "2026.txt"}
	if err := s.put(ctx, source, []byte("new album")); err != nil {
		return err
	}
	if err := s.told(ctx, attic, source, "skipped", "paused"); err != nil {
		return err
	}
	if err := s.isAbsent(ctx, replica); err != nil {
		return err
	}
	r, err := s.resumed(ctx, attic)
	if err != nil {
		return err
	}
	if r.Status != run.Succeeded || r.Copied != 1 {
		return fmt.Errorf("the new album was to be copied, and it is %v", r)
	}
	s.swept += r.Copied
	return s.holds(ctx, replica, "", []byte("new album"))
}

func (s *story) brake(ctx context.Context) error {
	if _, err := s.post(ctx, attic, "/pause"); err != nil {
		return err
	}
	old := []string{"1997.txt", "1998.txt", "box/1999.txt"}
	for _, key := range old {
		source := object{"attic", key}
		if err := s.delete(ctx, source); err != nil {
			return err
		}
		if err := s.told(ctx, attic, source, "skipped", "paused"); err != nil {
			return err
		}
	}
	r, err := s.resumed(ctx, attic)
	if err != nil {
		return err
	}
	if r.Status != run.DeletesHeld || r.Held != int64(len(old)) || r.Deleted != 0 {
		return fmt.Errorf("%d deletes were to be held, and it is %v", len(old), r)
	}
	if err := s.holds(ctx, object{"vault", old[0]}, "still", []byte("album")); err != nil {
		return err
	}
	if _, err := s.post(ctx, attic, fmt.Sprintf("/approve-deletes?deletes=%d", r.Held)); err != nil {
		return err
	}
	if r, err = s.ended(ctx, attic, r.ID); err != nil {
		return err
	}
	if r.Status != run.Succeeded || r.Deleted != int64(len(old)) {
		return fmt.Errorf("%d replicas were to be deleted, and it is %v", len(old), r)
	}
	for _, key := range old {
		if err := s.isAbsent(ctx, object{"vault", key}); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) verification(ctx context.Context) error {
	if err := s.verify(ctx); err != nil {
		return err
	}
	if err := s.tag(ctx, object{"attic", "2026.txt"}, "colour", "blue"); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "  What was written in the last 30 s is looked at again before it counts as different, so this waits:")
	differs := s.verify(ctx)
	if differs == nil {
		return errors.New("the source got a tag, and a verification found nothing")
	}
	fmt.Fprintf(s.out, "  %v\n\n", differs)
	r, err := s.runNow(ctx, attic, "?compare=bytes")
	if err != nil {
		return err
	}
	if r.Status != run.Succeeded {
		return fmt.Errorf("the tag was to follow, and it is %v", r)
	}
	return s.verify(ctx)
}

// verify compares every byte of both sides. Its error is what differs.
func (s *story) verify(ctx context.Context) error {
	fmt.Fprintf(s.out, "  make verify RULE=%s MODE=bytes\n", attic)
	by := s.api
	by.mode = string(run.Bytes)
	return by.verify(ctx, attic)
}

// totals adds up what the functions logged, and holds it against the story.
func (s *story) totals(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	outcomes, err := s.cloud.Outcomes(ctx, s.stack)
	if err != nil {
		return err
	}
	results, counts := map[string]int{}, map[string]int{}
	var bytes int64
	for _, o := range outcomes {
		results[o.Result]++
		counts[strings.TrimSpace(o.Result+" "+o.Reason)]++
		bytes += o.Bytes
	}
	fmt.Fprintln(s.out, "\nTotals, from the event function's own log")
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(s.out, "  %-18s %3d\n", name, counts[name])
	}
	slices.Sort(s.latencies)
	n := len(s.latencies)
	fmt.Fprintf(s.out, "  %d bytes copied; from PUT to replica: %.2f s at best, %.2f s in the middle, %.2f s at worst\n",
		bytes, s.latencies[0].Seconds(), s.latencies[n/2].Seconds(), s.latencies[n-1].Seconds())
	if results["copied"] != n {
		return fmt.Errorf("%d objects were to be copied once each by events, and %d copies were made", n, results["copied"])
	}
	if results["failed"] != s.failures {
		return fmt.Errorf("%d objects failed, and not %d", results["failed"], s.failures)
	}
	fmt.Fprintf(s.out, "  %d objects were replicated by their events, each was copied once, and no copy came back.\n", n)
	fmt.Fprintf(s.out, "  %d objects that events could not replicate were copied by runs.\n", s.swept)
	return nil
}
