package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

func (b *bench) scenarios() []scenario {
	const foldered, flat = false, true
	named := func(format string, objects int) string { return fmt.Sprintf(format, objects) }
	return []scenario{
		b.copying(named("copy %d objects of 4 KiB", b.copied), b.endpoint, b.copied, 1.0, oursAlone, s5cmdCopy, rcloneFast, mc),
		b.unchanged(named("nothing changed, %d keys in folders", b.sizes.unchanged), b.endpoint, b.sizes.unchanged, foldered, 1.3, oursAlone, rcloneFast, rcloneByDirectory, mc, s5cmdSync),
		b.unchanged(named("nothing changed, %d keys in one folder", b.sizes.unchanged), b.endpoint, b.sizes.unchanged, flat, 1.3, oursAlone, rcloneFast, rcloneByDirectory, mc, s5cmdSync),
		b.copying(named("copy %d objects of 4 KiB, with S3's delays", b.copied), b.delayed, b.copied, 1.7, ours, s5cmdCopy),
		b.unchanged(named("nothing changed, %d keys in folders, with S3's delays", b.sizes.delayed), b.delayed, b.sizes.delayed, foldered, 2.0, ours, rcloneFast, rcloneByDirectory),
		b.large(named("copy one object of %d MiB on one server", int(b.sizes.large>>20)), b.endpoint, b.buckets, b.sizes.large, 1.0, oursLarge, rcloneLarge, mcLarge),
		b.large(named("copy one object of %d MiB on one server, with S3's delays", int(b.sizes.large>>20)), b.delayed, b.buckets, b.sizes.large, 1.0, oursLarge, rcloneLarge, mcLarge),
		b.large(named("copy one object of %d MiB to another server", int(b.sizes.across>>20)), b.endpoint, b.there, b.sizes.across, 1.0, b.across()...),
		b.listing(named("nothing changed, %d keys in one folder, with S3's delays, on listings that are made up", b.sizes.delayed), b.sizes.delayed, 5.0, ours, rcloneFast, rcloneByDirectory),
	}
}

// copying is a bucket that is copied into an empty one.
func (b *bench) copying(name, endpoint string, objects int, target float64, tools ...tool) scenario {
	return scenario{name: name, objects: objects, tools: tools, target: target, prepare: func(ctx context.Context) (once, error) {
		from, err := b.buckets.filled(ctx, objects, false)
		return func(ctx context.Context, t tool) (usage, error) {
			to, err := b.buckets.empty(ctx)
			if err != nil {
				return usage{}, err
			}
			u, err := b.run(ctx, t, endpoint, from, to)
			if err != nil {
				return u, err
			}
			n, _, err := b.buckets.state(to)
			if err == nil && n != objects {
				err = fmt.Errorf("%s copied %d of %d objects", t.name, n, objects)
			}
			if err != nil {
				return u, err
			}
			return u, b.buckets.remove(to)
		}, err
	}}
}

// unchanged is two buckets that have the same.
func (b *bench) unchanged(name, endpoint string, objects int, flat bool, target float64, tools ...tool) scenario {
	return scenario{name: name, objects: objects, tools: tools, target: target, prepare: func(ctx context.Context) (once, error) {
		from, err := b.buckets.filled(ctx, objects, flat)
		if err != nil {
			return nil, err
		}
		to, err := b.buckets.clone(ctx, from)
		if err != nil {
			return nil, err
		}
		_, before, err := b.buckets.state(to)
		return func(ctx context.Context, t tool) (usage, error) {
			u, err := b.run(ctx, t, endpoint, from, to)
			if err != nil {
				return u, err
			}
			_, after, err := b.buckets.state(to)
			if err == nil && after != before {
				err = fmt.Errorf("%s wrote to the destination, which was in step", t.name)
			}
			return u, err
		}, err
	}}
}

// listing is two buckets that have the same, and of which there is nothing but
// listings.
func (b *bench) listing(name string, objects int, target float64, tools ...tool) scenario {
	return scenario{name: name, objects: objects, tools: tools, target: target, prepare: func(ctx context.Context) (once, error) {
		return func(ctx context.Context, t tool) (u usage, err error) {
			endpoint, stop, err := serve(ctx, delayed(synthetic(objects), &b.requests))
			if err != nil {
				return u, err
			}
			defer func() { err = errors.Join(err, stop()) }()
			return b.run(ctx, t, endpoint, "from", "to")
		}, nil
	}}
}

const memoryName = "memory"

// memory compares what a walk of few keys and of many needs. The server makes
// the listings up: a real one would take an hour to hold that many objects.
func (b *bench) memory(ctx context.Context, rounds int, out io.Writer) (bool, error) {
	const target = 1.1
	fmt.Fprintf(out, "\n%s of the reconcile, nothing changed, on listings that are made up\n", memoryName)
	var medians []usage
	counts := []int{20_000, b.many}
	for _, keys := range counts {
		endpoint, stop, err := serve(ctx, synthetic(keys))
		if err != nil {
			return false, err
		}
		var all []usage
		for range rounds {
			u, err := b.run(ctx, ours, endpoint, "from", "to")
			if err != nil {
				return false, errors.Join(err, stop())
			}
			all = append(all, u)
		}
		if err := stop(); err != nil {
			return false, err
		}
		medians = append(medians, median(all))
	}
	for i, m := range medians {
		fmt.Fprintf(out, "%8d keys: %.0f MB at most, %.0f keys/s, %.1f us of processor time a key\n", counts[i],
			float64(m.memory)/(1<<20), float64(counts[i])/m.elapsed.Seconds(), float64(m.processor.Microseconds())/float64(counts[i]))
	}
	ratio := float64(medians[1].memory) / float64(medians[0].memory)
	met := ratio <= target
	fmt.Fprintf(out, "target: no more than %.1f times the memory; %s\n", target, verdict(met, ratio))
	return met, nil
}
