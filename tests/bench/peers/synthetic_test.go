package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bucket-replicator/localstack/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestTheListingThatIsMadeUpHasEveryKeyOnce(t *testing.T) {
	endpoint, stop, err := serve(t.Context(), synthetic(2500))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	client := s3.New(s3.Options{
		BaseEndpoint: aws.String(endpoint), Region: server.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""),
	})
	list := func(by func(*s3.ListObjectsV2Input, *s3.ListObjectsV2Output)) (keys []string) {
		in := &s3.ListObjectsV2Input{Bucket: aws.String("b")}
		for {
			out, err := client.ListObjectsV2(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range out.Contents {
				keys = append(keys, *o.Key)
			}
			if !*out.IsTruncated {
				return keys
			}
			by(in, out)
		}
	}
	byToken := list(func(in *s3.ListObjectsV2Input, out *s3.ListObjectsV2Output) {
		in.ContinuationToken = out.NextContinuationToken
	})
	byKey := list(func(in *s3.ListObjectsV2Input, out *s3.ListObjectsV2Output) {
		in.StartAfter = out.Contents[len(out.Contents)-1].Key
	})
	for name, keys := range map[string][]string{"by token": byToken, "by key": byKey} {
		if len(keys) != 2500 {
			t.Fatalf("%s: %d keys", name, len(keys))
		}
		for i, key := range keys {
			if key != synthetic(0).key(i) {
				t.Fatalf("%s: key %d is %s", name, i, key)
			}
		}
	}
}

func TestRequestsAreHeldBackAsLongAsS3Takes(t *testing.T) {
	for request, want := range map[string]time.Duration{
		"GET /b?list-type=2&max-keys=1000": listDelay,
		"GET /b/?delimiter=%2F&prefix=":    listDelay,
		"GET /b?location":                  readDelay,
		"GET /b/k?list-type=2":             readDelay,
		"HEAD /b/k":                        readDelay,
		"PUT /b/k":                         writeDelay,
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := delayOf(httptest.NewRequest(method, "http://h"+target, http.NoBody)); got != want {
			t.Errorf("%s is held back for %s, want %s", request, got, want)
		}
	}
}
