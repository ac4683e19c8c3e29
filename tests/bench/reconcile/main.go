// Command reconcile makes one full reconcile between two buckets of any S3
// endpoint, in one process, with the packages of the Lambda functions: the same
// walk, decisions, checkpoints, log lines and metrics, but for a queue that is a
// channel. It is what bench compares to other tools, and tells how fast a
// reconcile is against an endpoint of yours:
//
//	AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... go run ./tests/bench/reconcile \
//		--endpoint http://127.0.0.1:7070 --source a --destination b
//
// It copies what is missing or older at the destination, and deletes nothing.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/reconcile"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/run"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/tests/bench/command"
	"bucket-replicator/tests/tables"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func main() { command.Main("reconcile", bench) }

type settings struct {
	command.Buckets
	prefix          string
	shards, objects int
	ledger          string
	emulate, json   bool
}

func parse(args []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("reconcile", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.prefix, "prefix", "", "only keys that begin with it, on both sides")
	flags.IntVar(&s.shards, "shards", 8, "how many workers there are, each on a range of keys of its own")
	flags.IntVar(&s.objects, "objects", 256, "how many objects are copied at a time, over all workers")
	flags.StringVar(&s.ledger, "ledger", "memory", "where provenance, runs and shards are kept: memory, or the `URL` of a server\nthat speaks DynamoDB, where tables named bench-* are made")
	flags.BoolVar(&s.emulate, "emulate", false, "look before and after each copy, as is done where an endpoint ignores conditions on\nthe destination; without it a copy is one request, as on AWS")
	flags.BoolVar(&s.json, "json", false, "print nothing but the result, as JSON")
	err := s.Parse(flags, args)
	if err == nil && (s.shards < 1 || s.objects < 1) {
		err = errors.New("--shards and --objects are at least 1")
	}
	return s, err
}

// bench makes the run and prints what came of it. A run that did not succeed is
// an error.
func bench(ctx context.Context, args []string, out, log io.Writer) error {
	s, err := parse(args, log)
	if err != nil {
		return err
	}
	cfg, err := s.Config(ctx)
	if err != nil {
		return err
	}
	var requests requests
	cfg.APIOptions = append(cfg.APIOptions, requests.count)
	items, err := s.stores(ctx, cfg)
	if err != nil {
		return err
	}
	began := time.Now()
	ended, err := s.reconcile(ctx, cfg, items, &requests, log)
	if err != nil {
		return err
	}
	r := resultOf(ended, time.Since(began), requests.counts())
	if s.json {
		err = json.NewEncoder(out).Encode(r)
	} else {
		err = r.print(out)
	}
	if err == nil && ended.State != run.Succeeded {
		err = fmt.Errorf("the run ended %s: %d objects failed; %s", ended.State, ended.Errors, ended.Error)
	}
	return err
}

// items is what a Lambda has in DynamoDB.
type items interface {
	replicate.Ledger
	replicate.Catalogs
	reconcile.Failures
}

type stores struct {
	items
	runs run.Store
}

const ruleName = "bench"

// config is the configuration with the one rule.
func (s settings) config() rule.Config {
	const backend = "bench"
	r := rule.DefaultRule()
	r.Name = ruleName
	r.Source = rule.Side{Bucket: "source", Prefix: s.prefix}
	r.Destination = rule.Side{Bucket: "destination", Prefix: s.prefix}
	c := rule.Default()
	c.Storage.Backends = []rule.Backend{{Name: backend, Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.Endpoint != ""}}
	c.Storage.Buckets = map[string]rule.Bucket{
		"source":      {Backend: backend, Name: s.Source},
		"destination": {Backend: backend, Name: s.Destination},
	}
	c.Storage.Replication.Rules = []rule.Rule{r}
	return c
}

func (s settings) stores(ctx context.Context, cfg aws.Config) (stores, error) {
	c := s.config()
	if s.ledger == "memory" {
		items := &storetest.Ledger{}
		catalog := rule.Catalog{Storage: c.Storage, Rules: []rule.Stored{{Rule: c.Storage.Replication.Rules[0], Revision: 1, CreatedAt: time.Now()}}}
		catalog.Storage.Replication.Rules = nil
		items.SetCatalog(catalog)
		return stores{items, &storetest.Runs{Ledger: items}}, nil
	}
	cfg.BaseEndpoint = aws.String(s.ledger)
	names := ledger.Tables{Rules: "bench-rules", Provenance: "bench-provenance", Runs: "bench-runs"}
	if err := tables.Make(ctx, cfg, names); err != nil {
		return stores{}, err
	}
	l := ledger.New(cfg, names)
	return stores{l, l}, l.Deploy(ctx, c, time.Now())
}

// reconcile makes one run and answers it when it has ended.
func (s settings) reconcile(ctx context.Context, cfg aws.Config, items stores, requests *requests, out io.Writer) (run.Run, error) {
	var replicator *replicate.Replicator
	objects := s3store.New(cfg, s3store.Options{
		Backends: func() []rule.Backend { return replicator.Backends() },
		Emulated: map[string]s3store.Conditions{"bench": {Copy: s.emulate, Delete: s.emulate}},
	})
	replicator = replicate.New(objects, items, items, time.Now, 12*time.Minute)
	rules, _, err := replicator.Rules(ctx)
	if err != nil {
		return run.Run{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tickets := newQueue()
	ended := make(chan run.Run, 1)
	runs := run.New(items.runs, tickets, time.Now)
	runs.OnEnd = func(_ context.Context, r run.Run) { ended <- r }
	log := telemetry.NewLogger(loud{out}, 0)
	worker := &reconcile.Worker{
		Replicator: replicator, Runs: runs, Lister: objects, Failures: items, Hours: items,
		Metrics: telemetry.NewMetrics("Bench", io.Discard, time.Now), Log: log, Now: time.Now,
		Workers: int64(s.shards), Slots: make(chan struct{}, s.objects),
	}
	begun, err := runs.Start(ctx, rules.Rule(ruleName), run.ByRunNow, run.Asked{})
	if err != nil {
		return run.Run{}, err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for range s.shards {
		workers.Go(func() { tickets.work(ctx, worker) })
	}
	if terminal(out) && !s.json {
		workers.Go(func() { progress(ctx, out, runs, begun, requests) })
	}
	select {
	case r := <-ended:
		return r, nil
	case <-ctx.Done():
		return run.Run{}, ctx.Err()
	}
}

// loud lets only the warnings and errors of a log through. The other lines are
// written all the same, as a function does.
type loud struct{ io.Writer }

func (l loud) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(`"level":"INFO"`)) {
		return len(line), nil
	}
	return l.Writer.Write(line)
}
