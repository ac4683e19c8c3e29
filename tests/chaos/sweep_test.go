package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/tests/staging"
	"bucket-replicator/tests/tables"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	folders   = 50
	perFolder = 1000
	keys      = folders * perFolder
	// One key in so many is missing at the destination.
	missingEvery = 10
	missing      = keys / missingEvery
)

func TestASweepOf50000KeysOutlivesItsWorkers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	cloud, gateway := staging.Server(t, server.MiniStack), staging.Server(t, server.Versitygw)
	p := place{S3: gateway.URL, Tables: ledger.Tables{Rules: "rules", Provenance: "provenance", Runs: "runs"}}
	account, items := p.prepare(t, cloud)
	_, runs := p.stores(account)
	buckets := s3.NewFromConfig(account, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &gateway.URL, true })
	fill(t, buckets, filepath.Join(gateway.Dir, "data"))

	catalog, err := items.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rules, err := rule.Compile(catalog)
	if err != nil {
		t.Fatal(err)
	}
	a := rules.Rule(p.config().Storage.Replication.Rules[0].Name)
	began := time.Now()
	active, err := runs.Start(t.Context(), a, run.ByRunNow, run.Asked{})
	if err != nil {
		t.Fatal(err)
	}
	crew := crew{place: p, size: workers}
	t.Cleanup(func() { crew.kill(t, len(crew.alive)) })
	crew.fill(t)

	// One worker is killed, then all of them, then one again.
	kills := []struct {
		at      int64 // of how many keys that were seen and saved
		workers int
	}{{keys / 10, 1}, {keys / 4, workers}, {keys / 2, 1}, {3 * keys / 4, workers}}
	revived := 0
	for deadline := time.Now().Add(5 * time.Minute); active.State.Active(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the run goes on and on: %+v\n%s", active, crew.log.String())
		}
		if active, err = items.Run(t.Context(), a.Name, active.ID); err != nil {
			t.Fatal(err)
		}
		if active, err = runs.Progress(t.Context(), active); err != nil {
			t.Fatal(err)
		}
		if len(kills) > 0 && active.Scanned >= kills[0].at && active.State.Active() {
			t.Logf("%.1f s: %d keys seen, killing %d of %d workers", time.Since(began).Seconds(), active.Scanned, kills[0].workers, workers)
			random.Shuffle(len(crew.alive), func(i, j int) { crew.alive[i], crew.alive[j] = crew.alive[j], crew.alive[i] })
			crew.kill(t, kills[0].workers)
			kills = kills[1:]
			crew.fill(t)
		}
		n, err := runs.Revive(t.Context(), a, active) // as each tick does
		if err != nil && object.ClassOf(err) != object.Premise {
			t.Fatal(err)
		}
		revived += n
	}
	t.Logf("%.1f s: %s, %d shards, %d of them revived; %d copied, %v skipped", time.Since(began).Seconds(), active.State, active.Shards, revived, active.Copied, active.Skipped)

	if len(kills) > 0 {
		t.Errorf("the run ended before %+v", kills)
	}
	if revived == 0 {
		t.Error("nobody who was killed had work to do")
	}
	if active.State != run.Succeeded || active.Scanned != keys || active.Sources != keys || active.Copied+active.SkippedSum() != keys || active.Errors+active.Deleted != 0 {
		t.Errorf("the run is %+v", active)
	}
	// What a worker copied and did not save before it was killed is found there.
	if active.Copied > missing || active.Copied < missing/2 {
		t.Errorf("%d objects were missing, and %d copied", missing, active.Copied)
	}
	want, got := list(t, buckets, "source"), list(t, buckets, "destination")
	if len(want) != keys || !maps.Equal(want, got) {
		t.Errorf("the source has %d objects, the destination %d, and they differ", len(want), len(got))
	}
	if t.Failed() {
		t.Log(crew.log.String())
	}
}

