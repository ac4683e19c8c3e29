package s3store

import (
	"context"
	"sync"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Notifications switches on the events of buckets of this account. It is safe
// for concurrent use.
type Notifications struct {
	cfg aws.Config

	mu      sync.Mutex
	clients map[string]*s3.Client // by region
}

// NewNotifications makes the clients from cfg; its region is the one of buckets
// for which none is named.
func NewNotifications(cfg aws.Config) *Notifications {
	return &Notifications{cfg: cfg, clients: map[string]*s3.Client{}}
}

// SwitchOn makes a bucket send its events to EventBridge, and reports whether
// it did not before. S3 only replaces the whole notification configuration, so
// everything else in it is read and put back as it is, and nothing is written
// where EventBridge is on already. S3 has no condition for that: what somebody
// else changes between the two requests is lost.
//
// Whether the queues, topics and functions in it still exist is not checked
// again: one that is broken is no reason to go without events.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
func (n *Notifications) SwitchOn(ctx context.Context, bucket, region string) (bool, error) {
	const op = "switch EventBridge on for bucket"
	at := object.Ref{Bucket: object.Bucket{Backend: object.AWS, Name: bucket}}
	client := n.client(region)
	found, err := client.GetBucketNotificationConfiguration(ctx, &s3.GetBucketNotificationConfigurationInput{
		Bucket: aws.String(bucket),
	})
	if err != nil {
		return false, classify(op, at, err)
	}
	if found.EventBridgeConfiguration != nil {
		return false, nil
	}
	_, err = client.PutBucketNotificationConfiguration(ctx, &s3.PutBucketNotificationConfigurationInput{
		Bucket: aws.String(bucket),
		NotificationConfiguration: &types.NotificationConfiguration{
			EventBridgeConfiguration:     &types.EventBridgeConfiguration{},
			LambdaFunctionConfigurations: found.LambdaFunctionConfigurations,
			QueueConfigurations:          found.QueueConfigurations,
			TopicConfigurations:          found.TopicConfigurations,
		},
		SkipDestinationValidation: aws.Bool(true),
	})
	if err != nil {
		return false, classify(op, at, err)
	}
	return true, nil
}

func (n *Notifications) client(region string) *s3.Client {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.clients[region] == nil {
		n.clients[region] = s3.NewFromConfig(n.cfg, func(o *s3.Options) {
			if region != "" {
				o.Region = region
			}
		})
	}
	return n.clients[region]
}
