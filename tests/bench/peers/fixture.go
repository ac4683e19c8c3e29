package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"bucket-replicator/localstack/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"
)

// buckets makes buckets on a versitygw, which keeps them as directories: one
// folder of objects is put into it as S3 has it, and the others are copies of
// its files and their extended attributes, which takes seconds where putting
// 100,000 objects takes minutes.
type buckets struct {
	client   *s3.Client
	endpoint string
	data     string // the directory with the buckets
	made     int
}

const (
	objectSize = 4 << 10
	folderSize = 1000 // objects; a full page, the best case for who lists by directory
	template   = "template"
)

func bucketsOf(gateway *server.Server) *buckets {
	return &buckets{endpoint: gateway.URL, data: filepath.Join(gateway.Dir, "data"), client: s3.New(s3.Options{
		BaseEndpoint: aws.String(gateway.URL), Region: server.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	})}
}

func newBuckets(ctx context.Context, gateway *server.Server) (*buckets, error) {
	b := bucketsOf(gateway)
	if err := b.create(ctx, template); err != nil {
		return nil, err
	}
	var puts errgroup.Group
	puts.SetLimit(16)
	for i := range folderSize {
		puts.Go(func() error {
			key := fmt.Sprintf("folder/object-%04d.bin", i)
			body := bytes.Repeat([]byte{byte(i), byte(i >> 8), 0, 0}, objectSize/4)
			_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(template), Key: &key, Body: bytes.NewReader(body)})
			return err
		})
	}
	return b, puts.Wait()
}

func (b *buckets) create(ctx context.Context, name string) error {
	_, err := b.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name})
	return err
}

// empty makes an empty bucket.
func (b *buckets) empty(ctx context.Context) (string, error) {
	b.made++
	name := fmt.Sprintf("bench-%d", b.made)
	return name, b.create(ctx, name)
}

// filled makes a bucket with so many objects, a multiple of folderSize: in
// folders, or, flat, all in one.
func (b *buckets) filled(ctx context.Context, objects int, flat bool) (string, error) {
	name, err := b.empty(ctx)
	if err != nil {
		return "", err
	}
	for i := range objects / folderSize {
		folder := filepath.Join(b.data, name, fmt.Sprintf("folder-%03d", i))
		if err := duplicate(ctx, filepath.Join(b.data, template, "folder"), folder); err != nil {
			return "", err
		}
		if !flat {
			continue
		}
		files, err := os.ReadDir(folder)
		if err != nil {
			return "", err
		}
		for _, f := range files {
			if err := os.Rename(filepath.Join(folder, f.Name()), folder+"-"+f.Name()); err != nil {
				return "", err
			}
		}
		if err := os.Remove(folder); err != nil {
			return "", err
		}
	}
	return name, nil
}

// clone makes a bucket that has what another one has.
func (b *buckets) clone(ctx context.Context, of string) (string, error) {
	b.made++
	name := fmt.Sprintf("bench-%d", b.made)
	return name, duplicate(ctx, filepath.Join(b.data, of), filepath.Join(b.data, name))
}

func (b *buckets) remove(name string) error { return os.RemoveAll(filepath.Join(b.data, name)) }

// duplicate copies a directory, extended attributes and all.
func duplicate(ctx context.Context, from, to string) error {
	if out, err := exec.CommandContext(ctx, "cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp -a: %w: %s", err, out)
	}
	return nil
}

// state is how many objects a bucket has, and a sum that tells whether one of
// them was written.
func (b *buckets) state(name string) (objects int, written uint64, err error) {
	err = filepath.WalkDir(filepath.Join(b.data, name), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		objects++
		written += info.Sys().(*syscall.Stat_t).Ino
		return nil
	})
	return objects, written, err
}
