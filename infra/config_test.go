package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryProblemOfAConfigurationIsPrintedWithItsLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "replication.yaml")
	text := `storage:
  buckets:
    releases: {}
  replication:
    rules:
      - name: mirror
        source: { bucket: releases, prefix: "" }
        destination: { bucket: relases-dr, prefix: "" }
        confict: newer-wins
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readConfig(file, os.Stderr)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, line := range []string{
		file + ":8: storage.replication.rules[0].destination.bucket: ",
		file + ":9: storage.replication.rules[0].confict: ",
	} {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("%v\ndoes not say %s", err, line)
		}
	}
}

func TestWarningsArePrintedAndDoNotStopADeployment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "replication.yaml")
	text := `storage:
  buckets:
    releases: {}
    releases-dr: {}
  replication:
    rules:
      - name: mirror
        source: { bucket: releases, prefix: "logs" }
        destination: { bucket: releases-dr, prefix: "logs" }
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	config, err := readConfig(file, &out)
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Storage.Replication.Rules) != 1 || !strings.HasPrefix(out.String(), file+":8: warning: ") {
		t.Errorf("%d rules, and the warnings %q", len(config.Storage.Replication.Rules), out.String())
	}
}

func TestNothingIsSynthesisedWithoutTheFunctions(t *testing.T) {
	s := idle.read(t)
	s.Dist = t.TempDir()
	err := newStacks(newApp(t.TempDir()), s, parse(t, idle.config))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"replicate/bootstrap", "schedule/bootstrap", "reconcile/bootstrap", "transfer/bootstrap", "admin/bootstrap", "provision/bootstrap",
		"admin/assets/htmx.min.js", "admin/assets/idiomorph-ext.min.js", "make build",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}
