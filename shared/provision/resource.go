package provision

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"bucket-replicator/shared/rule"

	"github.com/aws/aws-lambda-go/cfn"
)

const (
	// physicalID never changes: a new one would make CloudFormation delete the
	// old resource after every update.
	physicalID = "replication-configuration"
	// reserve is kept before the function's deadline for the answer, without
	// which CloudFormation waits for an hour.
	reserve = 10 * time.Second
	// maxAnswer is CloudFormation's limit for an answer, in bytes.
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
	maxAnswer = 4096
)

// Resource is the configuration as a custom resource of the stack: made and
// updated by provisioning it. Deleting it changes nothing: the tables are
// retained with their rules where that matters, and somebody else may have come
// to rely on a bucket's events.
type Resource struct {
	Provisioner Provisioner
	// ConfigFile is the configuration as JSON that was deployed with the
	// function. The resource's own properties, which are too small for it,
	// only carry its hash, so that a change of it is an update.
	ConfigFile string
	Client     *http.Client
	Log        *slog.Logger
}

// properties of the resource. CloudFormation hands every value over as text.
type properties struct {
	Buckets []Bucket
}

// Handle does what CloudFormation asks and answers it, whatever happens; what
// went wrong is the answer's reason, which CloudFormation shows. Its own error
// means that the answer did not get through: Lambda then calls again.
func (r *Resource) Handle(ctx context.Context, e cfn.Event) error {
	err := r.fulfil(ctx, e)
	answer := cfn.NewResponse(&e)
	answer.PhysicalResourceID = physicalID
	answer.Status = cfn.StatusSuccess
	if err != nil {
		r.Log.ErrorContext(ctx, "not provisioned", "request", e.RequestType, "error", err)
		answer.Status = cfn.StatusFailed
		answer.Reason = err.Error()
	}
	if err := r.send(ctx, e.ResponseURL, answer); err != nil {
		return fmt.Errorf("answer CloudFormation: %w", err)
	}
	return nil
}

// fulfil ends in time for the answer, and a panic is an error of it.
func (r *Resource) fulfil(ctx context.Context, e cfn.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.ErrorContext(ctx, "panic", "value", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic, see the function's log: %v", p)
		}
	}()
	if e.RequestType == cfn.RequestDelete {
		r.Log.InfoContext(ctx, "left as it is: rules, and EventBridge of the source buckets")
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	c, configErr := readConfig(r.ConfigFile)
	p, propertiesErr := decode(e.ResourceProperties)
	if err := errors.Join(configErr, propertiesErr); err != nil {
		return err
	}
	switched, err := r.Provisioner.Provision(ctx, c, p.Buckets)
	if err != nil {
		return err
	}
	r.Log.InfoContext(ctx, "provisioned", "rules", len(c.Storage.Replication.Rules), "buckets", len(p.Buckets), "switched_on", switched)
	return nil
}

func readConfig(file string) (rule.Config, error) {
	var c rule.Config
	text, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read the configuration: %s: %w", file, err)
	}
	return c, nil
}

func decode(resource map[string]any) (properties, error) {
	var p properties
	text, err := json.Marshal(resource)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return properties{}, fmt.Errorf("resource properties: %w", err)
	}
	return p, nil
}

// send puts the answer where CloudFormation waits for it. The address is signed
// without a content type.
func (r *Resource) send(ctx context.Context, url string, answer *cfn.Response) error {
	body, err := encode(answer)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := r.Client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}

// encode keeps the answer within its limit by cutting the reason short.
func encode(answer *cfn.Response) ([]byte, error) {
	const more = " ... (all of it is in the function's log)"
	reason := answer.Reason
	for {
		body, err := json.Marshal(answer)
		if err != nil || len(body) <= maxAnswer || reason == "" {
			return body, err
		}
		reason = reason[:len(reason)*9/10]
		answer.Reason = strings.ToValidUTF8(reason, "") + more
	}
}
