// Command simulate shows what a full reconcile of a very large bucket takes:
// time, cost, balance, and the load on what has a limit. It runs the real
// Split, Recut, Shares and Pieces, on sets of keys that are computed and never
// held, in a world that knows AWS's limits and has its own clock.
//
// make simulate
// make simulate ARGS='--keys 1000000 --workers 20 --family users'
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"bucket-replicator/tests/simulate/keyset"
)

const assumptions = `
A full reconcile of one rule: %s keys that both sides have, and nothing changed.
  S3        a page of 1,000 keys in 80 to 100 ms on each side, both sides at the same time and one
            page ahead; 5,500 requests a second on each side, as if neither had a second partition
  Lambda    1,769 MB and 15 minutes; half a second to start cold; 5 workers at once, 300 more a minute
  DynamoDB  a save every 10 seconds; 1,000 writes of 1 KB a second, because all of a rule's runs is in
            one partition, and a transaction counts twice; requests take 10 ms and are never turned away
  SQS       0.1 s from one worker to the next
The second run cuts itself as the first one ended up being cut. Prices of us-east-1 without a free tier.
`

// result is one run.
type result struct {
	Family  string  `json:"family"`
	Workers int64   `json:"workers"`
	Run     int     `json:"run"`
	Seconds float64 `json:"seconds"`
	USD     usd     `json:"usd"`
	Shards  int     `json:"shards"`
	// Busy is the part of the time that a worker was at work, on average.
	Busy float64 `json:"busy"`
	// Longest and Largest are the shard that was worked on for the longest time
	// and that with the most keys, where 1 is their mean.
	Longest float64 `json:"longest"`
	Largest float64 `json:"largest"`
	// Writes and Changes are the units written, and the transactions on the
	// run's one item, in the second that had the most.
	Writes  float64 `json:"writes_per_second"`
	Changes float64 `json:"run_transactions_per_second"`
}

type usd struct {
	Total    float64 `json:"total"`
	List     float64 `json:"list"`
	Lambda   float64 `json:"lambda"`
	SQS      float64 `json:"sqs"`
	DynamoDB float64 `json:"dynamodb"`
}

func (w *world) result(family string, run int) result {
	b := w.bill
	u := usd{
		List:     b.lists * listUSD,
		Lambda:   b.gbSeconds*gbSecondUSD + b.invocations*invokeUSD,
		SQS:      b.messages * sqsUSD,
		DynamoDB: b.writes*writeUSD + b.reads*readUSD,
	}
	u.Total = u.List + u.Lambda + u.SQS + u.DynamoDB
	largest := 0
	for _, s := range w.shards {
		largest = max(largest, s.to-s.from)
	}
	shards := float64(len(w.shards))
	return result{
		Family: family, Workers: w.workers, Run: run, Seconds: w.now.Seconds(), USD: u, Shards: len(w.shards),
		Busy:    w.work.Seconds() / w.now.Seconds() / float64(w.workers),
		Longest: w.longest.Seconds() / w.work.Seconds() * shards,
		Largest: float64(largest) / float64(w.keys.Len) * shards,
		Writes:  slices.Max(w.writes), Changes: slices.Max(w.changes),
	}
}

// twice simulates a run of which nothing is known, and the one after it.
func twice(family string, keys int, workers int64, seed uint64) [2]result {
	set := keyset.Families[family](keys)
	first := simulate(set, workers, nil, seed)
	return [2]result{first.result(family, 1), simulate(set, workers, first.pieces(), seed+1).result(family, 2)}
}

func main() {
	keys := flag.Int("keys", 1_000_000_000, "how many")
	workers := flag.Int64("workers", 0, "how many at the same time; 0: 1, 100 and 1,000")
	family := flag.String("family", "", "how keys are named; empty: hex, dated and hot-folder\n"+strings.Join(keyset.Names(), ", "))
	seed := flag.Uint64("seed", 1, "of the latencies")
	asJSON := flag.Bool("json", false, "every figure, for programs")
	flag.Parse()
	families, counts := []string{"hex", "dated", "hot-folder"}, []int64{1, 100, 1000}
	if *family != "" {
		families = []string{*family}
	}
	if *workers != 0 {
		counts = []int64{*workers}
	}
	if keyset.Families[families[0]] == nil || *keys < 1 || *workers < 0 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	pairs := make([][2]result, len(families)*len(counts))
	var all sync.WaitGroup
	for i, f := range families {
		all.Go(func() {
			for j, n := range counts {
				pairs[i*len(counts)+j] = twice(f, *keys, n, *seed)
			}
		})
	}
	all.Wait()
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(slices.Concat(flat(pairs)...)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	fmt.Printf(assumptions, grouped(*keys))
	table(os.Stdout, pairs)
}

func flat(pairs [][2]result) (list [][]result) {
	for _, p := range pairs {
		list = append(list, p[:])
	}
	return list
}

func table(w io.Writer, pairs [][2]result) {
	fmt.Fprintf(w, "\n%-20s%8s%10s%8s%10s%8s | %8s%8s%8s%8s%9s | %8s%9s%9s | %8s\n", "", "", "", "", "second", "",
		"", "", "", "", "", "", "longest", "largest", "writes/s")
	fmt.Fprintf(w, "%-20s%8s%10s%8s%10s%8s | %8s%8s%8s%8s%9s | %8s%9s%9s | %8s\n", "keys", "workers", "time", "busy", "run", "busy",
		"USD", "LIST", "Lambda", "SQS", "DynamoDB", "shards", "by mean", "by mean", "at peak")
	for i, p := range pairs {
		if i > 0 && p[0].Family != pairs[i-1][0].Family {
			fmt.Fprintln(w)
		}
		r, second := p[0], p[1]
		writes, limit := max(r.Writes, second.Writes), "below the limit"
		if writes > writeRate {
			limit = "OVER THE LIMIT"
		}
		fmt.Fprintf(w, "%-20s%8s%10s%7.0f%%%10s%7.0f%% | %8.2f%8.2f%8.2f%8.4f%9.4f | %8s%9.1f%9.1f | %8.0f %s\n",
			r.Family, grouped(int(r.Workers)), clock(r.Seconds), 100*r.Busy, clock(second.Seconds), 100*second.Busy,
			r.USD.Total, r.USD.List, r.USD.Lambda, r.USD.SQS, r.USD.DynamoDB,
			grouped(r.Shards), r.Longest, r.Largest, writes, limit)
	}
}

func clock(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// grouped writes 1000000 as 1,000,000.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
