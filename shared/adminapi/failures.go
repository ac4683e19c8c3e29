package adminapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/object"
)

type failuresBody struct {
	Failures []failureBody `json:"failures"`
	// NextCursor asks for the page that follows; null: there is none.
	NextCursor *string `json:"next_cursor"`

	// For the page: the alias of the source.
	bucket string
}

// failureBody is an object that could not be replicated.
type failureBody struct {
	ID         string     `json:"id"`
	RunID      *int64     `json:"run_id"` // null: an event met it
	OccurredAt *time.Time `json:"occurred_at"`
	SourceKey  string     `json:"source_key"`
	// SourceKeyBase64 is the source key where it is not UTF-8, so that JSON
	// cannot hold it; SourceKey is only like it then.
	SourceKeyBase64 string `json:"source_key_base64,omitempty"`
	destKey
	Code        string     `json:"code"`
	Error       string     `json:"error"`
	Advice      string     `json:"advice"`
	Attempts    int        `json:"attempts"`      // in a row
	WillRetryAt *time.Time `json:"will_retry_at"` // null: not before somebody acts

	raw string // the source key, for the page
}

// destKey is a destination key, as failureBody has the source's.
type destKey struct {
	DestKey       string `json:"dest_key"`
	DestKeyBase64 string `json:"dest_key_base64,omitempty"`
}

func destKeyOf(key string) destKey { return destKey{DestKey: key, DestKeyBase64: base64Of(key)} }

// base64Of is empty where JSON can hold the key as it is.
func base64Of(key string) string {
	if utf8.ValidString(key) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(key))
}

func (h *Handler) failures(ctx context.Context, r *request) (answer, error) {
	limit := int(r.integer("limit", defaultLimit, 1, maxFailures))
	after := r.failurePlace("cursor")
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	stored, err := h.known(ctx, r.rule)
	if err != nil {
		return answer{}, err
	}
	failures, err := h.Failures.FailurePage(ctx, r.rule, after, limit+1)
	if err != nil {
		return answer{}, err
	}
	body := failuresBody{bucket: stored.Rule.Source.Bucket}
	if len(failures) > limit {
		failures = failures[:limit]
		next := failureCursor(failures[limit-1].Place())
		body.NextCursor = &next
	}
	body.Failures = make([]failureBody, len(failures))
	for i, f := range failures {
		body.Failures[i] = failureBodyOf(f)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// failureCursor is what a page is asked for with that begins after a place.
func failureCursor(p object.FailurePlace) string {
	return cursors.EncodeToString(fmt.Appendf(nil, "%d.%s", p.OccurredAt.UnixMilli(), p.ID))
}

var failureID = regexp.MustCompile(`^[0-9a-f]{64}$`)

// failurePlace is the inverse of failureCursor; the zero place where the
// parameter is not given.
func (r *request) failurePlace(name string) object.FailurePlace {
	v, ok := r.value(name)
	if !ok {
		return object.FailurePlace{}
	}
	text, err := cursors.DecodeString(v)
	at, id, _ := strings.Cut(string(text), ".")
	ms, notNumber := strconv.ParseInt(at, 10, 64)
	if err != nil || notNumber != nil || !failureID.MatchString(id) {
		r.problem(name, "is %q: give the next_cursor of the page before, as it is", shortened(v))
	}
	return object.FailurePlace{OccurredAt: time.UnixMilli(ms).UTC(), ID: id}
}

func failureBodyOf(f object.Failure) failureBody {
	b := failureBody{
		raw: f.Source.Key, ID: f.ID(), OccurredAt: instant(f.OccurredAt),
		SourceKey: f.Source.Key, SourceKeyBase64: base64Of(f.Source.Key), destKey: destKeyOf(f.Dest.Key),
		Code: f.Code, Error: f.Message, Advice: f.Advice, Attempts: f.Attempts, WillRetryAt: instant(f.Due()),
	}
	if f.Run != 0 {
		b.RunID = &f.Run
	}
	return b
}
