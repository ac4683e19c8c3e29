package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/transfer"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	partSize = 5 << 20
	parts    = 40
	// deaths are how many workers are killed. One works at a time.
	deaths = 10
	// partDelay is how long the destination holds a part back, so that most
	// deaths come in the middle of one.
	partDelay = 150 * time.Millisecond
)

// transfers are those that the workers share.
func (p place) transfers(account aws.Config, items *ledger.Ledger) *transfer.Transfers {
	return &transfer.Transfers{
		Store: items, Queue: queue.New(account, p.Queue), Now: time.Now, NewID: rand.Text, Workers: 1, Lease: lease,
	}
}

// discard is the events queue of a test without an event function.
type discard struct{}

func (discard) Send(context.Context, []string) error { return nil }

// inParts begins transfers of parts as small as S3 allows.
type inParts struct{ *transfer.Transfers }

func (s inParts) Begin(ctx context.Context, want object.Transfer) error {
	want.PartSize = partSize
	return s.Transfers.Begin(ctx, want)
}

// slowly passes requests on to a server, holds parts back, and counts them.
func slowly(t *testing.T, endpoint string, copied *atomic.Int32) string {
	proxy, err := server.Proxy(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("partNumber") {
			copied.Add(1)
			time.Sleep(partDelay)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestALargeObjectOutlivesTenWorkers has its bytes go through the workers from
// one server to another.
func TestALargeObjectOutlivesTenWorkers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := mathrand.New(mathrand.NewPCG(seed, 0))

	cloud, from, to := staging.Server(t, server.MiniStack), staging.Server(t, server.Versitygw), staging.Server(t, server.Versitygw)
	var copied atomic.Int32
	p := place{
		S3: from.URL, To: slowly(t, to.URL, &copied),
		Tables: ledger.Tables{Rules: "rules", Provenance: "provenance", Runs: "runs", Transfers: "transfers"},
	}
	account, items := p.prepare(t, cloud)
	body := make([]byte, parts*partSize-1000)
	_, _ = rand.Read(body) // never fails
	client := func(endpoint string) *s3.Client {
		return s3.NewFromConfig(account, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &endpoint, true })
	}
	for name, at := range map[string]*s3.Client{"source": client(from.URL), "destination": client(to.URL)} {
		if _, err := at.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client(from.URL).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("source"), Key: aws.String("large"), Body: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}

	var replicator *replicate.Replicator
	objects := s3store.New(account, s3store.Options{Backends: func() []rule.Backend { return replicator.Backends() }})
	replicator = replicate.New(objects, items, items, time.Now, 12*time.Minute)
	transfers := p.transfers(account, items)
	replicator.Transfers, replicator.ByParts = inParts{transfers}, 1
	source := object.Ref{Bucket: object.Bucket{Backend: backend, Name: "source"}, Key: "large"}
	dest := object.Ref{Bucket: object.Bucket{Backend: "other", Name: "destination"}, Key: "large"}
	outcomes, err := replicator.Replicate(t.Context(), []replicate.Work{{Change: object.Change{Ref: source, Kind: object.Due, Time: time.Now()}, Message: "event"}})
	if err != nil || outcomes[0][0].Err != nil {
		t.Fatal(err, outcomes)
	}
	rules, _, err := replicator.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	crew := crew{place: p, size: 1}
	t.Cleanup(func() { crew.kill(t, len(crew.alive)) })
	crew.fill(t)
	killed := 0
	begun := copied.Load()
	life := func() time.Duration { return time.Duration(50+random.IntN(450)) * time.Millisecond }
	var dies time.Time
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it goes on and on\n%s", crew.log.String())
		}
		tr, err := items.Transfer(t.Context(), dest)
		if err != nil {
			t.Fatal(err)
		}
		if tr.ID == "" {
			break
		}
		// A worker lives for a while after it began a part.
		if n := copied.Load(); killed < deaths && n > begun && dies.IsZero() {
			dies = time.Now().Add(life())
		}
		if !dies.IsZero() && time.Now().After(dies) {
			crew.kill(t, 1)
			killed++
			crew.fill(t)
			begun, dies = copied.Load(), time.Time{}
		}
		if _, err := transfers.Revive(t.Context(), rules); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d parts, %d workers killed, %d parts begun", parts, killed, copied.Load())

	if killed < deaths {
		t.Errorf("it was there when %d workers were killed", killed)
	}
	if n := int(copied.Load()); n > parts+killed {
		t.Errorf("%d parts were begun, which is more than one again for each death", n)
	}
	got, err := os.ReadFile(filepath.Join(to.Dir, "data", "destination", "large"))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("the destination has %d bytes that are not the source's, %v", len(got), err)
	}
	found, err := objects.Head(t.Context(), dest, false)
	if err != nil {
		t.Fatal(err)
	}
	known, _, err := items.Read(t.Context(), []object.Ref{dest}, true)
	if err != nil || !known[dest].Describes(found) {
		t.Errorf("the ledger says %+v of %+v, %v", known[dest], found, err)
	}
	left, err := objects.Uploads(t.Context(), dest)
	if err != nil || len(left) > 0 {
		t.Errorf("uploads are left: %+v, %v", left, err)
	}
	if t.Failed() {
		t.Log(crew.log.String())
	}
}
