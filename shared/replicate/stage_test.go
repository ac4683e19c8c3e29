package replicate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
)

// stage is the whole event path over fakes: buckets whose events go to a queue,
// and the handler that takes its batches.
type stage struct {
	t testing.TB

	mu      sync.Mutex // of what follows: objects are worked on concurrently
	clock   time.Time
	objects *storetest.Objects
	ledger  *storetest.Ledger
	queue   *storetest.Queue
	handler *replicate.Handler
	metrics bytes.Buffer
	log     bytes.Buffer
	sources map[string]bool
	told    []object.Change  // every change of a source bucket, also those that were lost
	copies  map[string]int   // creations in buckets that are not sources, by key
	landed  map[written]bool // every object that ever was there
	lose    bool             // events do not reach the queue
	billed  map[string]int   // of the ledger's requests, up to the last bill
}

const (
	visibility  = 6 * time.Minute
	maxReceives = 5
)

// newStage makes buckets a, b and c, with these rules between them.
func newStage(t testing.TB, traits storetest.Traits, rules ...rule.Rule) *stage {
	s := &stage{
		t: t, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		ledger: &storetest.Ledger{}, sources: map[string]bool{}, billed: map[string]int{}, copies: map[string]int{}, landed: map[written]bool{},
	}
	now := func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.clock
	}
	s.objects = storetest.NewObjects(now)
	buckets := []string{"a", "b", "c"}
	for _, b := range buckets {
		s.objects.AddBucket(ref(b).Bucket, traits)
	}
	s.queue = &storetest.Queue{Now: now, Visibility: visibility, MaxReceives: maxReceives}
	s.ledger.SetCatalog(storetest.Deployed(time.Time{}, append(buckets, "missing"), rules...))
	for _, r := range rules {
		s.sources[r.Source.Bucket] = true
	}
	s.objects.OnWrite = func(c object.Change) {
		if s.note(c) {
			s.queue.Send(body(c))
		}
	}
	s.handler = &replicate.Handler{
		Replicator:  replicate.New(s.objects, s.ledger, s.ledger, now, visibility),
		Ledger:      s.ledger,
		Queue:       s.queue,
		Metrics:     telemetry.NewMetrics("Test", &s.metrics, now),
		Log:         slog.New(slog.NewJSONHandler(&s.log, nil)),
		Now:         now,
		Jitter:      func() float64 { return 0.5 },
		MaxReceives: maxReceives,
	}
	return s
}

// note keeps what a change says, and reports whether its event is delivered.
func (s *stage) note(c object.Change) bool {
	found, ok := s.objects.Get(c.Ref)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(time.Second)
	if ok {
		s.landed[write(c.Ref, found.State)] = true
	}
	if s.sources[c.Ref.Bucket.Name] {
		s.told = append(s.told, c)
		return !s.lose
	}
	if c.Kind == object.Created {
		s.copies[c.Ref.Key]++
	}
	return false
}

// body is the EventBridge event of a change.
func body(c object.Change) string {
	types := map[object.Kind]string{
		object.Created: "Object Created", object.Deleted: "Object Deleted", object.MarkerCreated: "Object Deleted",
		object.Restored: "Object Restore Completed", object.Retagged: "Object Tags Added",
	}
	detail := map[string]any{
		"version": "0", "bucket": map[string]any{"name": c.Ref.Bucket.Name}, "request-id": c.RequestID,
		"object": map[string]any{"key": c.Ref.Key, "size": c.Size, "etag": c.ETag, "version-id": c.VersionID, "sequencer": c.Sequencer},
	}
	switch c.Kind {
	case object.Deleted:
		detail["deletion-type"] = "Permanently Deleted"
	case object.MarkerCreated:
		detail["deletion-type"] = "Delete Marker Created"
	}
	if c.Cause == object.ByLifecycle {
		detail["reason"] = "Lifecycle Expiration"
	}
	text, err := json.Marshal(map[string]any{
		"version": "0", "id": "1", "detail-type": types[c.Kind], "source": "aws.s3", "account": "123456789012",
		"time": c.Time.Format(time.RFC3339), "region": "us-east-1", "resources": []string{}, "detail": detail,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// batch is what Lambda hands over for these messages.
func batch(messages ...event.Message) events.SQSEvent {
	var b events.SQSEvent
	for _, m := range messages {
		deferrals := strconv.Itoa(m.Deferrals)
		b.Records = append(b.Records, events.SQSMessage{
			MessageId: m.ID, ReceiptHandle: m.Receipt, Body: m.Body,
			Attributes: map[string]string{
				"ApproximateReceiveCount": strconv.Itoa(m.Received),
				"SentTimestamp":           strconv.FormatInt(m.SentAt.UnixMilli(), 10),
			},
			MessageAttributes: map[string]events.SQSMessageAttribute{
				event.DeferralsAttribute: {DataType: "Number", StringValue: &deferrals},
			},
		})
	}
	return b
}

// invoke hands a batch to the handler and finishes what it did not give back,
// as Lambda does.
func (s *stage) invoke(messages ...event.Message) events.SQSEventResponse {
	s.t.Helper()
	response, err := s.handler.Handle(context.Background(), batch(messages...))
	if err != nil {
		s.t.Fatalf("the whole batch failed: %v", err)
	}
	if response.BatchItemFailures == nil {
		s.t.Fatal("the list of failures is nil: some pollers deliver everything again")
	}
	failed := map[string]bool{}
	for _, f := range response.BatchItemFailures {
		failed[f.ItemIdentifier] = true
	}
	for _, m := range messages {
		if !failed[m.ID] {
			s.queue.Delete(m)
		}
	}
	return response
}

// run delivers until the queue is empty, waiting where messages wait.
func (s *stage) run() {
	s.t.Helper()
	for range 10_000 {
		if got := s.queue.Receive(10); len(got) > 0 {
			s.invoke(got...)
			continue
		}
		next, any := s.queue.Next()
		if !any {
			return
		}
		s.clock = later(s.clock, next)
	}
	s.t.Fatal("the queue does not empty")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// results lists the outcomes logged so far, "result reason" each, and empties
// the log.
func (s *stage) results() []string {
	var all []string
	for line := range strings.Lines(s.log.String()) {
		var l struct{ Msg, Result, Reason, Code string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			s.t.Fatal(err)
		}
		if l.Msg == "outcome" {
			all = append(all, strings.TrimSpace(l.Result+" "+l.Reason+l.Code))
		}
	}
	s.log.Reset()
	return all
}

func (s *stage) at(bucket, key string) object.Ref {
	return object.Ref{Bucket: ref(bucket).Bucket, Key: key}
}

// text is what stands at a bucket's key, "-" where nothing does.
func (s *stage) text(bucket, key string) string {
	found, ok := s.objects.Get(s.at(bucket, key))
	if !ok || found.State.Presence != object.Present {
		return "-"
	}
	return string(found.Body)
}

func (s *stage) put(bucket, key, text string) { s.objects.Put(s.at(bucket, key), storetest.Text(text)) }

func (s *stage) remove(bucket, key string) { s.objects.Remove(s.at(bucket, key), object.ByRequest) }

// bill is every request made since the last call, "op=n" each, for the stores.
func (s *stage) bill() string {
	counts := s.objects.Counts()
	s.objects.ResetCounts()
	for op, n := range s.ledger.Counts() {
		if n -= s.billed[op]; n > 0 {
			counts[op] = n
		}
		s.billed[op] = s.ledger.Counts()[op]
	}
	return fmt.Sprint(counts)
}
