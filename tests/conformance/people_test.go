package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"bucket-replicator/localstack/server"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
	"bucket-replicator/shared/storetest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	backend   = "under-test"
	elsewhere = "under-another-name" // the same server
)

// bucketsMade numbers the buckets of all harnesses.
var bucketsMade atomic.Int64

// harness puts the store under test before a running server.
func (s s3Server) harness(address string, emulated s3store.Conditions, deviations map[string]storetest.Deviation) storetest.ObjectsHarness {
	people := people{s3.NewFromConfig(config(server.SecretKey), func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String(address), true
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})}
	options := s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{
				{Name: backend, Endpoint: address, PathStyle: true},
				{Name: elsewhere, Endpoint: strings.Replace(address, "127.0.0.1", "localhost", 1), PathStyle: true},
			}
		},
		Emulated: map[string]s3store.Conditions{backend: emulated, elsewhere: emulated},
	}
	h := storetest.ObjectsHarness{
		Store:      s3store.New(config(server.SecretKey), options),
		People:     people,
		NewBucket:  people.newBucket,
		Deviations: deviations,
		Elsewhere: func(b object.Bucket) object.Bucket {
			return object.Bucket{Backend: elsewhere, Name: b.Name}
		},
	}
	if s.secrets {
		h.Denied = s3store.New(config("not the secret"), options)
	}
	return h
}

func config(secret string) aws.Config {
	return aws.Config{
		Region:      server.Region,
		Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, secret, ""),
		HTTPClient:  &http.Client{Transport: server.FromMemory{}},
	}
}

// people are the people behind a real server: the SDK, used plainly.
type people struct{ *s3.Client }

// patience for one thing that a person does.
const patience = 30 * time.Second

func (p people) newBucket(versioned bool) (object.Bucket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := fmt.Sprintf("conformance-%d", bucketsMade.Add(1))
	if _, err := p.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		return object.Bucket{}, err
	}
	if versioned {
		if _, err := p.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket:                  &name,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		}); err != nil {
			return object.Bucket{}, err
		}
	}
	return object.Bucket{Backend: backend, Name: name}, nil
}

func (p people) Put(at object.Ref, c storetest.Content) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	in := &s3.PutObjectInput{
		Bucket:       &at.Bucket.Name,
		Key:          &at.Key,
		Body:         bytes.NewReader(c.Body),
		Metadata:     c.Metadata,
		StorageClass: types.StorageClass(c.StorageClass),
	}
	if c.ContentType != "" {
		in.ContentType = &c.ContentType
	}
	if len(c.Tags) > 0 {
		tags := url.Values{}
		for k, v := range c.Tags {
			tags.Set(k, v)
		}
		in.Tagging = aws.String(tags.Encode())
	}
	if c.Summed {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	}
	_, err := p.PutObject(ctx, in)
	return err
}

func (p people) Leave(to object.Bucket, from object.Ref, c storetest.Content) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := p.PutBucketReplication(ctx, &s3.PutBucketReplicationInput{
		Bucket: &from.Bucket.Name,
		ReplicationConfiguration: &types.ReplicationConfiguration{
			Role: aws.String("arn:aws:iam::000000000000:role/replication"),
			Rules: []types.ReplicationRule{{
				Status: types.ReplicationRuleStatusEnabled, Priority: aws.Int32(1), Filter: &types.ReplicationRuleFilter{Prefix: aws.String("")},
				DeleteMarkerReplication: &types.DeleteMarkerReplication{Status: types.DeleteMarkerReplicationStatusDisabled},
				Destination:             &types.Destination{Bucket: aws.String("arn:aws:s3:::" + to.Name)},
			}},
		},
	}); err != nil {
		return err
	}
	return p.Put(from, c)
}

func (p people) Remove(at object.Ref) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := p.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &at.Bucket.Name, Key: &at.Key})
	return err
}

func (p people) Get(at object.Ref) (storetest.Found, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := p.GetObject(ctx, &s3.GetObjectInput{Bucket: &at.Bucket.Name, Key: &at.Key})
	var absent *types.NoSuchKey
	if errors.As(err, &absent) {
		return storetest.Found{}, false, nil
	}
	if err != nil {
		return storetest.Found{}, false, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return storetest.Found{}, false, err
	}
	f := storetest.Found{Content: storetest.Content{
		Body:         body,
		ContentType:  aws.ToString(out.ContentType),
		Metadata:     out.Metadata,
		Tags:         map[string]string{},
		StorageClass: string(out.StorageClass),
		SSE:          string(out.ServerSideEncryption),
		KMSKey:       aws.ToString(out.SSEKMSKeyId),
	}}
	tags, err := p.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &at.Bucket.Name, Key: &at.Key})
	if err != nil {
		return storetest.Found{}, false, err
	}
	for _, t := range tags.TagSet {
		f.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return f, true, nil
}

func (p people) Versions(at object.Ref) (objects, markers int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := p.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &at.Bucket.Name, Prefix: &at.Key})
	if err != nil {
		return 0, 0, err
	}
	for _, v := range out.Versions {
		if aws.ToString(v.Key) == at.Key {
			objects++
		}
	}
	for _, m := range out.DeleteMarkers {
		if aws.ToString(m.Key) == at.Key {
			markers++
		}
	}
	return objects, markers, nil
}
