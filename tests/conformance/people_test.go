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

func (p people) newBucket(traits storetest.Traits) (object.Bucket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	name := fmt.Sprintf("conformance-%d", bucketsMade.Add(1))
	in := &s3.CreateBucketInput{Bucket: &name}
	if traits.ObjectLock { // which has versions then
		in.ObjectLockEnabledForBucket = aws.Bool(true)
	}
	if _, err := p.CreateBucket(ctx, in); err != nil {
		return object.Bucket{}, err
	}
	if traits.Versioned && !traits.ObjectLock {
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
	for name, field := range map[string]**string{
		"Cache-Control": &in.CacheControl, "Content-Disposition": &in.ContentDisposition,
		"Content-Encoding": &in.ContentEncoding, "Content-Language": &in.ContentLanguage,
	} {
		if value, ok := c.Headers[name]; ok {
			*field = &value
		}
	}
	if date, err := http.ParseTime(c.Headers["Expires"]); err == nil {
		in.Expires = &date
	}
	if c.Redirect != "" {
		in.WebsiteRedirectLocation = &c.Redirect
	}
	if c.Summed {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256
	}
	if c.Lock != (object.Lock{}) {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = types.ObjectLockMode(c.Lock.Mode), &c.Lock.Until
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 // S3 takes no lock without
		if c.Lock.LegalHold {
			in.ObjectLockLegalHoldStatus = types.ObjectLockLegalHoldStatusOn
		}
	}
	if len(c.Tags) > 0 {
		tags := url.Values{}
		for k, v := range c.Tags {
			tags.Set(k, v)
		}
		in.Tagging = aws.String(tags.Encode())
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
	out, err := p.GetObject(ctx, &s3.GetObjectInput{Bucket: &at.Bucket.Name, Key: &at.Key, ChecksumMode: types.ChecksumModeEnabled})
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
		BucketKey:    aws.ToBool(out.BucketKeyEnabled),
		Redirect:     aws.ToString(out.WebsiteRedirectLocation),
		Headers:      map[string]string{},
	}}
	head, err := p.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &at.Bucket.Name, Key: &at.Key})
	if err != nil {
		return storetest.Found{}, false, err
	}
	f.Lock = object.Lock{ // versitygw does not tell of it where an object is read
		Mode: string(head.ObjectLockMode), Until: aws.ToTime(head.ObjectLockRetainUntilDate).UTC(),
		LegalHold: head.ObjectLockLegalHoldStatus == types.ObjectLockLegalHoldStatusOn,
	}
	for name, value := range map[string]*string{
		"Cache-Control": out.CacheControl, "Content-Disposition": out.ContentDisposition,
		"Content-Encoding": out.ContentEncoding, "Content-Language": out.ContentLanguage, "Expires": out.ExpiresString,
	} {
		if value != nil {
			f.Headers[name] = *value
		}
	}
	if out.ChecksumSHA256 != nil {
		f.Sum = "SHA256:" + *out.ChecksumSHA256
	}
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
