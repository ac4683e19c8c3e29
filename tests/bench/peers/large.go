package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// largeKey is the one object of a bucket for what is large.
const largeKey = "large.bin"

// bigParts is what all tools are told to cut it into, where they can be told.
const bigParts = 64 << 20

// The tools for one large object. Each may copy 16 parts at a time.
var (
	oursLarge = tool{"transfer", "large", func(endpoint, from, to string) []string {
		return []string{"--endpoint", endpoint, "--source", from, "--destination", to, "--key", largeKey, "--workers", "16"}
	}}
	rcloneLarge = tool{"rclone copyto", "rclone", func(_, from, to string) []string { return rcloneCopy("bench", from, "bench", to) }}
	// It has no flag for parts.
	mcLarge = tool{"mc cp", "mc", func(_, from, to string) []string {
		return []string{"cp", "--quiet", "bench/" + from + "/" + largeKey, "bench/" + to + "/" + largeKey}
	}}
)

func rcloneCopy(here, from, there, to string) []string {
	return []string{"copyto", here + ":" + from + "/" + largeKey, there + ":" + to + "/" + largeKey, "--ignore-times",
		"--s3-copy-cutoff", "64M", "--s3-chunk-size", "64M", "--s3-upload-concurrency", "16", "--multi-thread-streams", "16", "--multi-thread-chunk-size", "64M",
		"--s3-no-head", "--s3-no-check-bucket", "--stats", "0", "--log-level", "ERROR"}
}

// across are the tools between two servers.
func (b *bench) across() []tool {
	there := b.there.endpoint
	return []tool{
		{"transfer", "large", func(endpoint, from, to string) []string {
			return append(oursLarge.args(endpoint, from, to), "--to", there)
		}},
		{"rclone copyto", "rclone", func(_, from, to string) []string { return rcloneCopy("bench", from, "there", to) }},
		{"mc cp", "mc", func(_, from, to string) []string {
			return []string{"cp", "--quiet", "bench/" + from + "/" + largeKey, "there/" + to + "/" + largeKey}
		}},
	}
}

// large is one object of so many bytes that is copied to a bucket of the same
// server, or of another one.
func (b *bench) large(name, endpoint string, dest *buckets, size int64, target float64, tools ...tool) scenario {
	return scenario{name: name, objects: int(size >> 20), unit: "MiB", tools: tools, target: target, prepare: func(ctx context.Context) (once, error) {
		from, err := b.buckets.large(ctx, size)
		return func(ctx context.Context, t tool) (usage, error) {
			to, err := dest.empty(ctx)
			if err != nil {
				return usage{}, err
			}
			u, err := b.run(ctx, t, endpoint, from, to)
			if err == nil {
				err = same(filepath.Join(b.buckets.data, from, largeKey), filepath.Join(dest.data, to, largeKey))
			}
			if err != nil {
				return u, fmt.Errorf("%s: %w", t.name, err)
			}
			return u, dest.remove(to)
		}, err
	}}
}

// large makes a bucket with one object of random bytes, put by parts.
func (b *buckets) large(ctx context.Context, size int64) (string, error) {
	name, err := b.empty(ctx)
	if err != nil {
		return "", err
	}
	begun, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &name, Key: aws.String(largeKey)})
	if err != nil {
		return "", err
	}
	var list []types.CompletedPart
	body := make([]byte, bigParts)
	for sent := int64(0); sent < size; sent += bigParts {
		if _, err := rand.Read(body[:1<<20]); err != nil {
			return "", err
		}
		number := aws.Int32(int32(len(list) + 1))
		put, err := b.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &name, Key: aws.String(largeKey), UploadId: begun.UploadId, PartNumber: number,
			Body: bytes.NewReader(body[:min(bigParts, size-sent)]),
		})
		if err != nil {
			return "", err
		}
		list = append(list, types.CompletedPart{ETag: put.ETag, PartNumber: number})
	}
	_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &name, Key: aws.String(largeKey), UploadId: begun.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: list},
	})
	return name, err
}

// same compares two files, as the server keeps them.
func same(want, got string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	left, right := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(a, left)
		m, other := io.ReadFull(b, right)
		if !bytes.Equal(left[:n], right[:m]) {
			return errors.New("the copy has other bytes than the object")
		}
		if err != nil || other != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return nil
			}
			return err
		}
	}
}
