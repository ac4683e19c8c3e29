// Package provision brings the account to what the configuration says, beyond
// what CloudFormation itself can: rules into the ledger without touching their
// pause state, and EventBridge switched on for buckets that the stack does not
// own.
package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bucket-replicator/shared/rule"
)

// Rules stores the configuration. Deploying what is stored already changes
// nothing.
type Rules interface {
	Deploy(ctx context.Context, c rule.Config, now time.Time) error
}

// Notifications makes a bucket send its events to EventBridge, keeps its other
// notifications, and reports whether it had to.
type Notifications interface {
	SwitchOn(ctx context.Context, bucket, region string) (bool, error)
}

// Bucket is a source bucket by its physical name. An empty region is the
// stack's own.
type Bucket struct{ Name, Region string }

// Provisioner is the use case.
type Provisioner struct {
	Rules         Rules
	Notifications Notifications
	Now           func() time.Time
}

// Provision switches the buckets on, and if all of them are, stores the
// configuration: a deployment that is about to be rolled back shall not change
// what is replicated. Its error has every bucket's problem. It reports how
// many buckets had to be switched on; S3 takes some minutes until their events
// arrive.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
func (p Provisioner) Provision(ctx context.Context, c rule.Config, buckets []Bucket) (int, error) {
	switched := 0
	var problems []error
	for _, b := range buckets {
		changed, err := p.Notifications.SwitchOn(ctx, b.Name, b.Region)
		if err != nil {
			problems = append(problems, err)
		}
		if changed {
			switched++
		}
	}
	if len(problems) > 0 {
		return switched, errors.Join(problems...)
	}
	if err := p.Rules.Deploy(ctx, c, p.Now()); err != nil {
		return switched, fmt.Errorf("store the configuration: %w", err)
	}
	return switched, nil
}
