// Command limits shows in real time that a rule's bytes a second hold over many
// workers, each with a limiter of its own, that share nothing but a table of the
// local cloud. It fails where the rate is off by more than a tenth.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/ledger"
	"bucket-replicator/shared/ledger/schema"
	"bucket-replicator/shared/limit"
	"bucket-replicator/shared/rule"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

const (
	rate  = 10 << 20 // bytes a second
	lasts = time.Minute
	slots = 8 // objects that each worker would copy at a time
	off   = 0.1
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// counted is a transport that counts requests.
type counted struct {
	http.RoundTripper
	n atomic.Int64
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func bench(ctx context.Context) (err error) {
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
	const table = "bench-limits"
	if err := makeTable(ctx, cfg, table, schema.Runs); err != nil {
		return err
	}
	fmt.Printf("A rule of %d MB a second, for %s\n%-8s %12s %10s %26s\n", rate>>20, lasts, "workers", "MB a second", "off by", "requests/worker/second")
	for _, workers := range []int{1, 4, 16} {
		before := transport.n.Load()
		moved, err := move(ctx, cfg, table, workers)
		if err != nil {
			return err
		}
		got := float64(moved) / lasts.Seconds()
		asked := float64(transport.n.Load()-before) / float64(workers) / lasts.Seconds()
		fmt.Printf("%-8d %12.2f %9.1f%% %26.2f\n", workers, got/(1<<20), 100*(got/rate-1), asked)
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
func move(ctx context.Context, cfg aws.Config, table string, workers int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	var moved atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, workers*slots)
	for n := range workers {
		l := &limit.Limiter{
			Store: ledger.New(cfg, ledger.Tables{Runs: table}), Now: time.Now, Holder: fmt.Sprint("worker ", n), Patience: lasts,
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

func makeTable(ctx context.Context, cfg aws.Config, name string, s schema.Table) error {
	db := dynamodb.NewFromConfig(cfg)
	_, err := db.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(s.PartitionKey), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(s.SortKey), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(s.PartitionKey), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(s.SortKey), KeyType: types.KeyTypeRange},
		},
	})
	return err
}
