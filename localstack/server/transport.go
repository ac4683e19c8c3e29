package server

import (
	"bytes"
	"io"
	"net/http"
)

// FromMemory is the transport of clients that speak to a server on this
// machine. It sends requests whose bodies nobody can close. The SDK closes a
// body as soon as the answer begins; a server as near as this one answers before
// net/http has seen the body's end, which then takes the connection down with
// the answer unread, and the SDK sends again what took effect already: one of a
// thousand messages would be there twice.
type FromMemory struct{}

// RoundTrip makes one request over http.DefaultTransport.
func (FromMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if closed := r.Body.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return http.DefaultTransport.RoundTrip(r)
}
