// Command limits shows in real time that a rule's bytes a second hold over many
// workers, each with a limiter of its own, that share nothing but a table of the
// local cloud. It fails where the rate is off by more than a tenth.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/rule"
	"bucket-replicator/tests/bench/command"
	"bucket-replicator/tests/tables"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const (
	rate  = 10 << 20 // bytes a second
	lasts = time.Minute
	slots = 8 // objects that each worker would copy at a time
	off   = 0.1
)

func main() { command.Main("limits", bench) }

// counted is a transport that counts requests.
type counted struct {
	http.RoundTripper
	n atomic.Int64
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func bench(ctx context.Context, _ []string, out, _ io.Writer) (err error) {
	cloud, err := server.MiniStack(ctx, server.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Stop()) }()
	transport := &counted{RoundTripper: http.DefaultTransport.(*http.Transport).Clone()}
	cfg := aws.Config{
		Region: server.Region, BaseEndpoint: &cloud.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	}
	names := ledger.Tables{Runs: "bench-limits"}
	if err := tables.Make(ctx, cfg, names); err != nil {
		return err
	}
	fmt.Fprintf(out, "A rule of %d MB a second, for %s\n%-8s %12s %10s %26s\n", rate>>20, lasts, "workers", "MB a second", "off by", "requests/worker/second")
	for _, workers := range []int{1, 4, 16} {
		before := transport.n.Load()
		moved, err := move(ctx, cfg, names, workers)
		if err != nil {
			return err
		}
		got := float64(moved) / lasts.Seconds()
		asked := float64(transport.n.Load()-before) / float64(workers) / lasts.Seconds()
		fmt.Fprintf(out, "%-8d %12.2f %9.1f%% %26.2f\n", workers, got/(1<<20), 100*(got/rate-1), asked)
		if got < rate*(1-off) || got > rate*(1+off) || asked > 1.2 { // a few more as it begins
			err = errors.Join(err, fmt.Errorf("with %d workers the limit does not hold", workers))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// move has workers move as much as they are let, and answers how many bytes that
// was.
func move(ctx context.Context, cfg aws.Config, names ledger.Tables, workers int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	var moved atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, workers*slots)
	for n := range workers {
		l := &limit.Limiter{
			Store: ledger.New(cfg, names), Now: time.Now, Holder: fmt.Sprint("worker ", n), Patience: lasts,
		}
		for range slots {
			group.Go(func() {
				for {
					size := rand.Int64N(rate / 50)
					leave, err := l.Enter(ctx, fmt.Sprint("of ", workers), rule.Limits{BytesPerSecond: rate}, size)
					if ctx.Err() != nil {
						return
					}
					if err != nil {
						errs <- err
						return
					}
					moved.Add(size)
					time.Sleep(10 * time.Millisecond) // as a copy takes
					leave()
				}
			})
		}
	}
	group.Wait()
	close(errs)
	return moved.Load(), <-errs // nil where there is none
}
