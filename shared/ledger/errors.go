package ledger

import (
	"context"
	"errors"

	"bucket-replicator/shared/object"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// errUnprocessed is what is left when a batch was throttled for too long.
var errUnprocessed error = &smithy.GenericAPIError{
	Code:    "ProvisionedThroughputExceededException",
	Message: "some keys of the batch stayed unprocessed",
	Fault:   smithy.FaultServer,
}

// permanent are the codes that somebody has to do something about. What is not
// here is tried again, transactions in conflict and expired credentials
// included.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
var permanent = map[string]bool{
	"AccessDeniedException":          true,
	"IncompleteSignatureException":   true,
	"InvalidSignatureException":      true,
	"MissingAuthenticationToken":     true,
	"MissingAuthenticationException": true,
	"ResourceNotFoundException":      true,
	"UnrecognizedClientException":    true,
	"ValidationException":            true,
}

const conditionFailed = "ConditionalCheckFailedException"

// classify wraps what DynamoDB answered; an error that is classified stays. A transaction that was cancelled
// by a condition is a Premise; by anything else it is worth another try.
func classify(op string, ref object.Ref, err error) error {
	var classified *object.Error
	if errors.As(err, &classified) {
		return err
	}
	e := &object.Error{Class: object.Retryable, Op: op, Ref: ref, Code: "Internal", Err: err}
	var api smithy.APIError
	var cancelled *types.TransactionCanceledException
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Code = "RequestCanceled"
	case errors.As(err, &cancelled):
		e.Code = cancelled.ErrorCode()
		for _, r := range cancelled.CancellationReasons {
			if r.Code == nil {
				continue
			}
			switch *r.Code {
			case "ConditionalCheckFailed":
				e.Code, e.Class = conditionFailed, object.Premise
			case "ValidationError", "ItemCollectionSizeLimitExceeded":
				e.Code, e.Class = *r.Code, object.Permanent
			}
		}
	case errors.As(err, &api):
		e.Code = api.ErrorCode()
		switch {
		case e.Code == conditionFailed:
			e.Class = object.Premise
		case permanent[e.Code]:
			e.Class = object.Permanent
		}
	}
	return e
}
