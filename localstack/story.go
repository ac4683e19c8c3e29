package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"bucket-replicator/localstack/cloud"
)

// patience is how long a scene waits for what it tells of. Things happen within
// a second; a message that is put back takes some more.
const patience = time.Minute

// story is what the scenes of the demo are told with: each method does or
// checks one thing at the buckets and prints what it saw.
type story struct {
	out       io.Writer
	cloud     *cloud.Cloud
	stack     cloud.Stack
	latencies []time.Duration // from PUT to replica, one per expected copy
}

type object struct{ bucket, key string }

func (o object) String() string { return o.bucket + "/" + o.key }

// meaning says why in words, for the reasons that the demo brings about.
var meaning = map[string]string{
	"removed":  "the source is gone, and the replica is still as the rule wrote it",
	"excluded": "the rule's exclude_globs name it",
	"not_ours": "the rule did not write what is there now, so it is not the rule's to delete",
	"echo":     "it came from the bucket that it would go to",
}

func (s *story) say(verb string, at object, format string, args ...any) {
	line := fmt.Sprintf("  %-7s %-32s %s", verb, at, fmt.Sprintf(format, args...))
	fmt.Fprintln(s.out, strings.TrimRight(line, " "))
}

func (s *story) put(ctx context.Context, at object, body []byte) error {
	_, err := s.cloud.S3().PutObject(ctx, &s3.PutObjectInput{Bucket: &at.bucket, Key: &at.key, Body: bytes.NewReader(body)})
	if err != nil {
		return fmt.Errorf("put %s: %w", at, err)
	}
	s.say("PUT", at, "%d bytes", len(body))
	return nil
}

func (s *story) delete(ctx context.Context, at object) error {
	if _, err := s.cloud.S3().DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &at.bucket, Key: &at.key}); err != nil {
		return fmt.Errorf("delete %s: %w", at, err)
	}
	s.say("DELETE", at, "")
	return nil
}

// get answers nil, false where there is no object.
func (s *story) get(ctx context.Context, at object) ([]byte, bool, error) {
	answer, err := s.cloud.S3().GetObject(ctx, &s3.GetObjectInput{Bucket: &at.bucket, Key: &at.key})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("get %s: %w", at, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return body, true, err
}

// putAndArrive puts an object and waits until its replica has the same bytes.
func (s *story) putAndArrive(ctx context.Context, source, replica object, body []byte) error {
	if err := s.put(ctx, source, body); err != nil {
		return err
	}
	written := time.Now()
	err := wait(ctx, "replica "+replica.String(), func() (bool, error) {
		found, ok, err := s.get(ctx, replica)
		return ok && bytes.Equal(found, body), err
	})
	if err != nil {
		return err
	}
	took := time.Since(written)
	s.latencies = append(s.latencies, took)
	s.say("", replica, "arrived after %.2f s, the same bytes", took.Seconds())
	return nil
}

// told waits for the function's log line about the object, and prints its
// answer.
func (s *story) told(ctx context.Context, rule string, about object, result, reason string) error {
	var last cloud.Outcome
	err := wait(ctx, fmt.Sprintf("outcome %s %s of %s for %s", result, reason, rule, about), func() (bool, error) {
		outcomes, err := s.cloud.Outcomes(ctx, s.stack)
		if err != nil {
			return false, err
		}
		for _, o := range outcomes {
			if o.Rule == rule && o.Bucket == "aws/"+about.bucket && o.Key == about.key {
				last = o
				if o.Result == result && o.Reason == reason {
					return true, nil
				}
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%w (the last that was logged: %q %q %s)", err, last.Result, last.Reason, last.Error)
	}
	s.say("", about, "%s by %s: %s, %s", last.Result, last.Rule, last.Reason, meaning[last.Reason])
	return nil
}

func (s *story) isAbsent(ctx context.Context, at object) error {
	_, ok, err := s.get(ctx, at)
	if err != nil {
		return err
	}
	if ok {
		return fmt.Errorf("%s is there and should not be", at)
	}
	s.say("", at, "is not there")
	return nil
}

func (s *story) stillHolds(ctx context.Context, at object, body []byte) error {
	found, ok, err := s.get(ctx, at)
	if err != nil {
		return err
	}
	if !ok || !bytes.Equal(found, body) {
		return fmt.Errorf("%s should hold %q and holds %q", at, body, found)
	}
	s.say("", at, "still holds %q", found)
	return nil
}

// settle waits until no message is in the events queue or at work.
func (s *story) settle(ctx context.Context) error {
	client := sqs.NewFromConfig(s.cloud.AWS())
	url := s.stack.Outputs["EventsQueueUrl"]
	waiting := []sqstypes.QueueAttributeName{
		sqstypes.QueueAttributeNameApproximateNumberOfMessages,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		sqstypes.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	return wait(ctx, "an empty queue", func() (bool, error) {
		answer, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: waiting})
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", url, err)
		}
		for _, n := range answer.Attributes {
			if n != "0" {
				return false, nil
			}
		}
		return true, nil
	})
}

// wait asks until the answer is yes. It gives up on an error, or when its
// patience ends.
func wait(ctx context.Context, what string, ready func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ready()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s in vain for %s", patience, what)
		case <-tick.C:
		}
	}
}
