package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	api       operator
	latencies []time.Duration // from PUT to replica, one per expected copy
	failures  int             // expected of events
	swept     int64           // copied by runs
}

type object struct{ bucket, key string }

func (o object) String() string { return o.bucket + "/" + o.key }

// meaning says why in words, for the reasons that the demo brings about.
var meaning = map[string]string{
	"removed":  "the source is gone, and the replica is still as the rule wrote it",
	"excluded": "the rule's exclude_globs name it",
	"not_ours": "the rule did not write what is there now, so it is not the rule's to delete",
	"echo":     "it came from the bucket that it would go to",
	"paused":   "somebody paused the rule",
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

func (s *story) tag(ctx context.Context, at object, name, value string) error {
	_, err := s.cloud.S3().PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
		Bucket: &at.bucket, Key: &at.key, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: &name, Value: &value}}},
	})
	if err != nil {
		return fmt.Errorf("tag %s: %w", at, err)
	}
	s.say("TAG", at, "%s=%s; unlike AWS, this cloud sends no event of it", name, value)
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
	if result == "failed" {
		s.say("", about, "failed by %s: %s", last.Rule, last.Code)
		return nil
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

// holds fails unless the object is there with these bytes; since says "still"
// or nothing.
func (s *story) holds(ctx context.Context, at object, since string, body []byte) error {
	found, ok, err := s.get(ctx, at)
	if err != nil {
		return err
	}
	if !ok || !bytes.Equal(found, body) {
		return fmt.Errorf("%s should hold %q and holds %q", at, body, found)
	}
	s.say("", at, "%s", strings.TrimSpace(fmt.Sprintf("%s holds %q", since, found)))
	return nil
}

// forbid lets nobody read the object, whatever else allows it.
func (s *story) forbid(ctx context.Context, what object) error {
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s"}]}`, what)
	if _, err := s.cloud.S3().PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &what.bucket, Policy: &policy}); err != nil {
		return fmt.Errorf("forbid reading %s: %w", what, err)
	}
	s.say("FORBID", what, "its bucket's policy lets nobody read it")
	return nil
}

func (s *story) permit(ctx context.Context, what object) error {
	if _, err := s.cloud.S3().DeleteBucketPolicy(ctx, &s3.DeleteBucketPolicyInput{Bucket: &what.bucket}); err != nil {
		return fmt.Errorf("permit reading %s: %w", what, err)
	}
	s.say("PERMIT", what, "the policy is gone")
	return nil
}

// post asks the API for something, prints its answer as it came, and returns
// the run that it tells of, if any.
func (s *story) post(ctx context.Context, rule, what string) (r runAnswer, err error) {
	status, answer, err := s.api.call(ctx, http.MethodPost, jobPath(rule, what))
	if err != nil {
		return r, fmt.Errorf("%s %s: %w", rule, what, err)
	}
	fmt.Fprintf(s.out, "  POST    $ADMIN_URL/jobs/%s%s\n", rule, what)
	fmt.Fprintln(s.out, strings.TrimRight(fmt.Sprintf("          %d %s", status, bytes.TrimSpace(answer)), " "))
	if len(answer) == 0 {
		return r, nil
	}
	return r, json.Unmarshal(answer, &r)
}

func (s *story) runNow(ctx context.Context, rule, how string) (runAnswer, error) {
	r, err := s.post(ctx, rule, "/run-now"+how)
	if err != nil || !r.Status.Active() {
		return r, err
	}
	return s.ended(ctx, rule, r.ID)
}

// resumed resumes a rule, and answers what became of the run that this starts.
func (s *story) resumed(ctx context.Context, rule string) (runAnswer, error) {
	r, err := s.post(ctx, rule, "/resume")
	if err != nil {
		return r, err
	}
	return s.ended(ctx, rule, r.ID)
}

// ended waits for the end of a rule's last run, and prints it as the API has it.
func (s *story) ended(ctx context.Context, rule string, id int64) (r runAnswer, err error) {
	var last json.RawMessage
	err = wait(ctx, fmt.Sprintf("end of run %d", id), func() (bool, error) {
		var list struct{ Runs []json.RawMessage }
		if _, err := s.api.get(ctx, jobPath(rule, "/runs?limit=1"), &list); err != nil {
			return false, err
		}
		if len(list.Runs) == 0 {
			return false, fmt.Errorf("%s has no runs", rule)
		}
		last, r = list.Runs[0], runAnswer{}
		err := json.Unmarshal(last, &r)
		return !r.Status.Active(), err
	})
	if err != nil {
		return r, err
	}
	if r.ID != id {
		return r, fmt.Errorf("the last run is %d and not %d", r.ID, id)
	}
	fmt.Fprintf(s.out, "          then %s\n", last)
	return r, nil
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

// indent writes lines two columns further right.
type indent struct{ io.Writer }

func (w indent) Write(lines []byte) (int, error) {
	for line := range bytes.Lines(lines) {
		if _, err := fmt.Fprintf(w.Writer, "  %s", line); err != nil {
			return 0, err
		}
	}
	return len(lines), nil
}
