// Package wiring is how functions begin, and what several of them are made of.
package wiring

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"time"

	"bucket-replicator/shared/awsconfig"
	"bucket-replicator/shared/config"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/queue"
	"bucket-replicator/shared/replicate"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/telemetry"
	"bucket-replicator/shared/transfer"
)

// Start answers the log of a function, and what its adapters are made from. err is
// what reading its environment met. Where a function cannot start, the log says
// why, and the process ends.
func Start(env config.Function, err error) (*slog.Logger, awsconfig.Config) {
	log := telemetry.NewLogger(os.Stdout, env.LogLevel)
	if err != nil {
		telemetry.Exit(log, err)
	}
	account, err := awsconfig.Load(context.Background())
	if err != nil {
		telemetry.Exit(log, err)
	}
	return log, account
}

// Replicator answers a replicator, and the tables and object stores that it works
// on. What its rules say of backends and buckets holds for the stores. Any object
// is copied at once, as fast as it goes, until ByParts and Limit.
func Replicator(account awsconfig.Config, env config.Replication) (*ledger.Ledger, *s3store.Store, *replicate.Replicator) {
	items := ledger.New(account, ledger.Tables{
		Rules: env.RulesTable, Provenance: env.ProvenanceTable, Runs: env.RunsTable, Transfers: env.TransfersTable,
	})
	var replicator *replicate.Replicator
	objects := s3store.New(account, s3store.Options{
		Backends:      func() []rule.Backend { return replicator.Backends() },
		Credentials:   awsconfig.Credentials(account),
		Memory:        items,
		RequesterPays: func(b object.Bucket) bool { return replicator.RequesterPays(b) },
	})
	replicator = replicate.New(objects, items, items, time.Now, env.VisibilityTimeout)
	return items, objects, replicator
}

// ByParts has the replicator hand large objects over to the transfer workers.
func ByParts(r *replicate.Replicator, account awsconfig.Config, items *ledger.Ledger, env config.ByParts) {
	r.Transfers = &transfer.Transfers{Store: items, Queue: queue.New(account, env.QueueURL), Now: time.Now, NewID: rand.Text}
	r.ByParts = env.Threshold
}

// Limit holds the replicator to the limits of its rules. patience is how long an
// object waits for them before others take its turn.
func Limit(r *replicate.Replicator, items *ledger.Ledger, patience time.Duration) {
	r.Limits = &limit.Limiter{Store: items, Now: time.Now, Holder: rand.Text(), Patience: patience}
}

// Sleep waits, for as long as the context lets it, whose error it answers.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
