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

	"bucket-replicator/localstack/cloud"
	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/rule"
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
	c, err := cloud.Start(ctx, cloud.Options{Dir: dir, Out: out})
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
	stack, err := c.Deploy(ctx, filepath.Join(root, "localstack", "demo.yaml"))
	if err != nil {
		return err
	}
	s := story{out: out, cloud: c, stack: stack}
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
	} {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, scene.title)
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("scene %d: %w", i+1, err)
		}
	}
	return s.totals(ctx)
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
	for _, name := range []string{"EventsQueueUrl", "ReplicateFunction", "ProvenanceTable"} {
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
	return s.stillHolds(ctx, replica, byHand)
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
		return fmt.Errorf("%d objects were to be copied once each, and %d copies were made", n, results["copied"])
	}
	if results["failed"] != 0 {
		return fmt.Errorf("%d objects failed", results["failed"])
	}
	fmt.Fprintf(s.out, "  %d objects were written, each was copied once, and no copy came back.\n", n)
	return nil
}
