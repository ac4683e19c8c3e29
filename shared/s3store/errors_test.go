package s3store_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"bucket-replicator/shared/object"
)

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		op     string
		status int
		code   string // empty: no body, as of a HEAD
		class  object.Class
		as     string // the code in the error
	}{
		{"head", 403, "", object.Permanent, "AccessDenied"},
		{"head", 400, "", object.Permanent, "BadRequest"},
		{"head", 503, "", object.Retryable, "ServiceUnavailable"},
		{"head", 500, "", object.Retryable, "InternalServerError"},

		{"copy", 412, "PreconditionFailed", object.Premise, ""},
		{"copy", 404, "NoSuchKey", object.Premise, ""},
		{"copy", 404, "NoSuchVersion", object.Premise, ""},
		{"copy", 404, "NoSuchBucket", object.Permanent, ""},
		{"copy", 403, "InvalidObjectState", object.Premise, ""},
		{"copy", 403, "AccessDenied", object.Permanent, ""},
		{"copy", 403, "InvalidAccessKeyId", object.Permanent, ""},
		{"copy", 403, "RequestTimeTooSkewed", object.Retryable, ""},
		{"copy", 400, "ExpiredToken", object.Retryable, ""},
		{"copy", 400, "RequestTimeout", object.Retryable, ""},
		{"copy", 400, "KMS.DisabledException", object.Permanent, ""},
		{"copy", 400, "InvalidArgument", object.Permanent, ""},
		{"copy", 301, "PermanentRedirect", object.Permanent, ""},
		{"copy", 409, "ConditionalRequestConflict", object.Retryable, ""},
		{"copy", 409, "OperationAborted", object.Retryable, ""},
		{"copy", 429, "TooManyRequests", object.Retryable, ""},
		{"copy", 500, "InternalError", object.Retryable, ""},
		{"copy", 503, "SlowDown", object.Retryable, ""},
		{"copy", 501, "NotImplemented", object.Permanent, ""},

		{"delete", 412, "PreconditionFailed", object.Premise, ""},
		{"delete", 404, "NoSuchKey", object.Premise, ""},
		{"delete", 404, "NoSuchBucket", object.Permanent, ""},
		{"delete", 403, "AccessDenied", object.Permanent, ""},
		{"delete", 405, "MethodNotAllowed", object.Permanent, ""},

		{"list", 404, "NoSuchBucket", object.Permanent, ""},
		{"list", 404, "SomethingNew", object.Permanent, ""},
		{"list", 403, "AccessDenied", object.Permanent, ""},
		{"list", 503, "SlowDown", object.Retryable, ""},
	} {
		t.Run(c.op+" "+c.as+c.code, func(t *testing.T) {
			t.Parallel() // the SDK waits between attempts
			a := answer{status: c.status}
			if c.code != "" {
				a = failed(c.status, c.code)
			}
			// As often as the SDK may try.
			store := script(t, a, a, a).store(native)
			var err error
			switch c.op {
			case "head":
				_, err = store.Head(t.Context(), toB, false)
			case "copy":
				_, err = store.Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "e"})
			case "delete":
				err = store.Delete(t.Context(), toB, "e")
			case "list":
				_, _, err = store.List(t.Context(), remote, "", "", 10)
			}
			var e *object.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, which is not classified", err)
			}
			code := c.code
			if c.as != "" {
				code = c.as
			}
			if e.Class != c.class || e.Code != code || e.Op != c.op || e.Ref.Bucket != remote {
				t.Errorf("class %d, code %s, op %s, ref %s; want %d, %s", e.Class, e.Code, e.Op, e.Ref, c.class, code)
			}
		})
	}
}

func TestACancelledCallIsRetryable(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := script(t).store(native).Head(ctx, toB, false)
	if object.ClassOf(err) != object.Retryable || object.CodeOf(err) != "RequestCanceled" || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAnErrorIsInTheWordsOfItsServer(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		want   string
	}{
		"it says why":       {answer{status: 403, header: http.Header{"X-Amz-Request-Id": {"R1"}}, body: "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>"}, "delete " + toB.String() + ": AccessDenied: not you (request R1)"},
		"without an id":     {failed(404, "NoSuchBucket"), "delete " + toB.String() + ": NoSuchBucket: m"},
		"without a body":    {answer{status: 405, header: http.Header{"X-Amz-Request-Id": {"R2"}}}, "delete " + toB.String() + ": MethodNotAllowed: Method Not Allowed (request R2)"},
		"without an answer": {answer{hangUp: true}, ""}, // the SDK's words are all there is
	} {
		t.Run(name, func(t *testing.T) {
			err := script(t, c.answer, c.answer, c.answer).store(native).Delete(t.Context(), toB, "e")
			if err == nil || c.want != "" && err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
