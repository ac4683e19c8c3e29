// Package signed makes single requests signed with AWS credentials: to our own
// API, which no SDK knows, and to services of which one call is wanted, where a
// client would be one more dependency.
package signed

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Do is Send that answers the status and the whole body of what came back.
func Do(as aws.Config, service string, r *http.Request, body string) (int, []byte, error) {
	answer, err := Send(as, service, r, body)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return answer.StatusCode, content, err
}

// Send gives r the body, signs it for a service ("execute-api") with the
// credentials and the region of as, sends it once, and answers what came back,
// whatever its status.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
func Send(as aws.Config, service string, r *http.Request, body string) (*http.Response, error) {
	r.Body, r.ContentLength = http.NoBody, int64(len(body))
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	credentials, err := as.Credentials.Retrieve(r.Context())
	if err != nil {
		return nil, fmt.Errorf("find credentials: %w", err)
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(r.Context(), credentials, r, hex.EncodeToString(sum[:]), service, as.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return cmp.Or[aws.HTTPClient](as.HTTPClient, http.DefaultClient).Do(r)
}
