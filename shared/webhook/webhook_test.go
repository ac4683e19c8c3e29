package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"bucket-replicator/shared/event"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/webhook"
)

const notification = `{"EventName":"s3:ObjectCreated:Put","Key":"b/a+b","Records":[{"eventSource":"minio:s3","eventName":"s3:ObjectCreated:Put",` +
	`"eventTime":"2026-03-01T12:00:00Z","s3":{"bucket":{"name":"b"},"object":{"key":"a+b","size":5,"eTag":"e"}}}]}`

// post is a webhook and what is around it.
type post struct {
	*webhook.Handler
	secrets map[string]string // text by backend
	reads   int
	now     time.Time
	sent    []string
	fails   error
	log     bytes.Buffer
}

func newPost() *post {
	p := &post{
		now: time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC),
		secrets: map[string]string{
			"minio": `{"bearer_token":"let-me-in"}`, "b2": `{"signing_key":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0"}`, "broken": `hunter2`, "empty": `{}`,
		},
	}
	p.Handler = &webhook.Handler{Secrets: map[string]func(context.Context) (string, error){}, Queue: p, Now: func() time.Time { return p.now }}
	for backend := range p.secrets {
		p.Secrets[backend] = func(context.Context) (string, error) {
			p.reads++
			if p.secrets[backend] == "" {
				return "", errors.New("no right to read it")
			}
			return p.secrets[backend], nil
		}
	}
	p.Log = slog.New(slog.NewTextHandler(&p.log, nil))
	return p
}

func (p *post) Send(_ context.Context, bodies []string) error {
	if p.fails == nil {
		p.sent = append(p.sent, bodies...)
	}
	return p.fails
}

func (p *post) answers(t *testing.T, backend, body string, headers map[string]string) int {
	t.Helper()
	got, err := p.Handle(t.Context(), events.APIGatewayProxyRequest{
		HTTPMethod: "POST", Body: body, Headers: headers, PathParameters: map[string]string{"backend": backend},
	})
	if err != nil || got.Body != "{}" {
		t.Errorf("answered %+v, %v", got, err)
	}
	return got.StatusCode
}

func bearer(token string) map[string]string {
	return map[string]string{"authorization": "Bearer " + token}
}

func signed(key, body string) map[string]string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return map[string]string{"X-Bz-Event-Notification-Signature": "v1=" + hex.EncodeToString(mac.Sum(nil))}
}

const blazeKey = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0"

func TestWhoKnowsTheSecretIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		backend string
		headers map[string]string
		want    int
	}{
		"MinIO's token":                      {"minio", bearer("let-me-in"), 200},
		"Backblaze's signature":              {"b2", signed(blazeKey, notification), 200},
		"another token":                      {"minio", bearer("let-me-out"), 401},
		"the beginning of the token":         {"minio", bearer("let-me"), 401},
		"an empty token":                     {"minio", bearer(""), 401},
		"no header":                          {"minio", nil, 401},
		"the token without its word":         {"minio", map[string]string{"Authorization": "let-me-in"}, 401},
		"a signature where a token is meant": {"minio", signed("", notification), 401},
		"a token where a signature is meant": {"b2", bearer(""), 401},
		"the signature of another body":      {"b2", signed(blazeKey, notification+" "), 401},
		"a signature with another key":       {"b2", signed("x", notification), 401},
		"the signing key itself":             {"b2", bearer(blazeKey), 401},
		"a backend that nobody configured":   {"ceph", bearer("let-me-in"), 404},
		"no backend":                         {"", bearer("let-me-in"), 404},
		"a secret that is none":              {"broken", bearer("hunter2"), 503},
		"a secret that says nothing":         {"empty", bearer(""), 503},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost()
			if got := p.answers(t, c.backend, notification, c.headers); got != c.want {
				t.Errorf("answered %d, want %d", got, c.want)
			}
			if len(p.sent) != map[bool]int{true: 1}[c.want == 200] {
				t.Errorf("sent %q", p.sent)
			}
			for _, secret := range []string{"let-me", "hunter2", blazeKey} {
				if strings.Contains(p.log.String(), secret) {
					t.Errorf("the log tells a secret: %s", p.log.String())
				}
			}
		})
	}
}

