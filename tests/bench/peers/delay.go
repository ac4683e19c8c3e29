package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// What S3 takes, about, in the region of its caller.
const (
	listDelay  = 80 * time.Millisecond
	writeDelay = 40 * time.Millisecond
	readDelay  = 15 * time.Millisecond
)

// delayed is the address of a proxy that holds every request back for as long
// as S3 would take. Signatures stay valid: they cover the host that the client
// named, which the server is told.
func delayed(ctx context.Context, endpoint string) (string, func() error, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return "", nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024},
	}
	return serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delayOf(r)):
			proxy.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
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
