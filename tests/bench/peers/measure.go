package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	"bucket-replicator/tests/bench/command"
)

// usage is what one process took, from its start to its end.
type usage struct {
	elapsed, processor time.Duration
	memory             int64 // at most, in bytes
	requests           int64 // zero where nobody counts
}

// run has a tool bring one bucket into step with another.
func (b *bench) run(ctx context.Context, t tool, endpoint, from, to string) (usage, error) {
	cmd := exec.CommandContext(ctx, b.path(t), t.args(endpoint, from, to)...)
	cmd.Dir, cmd.Env = b.home, environment(endpoint, b.there.endpoint, b.home)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	sent := b.requests.Load()
	began := time.Now()
	err := cmd.Start()
	peak := func() int64 { return 0 }
	if err == nil {
		peak = follow(cmd.Process.Pid)
		err = cmd.Wait()
	}
	u := usage{elapsed: time.Since(began), requests: b.requests.Load() - sent, memory: peak()}
	if err != nil {
		return u, fmt.Errorf("%s: %w\n%s", t.name, err, bytes.TrimSpace(said.Bytes()[max(0, said.Len()-2000):]))
	}
	u.processor = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u.memory == 0 {
		u.memory = command.MaxRSS(cmd.ProcessState.SysUsage().(*syscall.Rusage))
	}
	return u, nil
}

// follow asks a process for the most memory it had, again and again until it is
// over, and answers what ends that and says what was heard last: zero where the
// system does not tell.
func follow(pid int) func() int64 {
	over, heard := make(chan struct{}), make(chan int64)
	go func() {
		var last int64
		for again := time.NewTicker(10 * time.Millisecond); ; {
			if peak, err := command.Memory(pid, command.Peak); err == nil {
				last = peak
			}
			select {
			case <-again.C:
			case <-over:
				heard <- last
				return
			}
		}
	}()
	return func() int64 {
		close(over)
		return <-heard
	}
}

// median is of each measure by itself.
func median(all []usage) usage {
	return usage{middle(all, func(u usage) time.Duration { return u.elapsed }),
		middle(all, func(u usage) time.Duration { return u.processor }),
		middle(all, func(u usage) int64 { return u.memory }),
		middle(all, func(u usage) int64 { return u.requests })}
}

func middle[T cmp.Ordered](all []usage, of func(usage) T) T {
	var values []T
	for _, u := range all {
		values = append(values, of(u))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// scenario is one thing that several tools do, ours first.
type scenario struct {
	name    string
	objects int    // or how many
	unit    string // of; empty: key
	tools   []tool
	// target is how many times as fast as the fastest other tool ours is to
	// be.
	target float64
	// prepare makes the buckets, and answers what has a tool do it once and
	// makes sure that it did.
	prepare func(context.Context) (once, error)
}

type once func(context.Context, tool) (usage, error)

// compare has the tools take turns, so that what else the machine does hits all
// of them, and prints the medians. It reports whether the target was met.
func (s scenario) compare(ctx context.Context, rounds int, out io.Writer) (bool, error) {
	fmt.Fprintf(out, "\n%s\n", s.name)
	once, err := s.prepare(ctx)
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.name, err)
	}
	taken := make([][]usage, len(s.tools))
	for range rounds {
		for i, t := range s.tools {
			u, err := once(ctx, t)
			if err != nil {
				return false, fmt.Errorf("%s: %w", s.name, err)
			}
			taken[i] = append(taken[i], u)
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	unit := cmp.Or(s.unit, "key")
	fmt.Fprintf(table, "\tseconds\t%s/s\tprocessor us/%[1]s\tmemory MB\trequests\ttimes as long as ours\t\n", unit)
	own := median(taken[0])
	best := 0.0
	for i, t := range s.tools {
		m := median(taken[i])
		ratio := m.elapsed.Seconds() / own.elapsed.Seconds()
		if i > 0 && (best == 0 || ratio < best) {
			best = ratio
		}
		requests := ""
		if m.requests > 0 {
			requests = fmt.Sprint(m.requests)
		}
		fmt.Fprintf(table, "%s\t%.2f\t%.0f\t%.0f\t%.0f\t%s\t%.2f\t\n", t.name, m.elapsed.Seconds(), float64(s.objects)/m.elapsed.Seconds(),
			float64(m.processor.Microseconds())/float64(s.objects), float64(m.memory)/(1<<20), requests, ratio)
	}
	if err := table.Flush(); err != nil {
		return false, err
	}
	met := best >= s.target
	fmt.Fprintf(out, "target: %.1f times as fast as the fastest other; %s\n", s.target, verdict(met, best))
	return met, nil
}

func verdict(met bool, ratio float64) string {
	if met {
		return fmt.Sprintf("met with %.2f", ratio)
	}
	return fmt.Sprintf("MISSED with %.2f", ratio)
}
