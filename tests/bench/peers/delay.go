package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// What S3 takes, about, in the region of its caller.
const (
	listDelay  = 80 * time.Millisecond
	writeDelay = 40 * time.Millisecond
	readDelay  = 15 * time.Millisecond
)

// delayed holds every request back for as long as S3 would take, and counts it.
func delayed(h http.Handler, requests *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		select {
		case <-time.After(delayOf(r)):
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

func delayOf(r *http.Request) time.Duration {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		return writeDelay
	case r.Method == http.MethodGet && key == "" && (query.Has("list-type") || query.Has("prefix") || query.Has("delimiter")):
		return listDelay
	default:
		return readDelay
	}
}

// serve answers requests on a port of its own until the function that it
// answers is called.
func serve(ctx context.Context, h http.Handler) (endpoint string, stop func() error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(listener) }() // until it is closed
	return "http://" + listener.Addr().String(), s.Close, nil
}
