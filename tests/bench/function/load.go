package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"bucket-replicator/localstack/cloud"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

// source puts the objects where the deployed function does not hear of them,
// and answers one event for each.
func source(ctx context.Context, c *cloud.Cloud) ([]string, error) {
	const bucket = "bench-source"
	client := c.S3()
	if _, err := client.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{
		Bucket: aws.String(bucket), NotificationConfiguration: &types.NotificationConfiguration{},
	}); err != nil {
		return nil, fmt.Errorf("silence %s: %w", bucket, err)
	}
	messages := make([]string, objects)
	var puts errgroup.Group
	puts.SetLimit(8)
	for i := range objects {
		puts.Go(func() error {
			key := fmt.Sprintf("%05d", i)
			out, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(key)})
			if err != nil {
				return fmt.Errorf("put %s: %w", key, err)
			}
			messages[i], err = event(bucket, key, strings.Trim(*out.ETag, `"`), i)
			return err
		})
	}
	return messages, puts.Wait()
}

// event is what S3 tells EventBridge of a new object.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
func event(bucket, key, etag string, sequencer int) (string, error) {
	text, err := json.Marshal(map[string]any{
		"source": "aws.s3", "detail-type": "Object Created", "time": time.Now().UTC().Format(time.RFC3339),
		"detail": map[string]any{
			"bucket":     map[string]any{"name": bucket},
			"object":     map[string]any{"key": key, "size": len(key), "etag": etag, "sequencer": fmt.Sprintf("%016X", sequencer)},
			"request-id": fmt.Sprintf("REQUEST%d", sequencer), "reason": "PutObject",
		},
	})
	return string(text), err
}

// weigh answers the size of a file, and of a zip of it, in bytes.
func weigh(file string) (size, zipped int, err error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	var packed bytes.Buffer
	archive := zip.NewWriter(&packed)
	entry, err := archive.Create("bootstrap")
	if err == nil {
		_, err = entry.Write(content)
	}
	return len(content), packed.Len(), errors.Join(err, archive.Close())
}