// prepare makes the cloud the account, with the tables, the queue and the
// configuration in it.
func (p *place) prepare(t *testing.T, cloud *server.Server) (aws.Config, *ledger.Ledger) {
	t.Helper()
	setAccount(t, cloud)
	account, err := awsconfig.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	account.HTTPClient = &http.Client{Transport: server.FromMemory{}}
	if err := tables.Make(t.Context(), account, p.Tables); err != nil {
		t.Fatal(err)
	}
	p.Queue = makeQueue(t, account)
	items := ledger.New(account, p.Tables)
	if err := items.Deploy(t.Context(), p.config(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return account, items
}

// setAccount makes the cloud the account that this process and the workers are in.
func setAccount(t *testing.T, cloud *server.Server) {
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": cloud.URL, "AWS_ENDPOINT_URL_S3": "", "AWS_REGION": server.Region, "AWS_PROFILE": "",
		"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey, "AWS_SESSION_TOKEN": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

func (p place) config() rule.Config {
	r := rule.DefaultRule()
	r.Name = "sweep"
	r.Source, r.Destination = rule.Side{Bucket: "source"}, rule.Side{Bucket: "destination"}
	c := rule.Default()
	c.Storage.Backends = []rule.Backend{{Name: backend, Endpoint: p.S3, Region: server.Region, PathStyle: true}}
	c.Storage.Buckets = map[string]rule.Bucket{"source": {Backend: backend, Name: "source"}, "destination": {Backend: backend, Name: "destination"}}
	if p.To != "" {
		c.Storage.Backends = append(c.Storage.Backends, rule.Backend{Name: "other", Endpoint: p.To, Region: server.Region, PathStyle: true})
		c.Storage.Buckets["destination"] = rule.Bucket{Backend: "other", Name: "destination"}
	}
	c.Storage.Replication.Rules = []rule.Rule{r}
	return c
}

// crew are the workers that are alive.
type crew struct {
	place
	size  int // how many there should be
	alive []*exec.Cmd
	log   bytes.Buffer // of those that ended
}

// fill starts as many workers as there should be.
func (c *crew) fill(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(c.place)
	if err != nil {
		t.Fatal(err)
	}
	for len(c.alive) < c.size {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
		cmd.Env = append(os.Environ(), placeVariable+"="+string(text))
		cmd.Stderr = &bytes.Buffer{}
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c.alive = append(c.alive, cmd)
	}
}

// kill ends the first n with SIGKILL, which no process can see coming.
func (c *crew) kill(t *testing.T, n int) {
	t.Helper()
	for _, cmd := range c.alive[:n] {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("a worker had ended before it was killed: %v", err)
		}
		_ = cmd.Wait() // it says that it was killed
		fmt.Fprintf(&c.log, "worker %d\n%s", cmd.Process.Pid, cmd.Stderr)
	}
	c.alive = slices.Delete(c.alive, 0, n)
}

// fill makes both buckets. The server keeps an object as a file with extended
// attributes: one folder is put as S3 has it, and the others are links to its
// files, which takes a second where putting them all takes a minute.
func fill(t *testing.T, client *s3.Client, data string) {
	t.Helper()
	for _, name := range []string{"source", "destination"} {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range perFolder {
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: aws.String("source"), Key: aws.String(key(0, i)), Body: strings.NewReader(fmt.Sprint("object ", i)),
		}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range folders {
		for _, bucket := range []string{"source", "destination"} {
			if err := os.MkdirAll(filepath.Join(data, bucket, filepath.Dir(key(n, 0))), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for i := range perFolder {
			if n > 0 {
				link(t, filepath.Join(data, "source", key(0, i)), filepath.Join(data, "source", key(n, i)))
			}
			if i%missingEvery > 0 {
				link(t, filepath.Join(data, "source", key(0, i)), filepath.Join(data, "destination", key(n, i)))
			}
		}
	}
}

func key(folder, i int) string { return fmt.Sprintf("folder-%02d/object-%03d", folder, i) }

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Link(from, to); err != nil {
		t.Fatal(err)
	}
}

// list answers the tags of a bucket's objects.
func list(t *testing.T, client *s3.Client, bucket string) map[string]string {
	t.Helper()
	found := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			found[*o.Key] = *o.ETag
		}
	}
	return found
}

// makeQueue makes a shards queue. It hides a message for longer than the test
// takes, as the deployed one does for an hour and a half: nobody comes back to a
// ticket because SQS shows it again.
func makeQueue(t *testing.T, account aws.Config) string {
	t.Helper()
	made, err := sqs.NewFromConfig(account).CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName:  aws.String("shards"),
		Attributes: map[string]string{string(sqstypes.QueueAttributeNameVisibilityTimeout): "3600"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *made.QueueUrl
}
