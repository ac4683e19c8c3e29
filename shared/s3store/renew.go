package s3store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// renewGap bounds how often credentials are read again because a request was
// refused: a right that is missing looks the same as a key that was rotated.
const renewGap = 30 * time.Second

// refusals are what servers answer to credentials that are no longer good.
var refusals = []string{
	"AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
}

// renewal is a middleware around each attempt of a request: where the server
// refuses the credentials it has them read again, and says whether that gave
// other ones. A secret that was rotated, or a session that was ended early,
// heals by that.
type renewal struct {
	cache *aws.CredentialsCache

	mu   sync.Mutex
	last time.Time
}

// renewed is a refusal of credentials that were replaced since. The request
// took no effect.
type renewed struct{ error }

func (e *renewed) Unwrap() error      { return e.error }
func (*renewed) RetryableError() bool { return true }

// ID names the middleware.
func (*renewal) ID() string { return "RenewCredentials" }

// HandleFinalize makes one attempt.
func (r *renewal) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	used, before := r.cache.Retrieve(ctx)
	out, metadata, err := next.HandleFinalize(ctx, in)
	var api smithy.APIError
	if err == nil || before != nil || !errors.As(err, &api) || !slices.Contains(refusals, api.ErrorCode()) {
		return out, metadata, err
	}
	if now, failed := r.replace(ctx, used); failed == nil && !same(now, used) {
		err = &renewed{err}
	}
	return out, metadata, err
}

// replace answers the credentials to use in place of those that were refused.
// Of many requests that are refused at a time, the first has them read again.
func (r *renewal) replace(ctx context.Context, used aws.Credentials) (aws.Credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, err := r.cache.Retrieve(ctx)
	if err != nil || !same(now, used) || time.Since(r.last) < renewGap {
		return now, err
	}
	r.last = time.Now()
	r.cache.Invalidate()
	return r.cache.Retrieve(ctx)
}

func same(a, b aws.Credentials) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SecretAccessKey == b.SecretAccessKey && a.SessionToken == b.SessionToken
}

// around puts the middleware inside of the SDK's retries.
func (r *renewal) around(stack *middleware.Stack) error {
	return stack.Finalize.Insert(r, "Retry", middleware.After)
}
