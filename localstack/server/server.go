// Package server runs the three S3 servers that stand in for AWS on this
// machine, each as a child process on loopback with its own data, its own
// temporary files and an environment that holds nothing of the caller's but
// PATH. None of them is AWS: tests/conformance shows what each one keeps.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Every server is started with these; a server that checks signatures accepts
// no others.
const (
	AccessKey = "test"
	SecretKey = "test"
	Region    = "us-east-1"
)

// ErrNotInstalled is wrapped by the error for a server whose program is not
// under .cache. LocalStack is left out of the installation where there is no
// Python 3.13, so a test may answer it by saying which promise went untested.
var ErrNotInstalled = errors.New("not installed, run: make tools")

// ErrNotRunning is the error of Running for a directory without a live server.
var ErrNotRunning = errors.New("no server is running")

// ErrPortTaken is wrapped by the error of a start whose port cannot be had.
var ErrPortTaken = errors.New("in use or not allowed")

// Options of a start. The zero value is right for tests.
type Options struct {
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// Dir holds the data, the temporary files and the log. It is made where
	// it does not exist, and kept. Empty: a new one, removed by Stop.
	Dir string
	// Env is added to the environment, as "NAME=value"; it wins.
	Env []string
	// Detach lets the server outlive its starter, who finds it again with
	// Running. Otherwise it dies with the starter, however that ends (on
	// Linux; elsewhere a killed starter leaves it behind).
	Detach bool
}

// Server is a running server.
type Server struct {
	Name string // "MiniStack", "LocalStack", "versitygw"
	URL  string // "http://127.0.0.1:4566"
	Dir  string

	pid     int
	scratch bool          // Stop removes Dir
	done    chan struct{} // closed when our child has ended; nil for a server found by Running
}

// program is what the three servers differ in.
type program struct {
	name   string
	args   func(dir string, port int) ([]string, error)
	env    func(dir string, port int) []string
	health string         // path of the probe
	ready  func(int) bool // status of the probe
	wait   time.Duration  // for the first healthy probe
}

// start runs p until it is healthy. Its error says what was tried, and ends
// with the last lines that the server wrote.
func (p program) start(ctx context.Context, o Options) (*Server, error) {
	s, err := p.launch(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return s, nil
}

func (p program) launch(ctx context.Context, o Options) (_ *Server, err error) {
	port, err := claimPort(ctx, o.Port)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: p.name, URL: "http://127.0.0.1:" + strconv.Itoa(port), Dir: o.Dir}
	if s.Dir == "" {
		if s.Dir, err = scratchDir(p.name); err != nil {
			return nil, err
		}
		s.scratch = true
		defer func() {
			if err != nil {
				_ = os.RemoveAll(s.Dir)
			}
		}()
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return nil, err
	}
	temp := filepath.Join(s.Dir, "tmp")
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return nil, err
	}
	args, err := p.args(s.Dir, port)
	if err != nil {
		return nil, err
	}
	log, err := lockedLog(s.Dir)
	if err != nil {
		return nil, err
	}
	defer log.Close()

	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, "TMPDIR=" + temp}, p.env(s.Dir, port)...)
	cmd.Env = append(cmd.Env, o.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // its own process group, and out of the terminal's
	if !o.Detach {
		dieWithParent(cmd.SysProcAttr)
	}
	if err := s.run(cmd); err != nil {
		return nil, err
	}
	if err := s.remember(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.awaitHealth(ctx, p); err != nil {
		err = fmt.Errorf("%w\n%s", err, s.logTail())
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// run starts cmd and waits for its end in the background. Both happen on one
// locked thread: a parent-death signal is tied to the thread that forked.
func (s *Server) run(cmd *exec.Cmd) error {
	started := make(chan error)
	s.done = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		if err == nil {
			s.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended does not matter; its log says why
		}
		close(s.done)
	}()
	return <-started
}

func (s *Server) awaitHealth(ctx context.Context, p program) error {
	ctx, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+p.health, nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if p.ready(resp.StatusCode) {
				return nil
			}
		}
		select {
		case <-s.done:
			return errors.New("it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("not ready within %s: %w", p.wait, ctx.Err())
		case <-tick.C:
		}
	}
}

// Stop ends the server and everything it started, and waits until nothing of
// it is left: politely at first, after five seconds not. Stopping twice is
// fine.
func (s *Server) Stop() error {
	_ = syscall.Kill(-s.pid, syscall.SIGTERM)
	if !s.endsWithin(5 * time.Second) {
		_ = syscall.Kill(-s.pid, syscall.SIGKILL)
		if !s.endsWithin(5 * time.Second) {
			return fmt.Errorf("stop %s: process group %d is still there", s.Name, s.pid)
		}
	}
	// Its functions may outlive it for a moment; nothing shall.
	_ = syscall.Kill(-s.pid, syscall.SIGKILL)
	_ = os.Remove(filepath.Join(s.Dir, stateFile))
	if s.scratch {
		return os.RemoveAll(s.Dir)
	}
	return nil
}

func (s *Server) endsWithin(d time.Duration) bool {
	deadline := time.Now().Add(d)
	for s.alive() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(20 * time.Millisecond)
	}
	return true
}

func (s *Server) alive() bool {
	if s.done == nil {
		return locked(s.Dir)
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// claimPort finds out whether the port can be had, or which one is free.
func claimPort(ctx context.Context, port int) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return 0, fmt.Errorf("port %d is %w: %w", port, ErrPortTaken, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// logTail is the last of what the server wrote.
func (s *Server) logTail() []byte {
	const most = 2000
	b, err := os.ReadFile(filepath.Join(s.Dir, logFile))
	if err != nil {
		return []byte(err.Error())
	}
	if len(b) > most {
		b = b[len(b)-most:]
		if _, rest, ok := bytes.Cut(b, []byte("\n")); ok {
			b = rest
		}
	}
	return bytes.TrimSpace(b)
}
