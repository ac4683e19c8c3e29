package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bucket-replicator/localstack/cloud"
)

// A command must never take an account for the local cloud, nor the other way
// round.
func TestACommandActsWhereTheEnvironmentSays(t *testing.T) {
	dir := t.TempDir()
	c, err := cloud.Start(t.Context(), cloud.Options{Dir: dir, Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	profiles := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profiles, []byte("[profile somebody]\nregion = eu-west-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent := func(t *testing.T) {
		account(t, map[string]string{"AWS_CONFIG_FILE": profiles, "AWS_ACCESS_KEY_ID": ""})
	}
	isLocal := func(t *testing.T, want bool) {
		t.Helper()
		account, local, err := targetOr(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if local != nil != want {
			t.Errorf("it is the local cloud: %v, want %v", local != nil, want)
		}
		if want && (account.BaseEndpoint == nil || *account.BaseEndpoint != c.URL()) {
			t.Errorf("clients speak to %v", account.BaseEndpoint)
		}
		if !want && account.BaseEndpoint != nil && *account.BaseEndpoint == c.URL() {
			t.Error("clients speak to the local cloud")
		}
	}

	t.Run("a shell that says nothing", func(t *testing.T) {
		silent(t)
		isLocal(t, true)
	})
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/somebody")
	for _, name := range asks {
		t.Run("a shell with "+name, func(t *testing.T) {
			silent(t)
			t.Setenv(name, "somebody")
			if strings.HasSuffix(name, "_URI") {
				t.Setenv(name, "http://127.0.0.1/credentials")
			}
			isLocal(t, false)
		})
	}
	t.Run("a shell that says nothing, and no local cloud", func(t *testing.T) {
		silent(t)
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		isLocal(t, false)
	})
}