func TestWhatIsSentArrivesAsItCame(t *testing.T) {
	p := newPost()
	if got := p.answers(t, "minio", notification, bearer("let-me-in")); got != 200 {
		t.Fatal(got)
	}
	got, err := event.Decode(p.sent[0], object.AWS)
	if err != nil || len(got.Changes) != 1 || got.Changes[0].Ref != (object.Ref{Bucket: object.Bucket{Backend: "minio", Name: "b"}, Key: "a b"}) {
		t.Errorf("arrived %+v, %v", got, err)
	}
	// What nobody can read is kept too: it ends in the dead-letter queue.
	if got := p.answers(t, "minio", "nonsense", bearer("let-me-in")); got != 200 || len(p.sent) != 2 {
		t.Errorf("answered %d, sent %q", got, p.sent)
	}
}

func TestABodyIsBounded(t *testing.T) {
	long := strings.Repeat("x", webhook.MaxBody)
	for name, c := range map[string]struct {
		body   string
		base64 bool
		want   int
	}{
		"as long as may be":        {long, false, 200},
		"longer":                   {long + "x", false, 413},
		"longer, in base64":        {base64.StdEncoding.EncodeToString([]byte(long + "xxx")), true, 413},
		"in base64":                {base64.StdEncoding.EncodeToString([]byte("{}")), true, 200},
		"not in base64 after all":  {"%", true, 413},
		"longer once it is quoted": {strings.Repeat("\x01", webhook.MaxBody), false, 413},
		"not UTF-8":                {"\xff", false, 400},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPost()
			got, err := p.Handle(t.Context(), events.APIGatewayProxyRequest{
				Body: c.body, IsBase64Encoded: c.base64, Headers: bearer("let-me-in"), PathParameters: map[string]string{"backend": "minio"},
			})
			if err != nil || got.StatusCode != c.want || (len(p.sent) == 1) != (c.want == 200) {
				t.Errorf("answered %d, %v; want %d", got.StatusCode, err, c.want)
			}
		})
	}
}

func TestWhatCannotBeKeptIsSentAgain(t *testing.T) {
	p := newPost()
	p.fails = errors.New("throttled")
	if got := p.answers(t, "minio", notification, bearer("let-me-in")); got != 503 {
		t.Errorf("answered %d", got)
	}
	p = newPost()
	p.secrets["minio"] = "" // cannot be read
	if got := p.answers(t, "minio", notification, bearer("let-me-in")); got != 503 {
		t.Errorf("answered %d", got)
	}
}

func TestASecretIsReadAsSeldomAsItCanBe(t *testing.T) {
	p := newPost()
	want := func(what string, token string, status, reads int) {
		t.Helper()
		if got := p.answers(t, "minio", notification, bearer(token)); got != status || p.reads != reads {
			t.Errorf("%s: answered %d after %d reads, want %d after %d", what, got, p.reads, status, reads)
		}
	}
	want("the first request", "let-me-in", 200, 1)
	want("the second", "let-me-in", 200, 1)
	want("a guess", "x", 401, 1)
	p.now = p.now.Add(31 * time.Second)
	want("a guess, later", "x", 401, 2)
	want("the next guess", "y", 401, 2)
	p.secrets["minio"] = `{"bearer_token":"rotated"}`
	want("the old one, for now", "let-me-in", 200, 2)
	p.now = p.now.Add(31 * time.Second)
	want("the new one", "rotated", 200, 3)
	want("the old one", "let-me-in", 401, 3)
	p.now = p.now.Add(6 * time.Minute)
	want("after a while", "rotated", 200, 4)
}
