package server

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Proxy passes requests on to a server, for whoever wants to do something to them
// first. Signatures stay valid: they cover the host that the client named, which
// the server is told.
func Proxy(endpoint string) (*httputil.ReverseProxy, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 1024},
		ErrorLog:  log.New(io.Discard, "", 0), // of clients that left: what else fails, the client tells
	}, nil
}
