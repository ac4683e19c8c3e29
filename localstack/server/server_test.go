package server

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServersStartAndLeaveNothingBehind(t *testing.T) {
	for name, start := range map[string]func() (*Server, error){
		"MiniStack":  func() (*Server, error) { return MiniStack(t.Context(), Options{}) },
		"LocalStack": func() (*Server, error) { return LocalStack(t.Context(), Options{}) },
		"versitygw":  func() (*Server, error) { return Versitygw(t.Context(), Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			s, err := start()
			if name == "LocalStack" && errors.Is(err, ErrNotInstalled) && os.Getenv("CI") == "" {
				t.Logf("UNTESTED: %v", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := http.Get(s.URL); err != nil {
				t.Errorf("a started server does not answer: %v", err)
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://")); err == nil {
				conn.Close()
				t.Error("its port still answers after Stop")
			}
			if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
				t.Errorf("its directory is still there: %v", err)
			}
			if err := s.Stop(); err != nil {
				t.Errorf("stopping again: %v", err)
			}
		})
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_, err = Versitygw(t.Context(), Options{Port: l.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "port "+port) {
		t.Fatalf("error %v does not name port %s", err, port)
	}
}

func TestAFailedStartShowsTheLog(t *testing.T) {
	p := program{
		name:   "a server",
		args:   func(string, int) ([]string, error) { return []string{"/bin/sh", "-c", "echo out of clay; exit 3"}, nil },
		env:    func(string, int) []string { return nil },
		health: "/", ready: func(int) bool { return true }, wait: time.Minute,
	}
	_, err := p.start(t.Context(), Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "out of clay") || !strings.Contains(err.Error(), "start a server") {
		t.Fatalf("got %v", err)
	}
}

func TestAMissingProgramSaysHowToInstall(t *testing.T) {
	_, err := installed("bin/nothing-of-that-name")
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "make tools") {
		t.Fatalf("got %v", err)
	}
}

func TestADetachedServerIsFoundAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud")
	s, err := Versitygw(t.Context(), Options{Dir: dir, Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	found, err := Running(dir)
	if err != nil {
		t.Fatal(err)
	}
	if found.URL != s.URL || found.Name != "versitygw" {
		t.Errorf("found %+v, want %+v", found, s)
	}
	if _, err := Versitygw(t.Context(), Options{Dir: dir}); err == nil {
		t.Error("a second server started in the same directory")
	}
	if err := found.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Running(dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after Stop: %v, want ErrNotRunning", err)
	}
}
