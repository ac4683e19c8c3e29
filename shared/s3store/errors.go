package s3store

import (
	"context"
	"errors"
	"net/http"

	"bucket-replicator/shared/object"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// codeNoAnswer is the code of a request that may have taken effect, or not.
const codeNoAnswer = "NoAnswer"

// classes of the codes whose HTTP status alone would mislead: S3 sends several
// of them with a 400 or a 403, and CopyObject any of them inside a 200.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var classes = map[string]object.Class{
	"BadDigest":                   object.Retryable, // of bytes that changed on their way
	"BandwidthLimitExceeded":      object.Retryable,
	"ConditionalRequestConflict":  object.Retryable,
	"ExpiredToken":                object.Retryable, // the next credentials are fresh
	"IncompleteBody":              object.Retryable,
	"InternalError":               object.Retryable,
	"OperationAborted":            object.Retryable,
	"RequestExpired":              object.Retryable,
	"RequestLimitExceeded":        object.Retryable,
	"RequestTimeTooSkewed":        object.Retryable,
	"RequestTimeout":              object.Retryable,
	"ServiceUnavailable":          object.Retryable,
	"SlowDown":                    object.Retryable,
	"Throttling":                  object.Retryable,
	"ThrottlingException":         object.Retryable,
	"TokenRefreshRequired":        object.Retryable,
	"XAmzContentChecksumMismatch": object.Retryable,
	"NoSuchBucket":                object.Permanent,
	"InvalidPart":                 object.Premise, // another attempt replaced it
	"NoSuchKey":                   object.Premise,
	"NoSuchUpload":                object.Premise,
	"NoSuchVersion":               object.Premise,
	"PreconditionFailed":          object.Premise,
}

// classify makes err the *object.Error that the store's callers are promised.
// Which condition of a copy a 412 speaks of, S3 does not say; it is Premise
// either way.
func classify(op string, at object.Ref, err error) error {
	if err == nil {
		return nil
	}
	var ours *object.Error
	if errors.As(err, &ours) {
		if ours.Op == "" {
			ours.Op, ours.Ref = op, at
		}
		return ours
	}
	e := &object.Error{Op: op, Ref: at, Err: inWords(err)}
	e.Class, e.Code = classOf(op, err)
	return e
}

// refused is an error in the words of the server that answered it, without
// those of the SDK around them: people read it on the page.
type refused struct {
	words string
	error
}

func (r *refused) Error() string { return r.words }
func (r *refused) Unwrap() error { return r.error }

// inWords is err as its server put it, with the request's id, by which its
// operators find it.
func inWords(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorMessage() == "" {
		return err
	}
	words := api.ErrorMessage()
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.ServiceRequestID() != "" {
		words += " (request " + answer.ServiceRequestID() + ")"
	}
	return &refused{words, err}
}

func classOf(op string, err error) (object.Class, string) {
	status, code := status(err), ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	if code == "Forbidden" { // of a HEAD, whose answer has no body: the SDK takes the status
		code = "AccessDenied"
	}
	if code == "ConditionalRequestConflict" && op == "complete upload" {
		return object.Premise, code // the upload is spent: it takes a new one
	}
	if class, ok := classes[code]; ok {
		return class, code
	}
	switch {
	case code == "InvalidObjectState" && (op == "copy" || op == "copy part"):
		return object.Premise, code // it was archived since the look
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return object.Retryable, "RequestCanceled"
	case errors.As(err, new(*renewed)):
		return object.Retryable, "CredentialsRenewed"
	case errors.As(err, new(*unreadable)):
		return object.Retryable, "ListingUnreadable"
	case status == 0:
		return object.Retryable, codeNoAnswer
	case status == http.StatusPreconditionFailed, status == http.StatusNotFound && op != "list":
		return object.Premise, code
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooManyRequests:
		return object.Retryable, code
	case status >= 300 && status < 500, status == http.StatusNotImplemented:
		return object.Permanent, code
	default:
		return object.Retryable, code
	}
}

// status is the HTTP status that err came with, 0 where there was no answer.
func status(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}
