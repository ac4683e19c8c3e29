package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"bucket-replicator/shared/run"
	"bucket-replicator/tests/bench/command"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
)

// result is what a run came to, and what it took.
type result struct {
	State   string           `json:"state"`
	Shards  int64            `json:"shards"`
	Scanned int64            `json:"scanned"` // keys that either side has
	Copied  int64            `json:"copied"`
	Bytes   int64            `json:"bytes_copied"`
	Skipped map[string]int64 `json:"skipped"` // by reason
	Deleted int64            `json:"deleted"`
	Errors  int64            `json:"errors"`

	Seconds       float64          `json:"seconds"`
	KeysPerSecond float64          `json:"keys_per_second"`
	CPUSeconds    float64          `json:"cpu_seconds"` // of this process, user and system
	PeakRSS       int64            `json:"peak_rss_bytes"`
	Requests      map[string]int64 `json:"requests"` // by operation, repetitions included
}

func resultOf(r run.Run, took time.Duration, requests map[string]int64) result {
	cpu, rss := used()
	return result{
		State: string(r.State), Shards: r.Shards, Scanned: r.Scanned, Copied: r.Copied, Bytes: r.Bytes,
		Skipped: r.Skipped, Deleted: r.Deleted, Errors: r.Errors,
		Seconds: took.Seconds(), KeysPerSecond: float64(r.Scanned) / took.Seconds(),
		CPUSeconds: cpu.Seconds(), PeakRSS: rss, Requests: requests,
	}
}

// used is the processor time and the most memory, in bytes, that this process
// has used.
func used() (time.Duration, int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0
	}
	peak, err := command.Memory(os.Getpid(), command.Peak)
	if err != nil {
		peak = command.MaxRSS(&u)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), peak
}

func (r result) print(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	row("state", "%s", r.State)
	row("keys", "%d, %d copied (%d bytes), %d deleted, %d failed", r.Scanned, r.Copied, r.Bytes, r.Deleted, r.Errors)
	for _, reason := range slices.Sorted(maps.Keys(r.Skipped)) {
		row("skipped", "%d %s", r.Skipped[reason], reason)
	}
	row("time", "%.2f s, %.0f keys a second, on %d shards", r.Seconds, r.KeysPerSecond, r.Shards)
	row("processor", "%.2f s, %.0f us a key", r.CPUSeconds, 1e6*r.CPUSeconds/float64(max(1, r.Scanned)))
	row("memory", "%.1f MB at most", float64(r.PeakRSS)/(1<<20))
	for _, operation := range slices.Sorted(maps.Keys(r.Requests)) {
		row("requests", "%d %s", r.Requests[operation], operation)
	}
	return table.Flush()
}

// requests counts what is sent to AWS, or whatever stands for it.
type requests struct {
	mu          sync.Mutex
	byOperation map[string]int64
}

// count has the requests of a client counted, each attempt of the SDK's. It is
// an API option.
func (r *requests) count(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("CountRequests",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			r.mu.Lock()
			if r.byOperation == nil {
				r.byOperation = map[string]int64{}
			}
			r.byOperation[awsmiddleware.GetOperationName(ctx)]++
			r.mu.Unlock()
			return next.HandleDeserialize(ctx, in)
		}), middleware.After)
}

func (r *requests) counts() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.byOperation)
}

// progress rewrites one line of a terminal with what the run's shards have
// saved, until ctx ends.
func progress(ctx context.Context, out io.Writer, runs *run.Runs, of run.Run, requests *requests) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began := time.Now()
	of.State = run.Running
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(out, "\r\033[K")
			return
		case <-tick.C:
		}
		now, err := runs.Progress(ctx, of)
		if err != nil {
			continue
		}
		sent := requests.counts()
		fmt.Fprintf(out, "\r\033[K%d keys, %.0f a second, %d copied, %.1f MB; %d LIST, %d COPY",
			now.Scanned, float64(now.Scanned)/time.Since(began).Seconds(), now.Copied, float64(now.Bytes)/(1<<20),
			sent["ListObjectsV2"], sent["CopyObject"])
	}
}

// terminal reports whether somebody sees out while it is written.
func terminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
