package adminapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"time"
	"unicode/utf8"

	"bucket-replicator/shared/object"
)

type failuresBody struct {
	Failures []failureBody `json:"failures"`
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
	if err := r.invalid(); err != nil {
		return answer{}, err
	}
	if _, _, err := h.find(ctx, r.rule); err != nil {
		return answer{}, err
	}
	failures, err := h.Failures.Failures(ctx, r.rule, limit)
	if err != nil {
		return answer{}, err
	}
	body := failuresBody{Failures: make([]failureBody, len(failures))}
	for i, f := range failures {
		body.Failures[i] = failureBodyOf(f)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func failureBodyOf(f object.Failure) failureBody {
	b := failureBody{
		ID: f.ID(), OccurredAt: instant(f.OccurredAt),
		SourceKey: f.Source.Key, SourceKeyBase64: base64Of(f.Source.Key), destKey: destKeyOf(f.Dest.Key),
		Code: f.Code, Error: f.Message, Advice: f.Advice, Attempts: f.Attempts, WillRetryAt: instant(f.Due()),
	}
	if f.Run != 0 {
		b.RunID = &f.Run
	}
	return b
}
