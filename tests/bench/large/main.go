// Command large copies one object by parts between two buckets of any S3
// endpoints, in one process, with the packages of the Lambda functions: the same
// event path, pool of parts, conditions and recording, but for the queue and the
// tables, which are in memory. It is what bench compares to other tools:
//
//	AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... go run ./tests/bench/large \
//		--endpoint http://127.0.0.1:7070 --source a --destination b --key k
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"
	"bucket-replicator/tests/bench/command"
)

func main() { command.Main("large", bench) }

type settings struct {
	command.Buckets
	to       string // endpoint of the destination
	key      string
	workers  int
	partSize int64
}

func parse(args []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("large", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.to, "to", "", "`URL` of the server that has the destination, where it is another one")
	flags.StringVar(&s.key, "key", "", "of the object")
	flags.IntVar(&s.workers, "workers", 16, "how many copy a part at a time")
	flags.Int64Var(&s.partSize, "part-size", 0, "in bytes; 0: as deployed")
	if err := s.Parse(flags, args); err != nil {
		return s, err
	}
	switch {
	case s.key == "":
		return s, errors.New("--key is needed; --help lists all flags")
	case s.workers < 1 || s.partSize < 0:
		return s, errors.New("--workers is at least 1, --part-size at least 0")
	}
	s.to = cmp.Or(s.to, s.Endpoint)
	return s, nil
}

const ruleName = "bench"

// catalog has the one rule.
func (s settings) catalog() rule.Catalog {
	r := rule.DefaultRule()
	r.Name, r.Source.Bucket, r.Destination.Bucket = ruleName, "source", "destination"
	c := rule.Catalog{Storage: rule.Default().Storage, Rules: []rule.Stored{{Rule: r, Revision: 1, Deployed: true}}}
	c.Storage.Backends = []rule.Backend{
		{Name: "from", Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.Endpoint != ""},
		{Name: "to", Endpoint: s.to, Region: s.Region, PathStyle: s.to != ""},
	}
	c.Storage.Buckets = map[string]rule.Bucket{
		"source": {Backend: "from", Name: s.Source}, "destination": {Backend: "to", Name: s.Destination},
	}
	return c
}

// tickets is the queue in memory.
type tickets chan string

func (q tickets) Send(_ context.Context, bodies []string) error {
	for _, body := range bodies {
		q <- body
	}
	return nil
}

// sized begins transfers with parts of another size than usual.
type sized struct {
	*transfer.Transfers
	partSize int64
}

func (s sized) Begin(ctx context.Context, want object.Transfer) error {
	want.PartSize = s.partSize
	return s.Transfers.Begin(ctx, want)
}

func bench(ctx context.Context, args []string, out, log io.Writer) error {
	s, err := parse(args, log)
	if err != nil {
		return err
	}
	cfg, err := s.Config(ctx)
	if err != nil {
		return err
	}
	items, store := &storetest.Ledger{}, &storetest.Transfers{}
	items.SetCatalog(s.catalog())
	objects := s3store.New(cfg, s3store.Options{Backends: func() []rule.Backend { return s.catalog().Storage.Backends }})
	queue, again := make(tickets, 10_000), make(tickets, 10_000)
	transfers := &transfer.Transfers{Store: store, Queue: queue, Now: time.Now, NewID: rand.Text, Workers: s.workers}
	replicator := replicate.New(objects, items, items, time.Now, 12*time.Minute)
	replicator.Transfers, replicator.ByParts = sized{transfers, s.partSize}, 0
	from := object.Ref{Bucket: object.Bucket{Backend: "from", Name: s.Source}, Key: s.key}
	to := object.Ref{Bucket: object.Bucket{Backend: "to", Name: s.Destination}, Key: s.key}

	outcomes, err := replicator.Replicate(ctx, []replicate.Work{{Change: object.Change{Ref: from, Kind: object.Due, Time: time.Now()}, Message: "bench"}})
	if err != nil {
		return err
	}
	for _, o := range outcomes[0] {
		if o.Err != nil || o.Result != replicate.Skipped {
			return fmt.Errorf("no transfer began: %s %s: %w", o.Result, o.Reason, o.Err)
		}
	}
	worker := &transfer.Worker{
		Transfers: transfers, Replicator: replicator, Objects: objects, Failures: items, Hours: items, Events: again,
		Metrics: telemetry.NewMetrics("Bench", io.Discard, time.Now), Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	work(ctx, worker, queue, s.workers)
	if p := items.Item(to); p.Rule != ruleName || len(store.Left()) > 0 {
		return fmt.Errorf("it was not copied: %+v, %+v", items.AllFailures(), store.Left())
	}
	fmt.Fprintf(out, "parts: %d\n", store.Counts()["transfers.finish"])
	return nil
}

// work works on tickets, so many at a time, until there are none and nobody is at
// one that could lead to more.
func work(ctx context.Context, w *transfer.Worker, queue tickets, workers int) {
	ended := make(chan struct{})
	next := queue
	for n, running := 0, 0; running > 0 || len(queue) > 0; {
		select {
		case body := <-next:
			n++
			running++
			owner := fmt.Sprint("worker-", n)
			go func() {
				t, err := transfer.Decode(body)
				if err == nil {
					err = w.Work(ctx, t, owner)
				}
				if err != nil {
					w.Log.WarnContext(ctx, "ticket", "error", err)
					queue <- body
				}
				ended <- struct{}{}
			}()
		case <-ended:
			running--
		}
		if next = queue; running == workers {
			next = nil // nobody is free
		}
	}
}
