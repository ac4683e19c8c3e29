// Package adminapi is the administration API: what is replicated, how that
// goes, and the few things somebody can do about it. It stands behind a single
// proxy method of an API Gateway REST API, which lets in who may come (IAM):
// routing, validation and the form of every answer are here, once.
package adminapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/inspect"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/run"
)

// Handler answers the requests. It may be used concurrently.
type Handler struct {
	Catalogs Catalogs
	Runs     *run.Runs
	Store    Store
	Failures Failures
	Hours    Hours

	Transfers    Transfers
	Capabilities Capabilities

	Inspect *inspect.Inspector
	Assets  fs.FS // has the libraries of the page
	Log     *slog.Logger
	Now     func() time.Time
	// Sleep waits for d. Where ctx ends before, it answers the error of ctx.
	Sleep func(ctx context.Context, d time.Duration) error

	memory memory
}

// answer is a status and what is said, as JSON but for what is for the browser;
// nothing where both body and text are empty.
type answer struct {
	status int
	body   any
	text   string // the body, encoded
	media  string // the type of text; empty: JSON
	allow  string // the methods of the path, where the request's is none of them
	etag   string // quoted
}

// Handle answers one request. What cannot be done is an answer too, so the
// error is always nil: API Gateway would make a 502 of it, without a word.
func (h *Handler) Handle(ctx context.Context, e events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	var r request
	a, err := h.serve(ctx, e, &r)
	if err != nil {
		a = h.refuse(ctx, e, err)
	}
	if r.route.serve != nil && !r.route.asks {
		h.audit(ctx, e, r, a)
	}
	return a.response(e.HTTPMethod), nil
}

// serve finds the route, fills in r, goes there, and encodes what comes back.
func (h *Handler) serve(ctx context.Context, e events.APIGatewayProxyRequest, r *request) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := r.read(e); err != nil {
		return answer{}, err
	}
	if a, err = r.route.serve(h, ctx, r); err != nil {
		return answer{}, err
	}
	if r.header("Accept") == fragment {
		if view := viewOf(a.body, r, h.Now()); view != nil {
			return a, a.render(view)
		}
	}
	return a, a.encode()
}

// refuse makes an answer of an error. What is no fault of the caller's goes to
// the log with all its causes, and the caller gets the request's id to find it.
func (h *Handler) refuse(ctx context.Context, e events.APIGatewayProxyRequest, err error) answer {
	f := refusalOf(err)
	if f.status >= http.StatusInternalServerError {
		id := e.RequestContext.RequestID
		h.Log.ErrorContext(ctx, "not answered", "method", e.HTTPMethod, "path", e.Path, "api_request", id, "error", err)
		f.message = fmt.Sprintf("%s (request %s)", f.message, id)
	}
	return f.answer()
}

// audit writes down who changed what, or tried to.
func (h *Handler) audit(ctx context.Context, e events.APIGatewayProxyRequest, r request, a answer) {
	attrs := []slog.Attr{
		slog.String("caller", e.RequestContext.Identity.UserArn),
		slog.String("source_ip", e.RequestContext.Identity.SourceIP),
		slog.String("method", e.HTTPMethod),
		slog.String("route", r.route.path),
		slog.String("rule", r.rule),
		slog.Int("status", a.status),
		slog.String("api_request", e.RequestContext.RequestID),
	}
	switch body := a.body.(type) {
	case errorBody:
		attrs = append(attrs, slog.String("outcome", body.Error.Code))
	case runBody:
		attrs = append(attrs, slog.String("outcome", "done"), slog.Int64("run", body.RunID))
	case verifyBody:
		attrs = append(attrs, slog.String("outcome", "done"), slog.Int64("verification", body.VerificationID))
	case storedBody:
		attrs = append(attrs, slog.String("outcome", "done"), slog.Int64("revision", body.Revision))
	default:
		attrs = append(attrs, slog.String("outcome", "done"))
	}
	h.Log.LogAttrs(ctx, slog.LevelInfo, "audit", attrs...)
}

// refusal is an error with an answer of its own.
type refusal struct {
	status        int
	code, message string
	details       []string
	allow         string
	cause         error // for the log
}

func (f *refusal) Error() string {
	if f.cause != nil {
		return fmt.Sprintf("%s: %v", f.message, f.cause)
	}
	return f.message
}

func (f *refusal) Unwrap() error { return f.cause }

func (f *refusal) answer() answer {
	details := f.details
	if details == nil {
		details = []string{}
	}
	a := answer{
		status: f.status,
		body:   errorBody{Error: errorFields{Code: f.code, Message: f.message, Details: details}},
		allow:  f.allow,
	}
	if err := a.encode(); err != nil {
		panic(err) // strings can always be encoded
	}
	return a
}

// The one form of errors. The codes are those of package run where it refuses,
// and otherwise those in this package.
type errorBody struct {
	Error errorFields `json:"error"`
}

type errorFields struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Details []string `json:"details"` // each thing that is wrong with a request
}

func conflict(code, format string, args ...any) error {
	return &refusal{status: http.StatusConflict, code: code, message: fmt.Sprintf(format, args...)}
}

// refusalOf is what the caller is told of an error.
func refusalOf(err error) *refusal {
	var known *refusal
	if errors.As(err, &known) {
		f := *known
		return &f
	}
	var e *object.Error
	if !errors.As(err, &e) {
		return &refusal{status: http.StatusInternalServerError, code: "Internal", message: "this should not have happened"}
	}
	switch e.Code {
	case run.CodeActive, run.CodeNotActive, run.CodePaused, run.CodeNothing, run.CodeOutOfScope, run.CodeDiffer, codeRulesChanged:
		return &refusal{status: http.StatusConflict, code: e.Code, message: e.Err.Error()}
	case codeRuleNotFound:
		return &refusal{status: http.StatusNotFound, code: codeJobNotFound, message: "the rule was removed just now"}
	}
	switch e.Class {
	case object.Premise:
		return &refusal{status: http.StatusConflict, code: "Conflict", message: "somebody else changed the same just now: look at it again"}
	case object.Retryable:
		return &refusal{status: http.StatusServiceUnavailable, code: "Unavailable", message: "this did not work now: try again"}
	default:
		return &refusal{status: http.StatusInternalServerError, code: "Internal", message: "this does not work until somebody puts it right"}
	}
}

const (
	codeRuleNotFound = "RuleNotFound" // of Catalogs, too
	codeJobNotFound  = "JobNotFound"
	codeRuleDisabled = "RuleDisabled"

	codeRuleDeployed   = "RuleDeployed"
	codeBucketNotFound = "BucketNotFound"
	codeRulesChanged   = "RulesChanged" // of inspect, too
	codeUnreadable     = "Unreadable"
)
