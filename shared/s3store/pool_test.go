package s3store_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"bucket-replicator/shared/object"
	"bucket-replicator/shared/rule"
	"bucket-replicator/shared/s3store"
)

func TestConnectionsOfManyCopiesAtATimeAreKept(t *testing.T) {
	const copies = 256
	var opened atomic.Int32
	var together sync.WaitGroup // all requests of a round
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		together.Done()
		together.Wait()
		_, _ = io.WriteString(w, copyResult)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	store := s3store.New(plainConfig(), s3store.Options{
		Backends: func() []rule.Backend {
			return []rule.Backend{{Name: "remote", Endpoint: server.URL, PathStyle: true}}
		},
		Emulated: map[string]s3store.Conditions{"remote": native},
	})
	for range 3 {
		together.Add(copies)
		var round sync.WaitGroup
		for range copies {
			round.Go(func() {
				if _, err := store.Copy(t.Context(), object.Copy{From: fromA, To: toB, SourceETag: "e"}); err != nil {
					t.Error(err)
				}
			})
		}
		round.Wait()
	}
	if n := opened.Load(); n != copies {
		t.Errorf("opened %d connections for %d copies at a time", n, copies)
	}
}
