package server

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestMain doubles as the process that is killed in the next test.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SERVER_TEST_STARTS_AND_DIES"); dir != "" {
		if _, err := Versitygw(context.Background(), Options{Dir: dir}); err != nil {
			println(err.Error())
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestAServerDiesWithItsStarter(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SERVER_TEST_STARTS_AND_DIES="+dir)
	out, _ := cmd.CombinedOutput()
	s := &Server{Dir: dir}
	if !s.endsWithin(10 * time.Second) {
		t.Fatalf("still running after its starter ended: %s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, stateFile)); err != nil {
		t.Fatalf("it never ran: %s", out)
	}
}
