package e2e

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/tests/staging"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// meter counts the HTTP requests that pass, retries too, by what they ask for.
type meter struct {
	mu    sync.Mutex
	calls map[string]int
}

func (m *meter) Do(r *http.Request) (*http.Response, error) {
	name := r.Method + " S3"
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		name = operation
	} else if r.Header.Get("x-amz-copy-source") != "" {
		name = "CopyObject"
	}
	m.mu.Lock()
	m.calls[name]++
	m.mu.Unlock()
	return server.FromMemory{}.RoundTrip(r)
}

// bill answers what was counted, and starts anew.
func (m *meter) bill() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	counted := fmt.Sprint(m.calls)
	m.calls = map[string]int{}
	return counted
}

// The requests are the bill, so they are counted on the wire, with the real
// adapters in one process: the stack's own tables, and the buckets on
// LocalStack, whose CopyObject keeps the conditions as AWS does. On the local
// cloud, which does not, each copy is followed by looks.
func TestWhatACopyCosts(t *testing.T) {
	s := deployed(t)
	other, missing := staging.ServerIfInstalled(t, server.LocalStack)
	if missing != nil {
		t.Logf("UNTESTED: how many requests a copy costs: %v", missing)
		return
	}
	m := &meter{calls: map[string]int{}}
	account := s.Cloud.AWS()
	account.HTTPClient = m
	tables := ledger.New(account, s.Tables())
	objects := s3store.New(account, s3store.Options{
		Backends: func() []rule.Backend { return []rule.Backend{{Name: object.AWS, Endpoint: other.URL, PathStyle: true}} },
		Emulated: map[string]s3store.Conditions{object.AWS: {}},
	})
	handler := &replicate.Handler{
		Replicator: replicate.New(objects, tables, tables, time.Now, time.Minute),
		Ledger:     tables, Queue: queue.New(account, s.Stack.Outputs[events]),
		Metrics: telemetry.NewMetrics("test", io.Discard, time.Now), Log: slog.New(slog.DiscardHandler),
		Now: time.Now, Jitter: func() float64 { return 0 }, MaxReceives: 5,
	}
	there := &stage{Stage: &staging.Stage{S3: s3.NewFromConfig(s.Cloud.AWS(), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String(other.URL), true
	})}}
	for _, name := range []string{"photos", "backup", "paris", "tokyo"} {
		if _, err := there.S3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}

	sequencer := 0
	write := func(what at, body string) string {
		sequencer++
		out := there.put(t, what, text(body))
		return news{kind: "Object Created", at: what, etag: strings.Trim(*out.ETag, `"`), size: len(body), sequencer: sequencer}.body(t)
	}
	handle := func(bodies ...string) {
		t.Helper()
		var batch lambda.SQSEvent
		for i, body := range bodies {
			batch.Records = append(batch.Records, lambda.SQSMessage{MessageId: fmt.Sprintf("%d-%d", sequencer, i), Body: body})
		}
		answer, err := handler.Handle(t.Context(), batch)
		if err != nil || len(answer.BatchItemFailures) > 0 {
			t.Fatalf("handle: %+v, %v", answer, err)
		}
	}
	handle(write(at{"photos", "bill/the rules are read once"}, "x"))
	m.bill()

	one := write(at{"photos", "bill/one"}, "1")
	two := write(at{"photos", "bill/one"}, "2")
	source := at{"photos", "bill/one"}
	var ten []string
	for i := range 10 {
		ten = append(ten, write(at{"photos", fmt.Sprintf("bill/ten/%d", i)}, "x"))
	}
	there.put(t, source, text("1"))
	for _, step := range []struct {
		name   string
		before func()
		events []string
		cost   string
	}{
		{name: "a new object", events: []string{one}, cost: "map[BatchGetItem:1 CopyObject:1 PutItem:1 UpdateItem:1]"},
		{name: "the same event", events: []string{one}, cost: "map[BatchGetItem:1]"},
		{name: "the same event once more", events: []string{one}, cost: "map[BatchGetItem:1]"},
		{name: "an overwrite", before: func() { there.put(t, source, text("2")) }, events: []string{two}, cost: "map[BatchGetItem:1 CopyObject:1 PutItem:1 UpdateItem:1]"},
		{name: "a late event", events: []string{one}, cost: "map[BatchGetItem:1]"},
		{name: "ten new objects", events: ten, cost: "map[BatchGetItem:1 CopyObject:10 PutItem:10 UpdateItem:1]"},
		{name: "a new object in a pair", events: []string{write(at{"paris", "bill/one"}, "1")}, cost: "map[BatchGetItem:1 CopyObject:1 PutItem:2 UpdateItem:1]"},
	} {
		if step.before != nil {
			step.before()
		}
		handle(step.events...)
		if got := m.bill(); got != step.cost {
			t.Errorf("%s costs %s, want %s", step.name, got, step.cost)
		}
	}
	there.holds(t, at{"backup", "bill/one"}, text("2"))
	if found, err := there.list(t, "backup", "bill/ten/"); err != nil || len(found) != len(ten) {
		t.Errorf("of ten objects %d arrived: %v", len(found), err)
	}
}

// A small package starts fast. Lambda is given a zip of the bootstrap.
func TestTheEventFunctionIsSmall(t *testing.T) {
	const most = 6 << 20
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(filepath.Join(root, "dist", runtime.GOARCH, "replicate", "bootstrap"))
	if err != nil {
		t.Fatalf("not built, run: make build-local (%v)", err)
	}
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	file, err := archive.Create("bootstrap")
	if err == nil {
		_, err = file.Write(binary)
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.2f MB zipped, %.2f MB plain", float64(packed.Len())/(1<<20), float64(len(binary))/(1<<20))
	if packed.Len() > most {
		t.Errorf("the zip has %d bytes, want at most %d", packed.Len(), most)
	}
}
