// Package webhook takes the events of backends that cannot send theirs to
// EventBridge: it finds out who sends, and puts what was sent into the events
// queue, untouched. Whether that makes sense is for whoever decodes it.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/event"
)

// MaxBody is the longest body that is taken, in bytes: many times what any
// backend sends at once.
const MaxBody = 256 << 10

const (
	// freshness is how long a secret is used without being read again.
	freshness = 5 * time.Minute
	// rereadGap bounds how often a secret is read because a request did not
	// know it: it may have been rotated, or somebody is guessing.
	rereadGap = 30 * time.Second
)

// Queue is the events queue.
type Queue interface {
	Send(ctx context.Context, bodies []string) error
}

// Handler answers the requests. It may be used concurrently.
type Handler struct {
	// Secrets reads the text of each backend's secret: JSON with bearer_token
	// (which comes in the header Authorization), signing_key (a key for
	// HMAC-SHA256 over the body, as Backblaze signs it), or both.
	Secrets map[string]func(context.Context) (string, error)
	Queue   Queue
	Log     *slog.Logger
	Now     func() time.Time

	mu    sync.Mutex
	known map[string]secret
}

// secret is what a backend proves itself by.
type secret struct {
	BearerToken string `json:"bearer_token"`
	SigningKey  string `json:"signing_key"`
	readAt      time.Time
}

var errSecret = errors.New("the webhook_secret is not JSON with a bearer_token or a signing_key")

// Handle answers one request. A backend sends again what is not answered with
// success, or gives up; a reconcile finds what it gave up.
func (h *Handler) Handle(ctx context.Context, r events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	backend := r.PathParameters["backend"]
	status, why := h.take(ctx, backend, r)
	level := slog.LevelInfo
	if status >= http.StatusBadRequest {
		level = slog.LevelWarn
	}
	h.Log.LogAttrs(ctx, level, "webhook", slog.String("backend", backend), slog.Int("status", status), slog.String("reason", why),
		slog.Int("bytes", len(r.Body)), slog.String("source_ip", r.RequestContext.Identity.SourceIP), slog.String("api_request", r.RequestContext.RequestID))
	return events.APIGatewayProxyResponse{
		StatusCode: status,
		Headers:    map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"},
		Body:       "{}", // nothing that would help to guess
	}, nil
}

func (h *Handler) take(ctx context.Context, backend string, r events.APIGatewayProxyRequest) (status int, why string) {
	if h.Secrets[backend] == nil {
		return http.StatusNotFound, "no backend of that name has a webhook_secret"
	}
	body, ok := bodyOf(r)
	if !ok {
		return http.StatusRequestEntityTooLarge, "the body is too long"
	}
	switch ok, err := h.believes(ctx, backend, r.Headers, body); {
	case err != nil:
		return http.StatusServiceUnavailable, err.Error()
	case !ok:
		return http.StatusUnauthorized, "it does not know the secret"
	case !utf8.ValidString(body):
		return http.StatusBadRequest, "the body is not UTF-8"
	}
	message := event.Forwarded(backend, body, h.Now())
	if len(message) > event.MaxBody {
		return http.StatusRequestEntityTooLarge, "the body is too long once it is quoted"
	}
	if err := h.Queue.Send(ctx, []string{message}); err != nil {
		return http.StatusServiceUnavailable, err.Error()
	}
	return http.StatusOK, ""
}

// bodyOf is the body as it was sent, false where it is too long.
func bodyOf(r events.APIGatewayProxyRequest) (string, bool) {
	body := r.Body
	if r.IsBase64Encoded {
		if len(body) > base64.StdEncoding.EncodedLen(MaxBody) {
			return "", false
		}
		b, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return "", false
		}
		body = string(b)
	}
	return body, len(body) <= MaxBody
}

// believes reports whether the request knows the backend's secret.
func (h *Handler) believes(ctx context.Context, backend string, headers map[string]string, body string) (bool, error) {
	s, err := h.secret(ctx, backend, freshness)
	if err != nil {
		return false, err
	}
	if s.proves(headers, body) {
		return true, nil
	}
	before := s
	if s, err = h.secret(ctx, backend, rereadGap); err != nil {
		return false, err
	}
	return s.readAt != before.readAt && s.proves(headers, body), nil
}

// secret is the backend's, read at most so long ago.
func (h *Handler) secret(ctx context.Context, backend string, atMost time.Duration) (secret, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.known[backend]
	if ok && h.Now().Sub(s.readAt) < atMost {
		return s, nil
	}
	text, err := h.Secrets[backend](ctx)
	if err != nil {
		return secret{}, err
	}
	s = secret{}
	// The decoder's own error would quote the secret.
	if json.Unmarshal([]byte(text), &s) != nil || s.BearerToken == "" && s.SigningKey == "" {
		return secret{}, errSecret
	}
	s.readAt = h.Now()
	if h.known == nil {
		h.known = map[string]secret{}
	}
	h.known[backend] = s
	return s, nil
}

// proves compares in constant time, whatever is wrong and wherever.
func (s secret) proves(headers map[string]string, body string) bool {
	token, bearer := strings.CutPrefix(header(headers, "Authorization"), "Bearer ")
	byToken := same(token, s.BearerToken) && bearer && s.BearerToken != ""

	mac := hmac.New(sha256.New, []byte(s.SigningKey))
	mac.Write([]byte(body))
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	bySignature := same(strings.ToLower(header(headers, "X-Bz-Event-Notification-Signature")), want) && s.SigningKey != ""
	return byToken || bySignature
}

// same tells nothing of a and b by the time it takes, not even how long they
// are.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return hmac.Equal(x[:], y[:])
}

// header is a header in whatever case it came.
func header(headers map[string]string, name string) string {
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}
