package staging

import (
	"context"
	"errors"
	"os"
	"testing"

	"bucket-replicator/localstack/server"
)

// Server starts a server that ends with the test.
func Server(t *testing.T, start func(context.Context, server.Options) (*server.Server, error)) *server.Server {
	t.Helper()
	s, missing := ServerIfInstalled(t, start)
	if missing != nil {
		t.Fatal(missing)
	}
	return s
}

// ServerIfInstalled starts a server that ends with the test. Where it is not
// installed the error says so, and the test what it left untested; in CI, where
// everything is installed, that fails.
func ServerIfInstalled(t *testing.T, start func(context.Context, server.Options) (*server.Server, error)) (*server.Server, error) {
	t.Helper()
	s, err := start(t.Context(), server.Options{})
	if errors.Is(err, server.ErrNotInstalled) && os.Getenv("CI") != "true" {
		return nil, err
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, nil
}
