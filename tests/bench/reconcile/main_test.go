package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"bucket-replicator/localstack/server"
	"bucket-replicator/tests/staging"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// gateway is a real server with a bucket of some objects and an empty one.
func gateway(t *testing.T, objects int) string {
	t.Helper()
	s := staging.Server(t, server.Versitygw)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(s.URL), Region: server.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
	})
	for _, bucket := range []string{"source", "replica"} {
		if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range objects {
		key := fmt.Sprintf("in/%d", i)
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("source"), Key: &key, Body: strings.NewReader("hello")}); err != nil {
			t.Fatal(err)
		}
	}
	return s.URL
}

func TestARunIsMadeAndTold(t *testing.T) {
	endpoint := gateway(t, 3)
	reconcile := func(args ...string) result {
		t.Helper()
		var out, log bytes.Buffer
		args = append([]string{"--endpoint", endpoint, "--source", "source", "--destination", "replica", "--json"}, args...)
		if err := bench(t.Context(), args, &out, &log); err != nil {
			t.Fatalf("%v\n%s", err, &log)
		}
		var r result
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
		return r
	}
	if r := reconcile("--prefix", "elsewhere"); r.Scanned != 0 || r.Copied != 0 {
		t.Errorf("of a prefix that no key has: %+v", r)
	}
	first := reconcile()
	if first.State != "succeeded" || first.Copied != 3 || first.Bytes != 15 || first.Requests["CopyObject"] != 3 || first.Requests["HeadObject"] != 0 {
		t.Errorf("the first run: %+v", first)
	}
	if first.Seconds <= 0 || first.KeysPerSecond <= 0 || first.CPUSeconds <= 0 || first.PeakRSS <= 0 {
		t.Errorf("what the first run took: %+v", first)
	}
	second := reconcile()
	if second.Copied != 0 || second.Skipped["in_sync"] != 3 || second.Requests["CopyObject"] != 0 || second.Requests["ListObjectsV2"] != 2 {
		t.Errorf("the second run: %+v", second)
	}
}

func TestARunThatFailedIsAnError(t *testing.T) {
	endpoint := gateway(t, 0)
	var out, log bytes.Buffer
	err := bench(t.Context(), []string{"--endpoint", endpoint, "--source", "source", "--destination", "nowhere"}, &out, &log)
	if err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("got %v", err)
	}
}
