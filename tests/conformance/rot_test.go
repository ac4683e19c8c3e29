package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/verify"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// TestBytesThatRotAreFoundAndRepairedByReadingThem turns one bit of a replica on
// the disk of a server that keeps objects as files. Its size, tag, time and
// checksum stay as they were, so only a verification by bytes can know, and only a
// run that compares by bytes repairs it.
func TestBytesThatRotAreFoundAndRepairedByReadingThem(t *testing.T) {
	running, missing := staging.ServerIfInstalled(t, server.Versitygw)
	if missing != nil {
		t.Logf("UNTESTED: %v", missing)
		return
	}
	options := s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: object.AWS, Endpoint: running.URL, PathStyle: true}}
		},
		Emulated: map[string]s3store.Conditions{object.AWS: {Copy: true, Delete: true}},
	}
	store := s3store.New(config(server.SecretKey), options)
	people := people{s3.NewFromConfig(config(server.SecretKey), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String(running.URL), true
	})}
	for _, name := range []string{"a", "b"} {
		if _, err := people.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("rot-" + name)}); err != nil {
			t.Fatal(err)
		}
	}
	from := object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: "rot-a"}, Key: "k"}
	body := bytes.Repeat([]byte("a line of what was written\n"), 10_000)
	if _, err := people.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &from.Bucket.Name, Key: &from.Key, Body: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}

	ledger := &storetest.Ledger{}
	ledger.SetCatalog(storetest.Deployed(time.Now().Add(-time.Hour), []string{"rot-a", "rot-b"}, storetest.Mirror("rot-a", "rot-b")))
	replicator := replicate.New(store, ledger, ledger, time.Now, time.Minute)
	outcomes, err := replicator.Replicate(t.Context(), []replicate.Work{{Change: object.Change{Ref: from, Kind: object.Due}, Message: "m", Delivery: 1, Patient: true}})
	if err != nil || outcomes[0][0].Result != replicate.Copied {
		t.Fatalf("the copy: %+v, %v", outcomes, err)
	}
	rules, _, err := replicator.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mirror := rules.Rule("rot-a-rot-b")
	match := rules.MatchOf(mirror, from.Key)
	look := func(at object.Ref) object.State {
		found, err := store.Head(t.Context(), at, false)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	later := func() time.Time { return time.Now().Add(time.Hour) } // what is young may be on its way
	runs, tickets := &storetest.Runs{Ledger: ledger}, &storetest.Tickets{}
	life := run.New(runs, tickets, later)
	worker := &reconcile.Worker{
		Replicator: replicator,
		Verifier: &verify.Verifier{
			Objects: store, Ledger: ledger, Now: later, LeaseTTL: time.Minute, ByParts: 1 << 40,
			Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		},
		Runs: life, Lister: store, Failures: ledger, Hours: ledger,
		Metrics: telemetry.NewMetrics("Test", io.Discard, later), Log: slog.New(slog.DiscardHandler), Now: later,
		Workers: 1, Slots: make(chan struct{}, 1),
	}
	ended := func(begun run.Run, err error) run.Run {
		t.Helper()
		for _, ticket := range tickets.Take() {
			err = errors.Join(err, worker.Work(t.Context(), ticket, "a worker"))
		}
		end, lost := runs.Run(t.Context(), begun.Rule, begun.ID)
		if err := errors.Join(err, lost); err != nil || end.State != run.Succeeded {
			t.Fatalf("%+v: %v", end, err)
		}
		return end
	}
	verified := func(mode run.Mode) run.Run {
		t.Helper()
		return ended(life.Verify(t.Context(), mirror, mode, 0))
	}
	modes := []run.Mode{run.Metadata, run.Checksum, run.Bytes}
	for _, mode := range modes {
		if v := verified(mode); v.Of(run.Matched) != 1 {
			t.Errorf("before, by %s: %+v", mode, v.Totals)
		}
	}

	before := look(match.Dest)
	const offset = 123_456
	turnBit(t, filepath.Join(running.Dir, "data", "rot-b", match.Dest.Key), offset)
	if after := look(match.Dest); after.ETag != before.ETag || after.Size != before.Size || !after.LastModified.Equal(before.LastModified) || after.Checksum != before.Checksum {
		t.Fatalf("the look changed from %+v to %+v", before, after)
	}
	for _, mode := range modes {
		v := verified(mode)
		if found := v.Damaged() == 1 && strings.Contains(v.Findings[0].Why, "123456"); found != (mode == run.Bytes) {
			t.Errorf("after, by %s: %+v", mode, v.Totals)
		}
	}

	// No run sees it but the one that compares by bytes, which is what is offered.
	for _, mode := range append([]run.Mode{""}, modes...) {
		r := ended(life.Start(t.Context(), mirror, run.ByRunNow, run.Asked{Compare: mode}))
		if repaired := r.Copied == 1; repaired != (mode == run.Bytes) || r.Scanned != 1 || r.Copied+r.SkippedSum() != 1 {
			t.Errorf("a run by %q: %+v", mode, r.Totals)
		}
	}
	if v := verified(run.Bytes); v.Of(run.Matched) != 1 || v.Bytes != int64(len(body)) {
		t.Errorf("after the repair: %+v", v.Totals)
	}
}

// turnBit changes one bit of a file, and neither its size nor its time.
func turnBit(t *testing.T, path string, offset int64) {
	t.Helper()
	was, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, offset); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := file.WriteAt(b, offset); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
}
