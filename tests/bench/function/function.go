package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"bucket-replicator/tests/bench/command"

	"github.com/aws/aws-lambda-go/events"
)

// function is a running process of the event function, and the runtime API that
// it asks for work.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type function struct {
	init time.Duration // from its start to its first request for work

	process *exec.Cmd
	log     bytes.Buffer
	api     *http.Server
	work    chan []byte // invocations; it blocks the function's request
	answers chan answer
	ended   chan error
}

type answer struct {
	path string
	body []byte
}

// launch starts the binary and waits until it asks for work.
func launch(ctx context.Context, binary string, env []string) (*function, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &function{work: make(chan []byte), answers: make(chan answer, 1), ended: make(chan error, 1)}
	asked := make(chan time.Time, 1)
	f.api = &http.Server{Handler: f.routes(asked)}
	go func() { _ = f.api.Serve(listener) }() // until stop closes it

	f.process = exec.Command(binary)
	f.process.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}, env...)
	f.process.Stdout, f.process.Stderr = &f.log, &f.log
	began := time.Now()
	if err := f.process.Start(); err != nil {
		return nil, errors.Join(err, f.api.Close())
	}
	go func() { f.ended <- f.process.Wait() }()
	select {
	case at := <-asked:
		f.init = at.Sub(began)
		return f, nil
	case err := <-f.ended:
		err = fmt.Errorf("the function ended before it was ready: %w\n%s", err, f.log.String())
		return nil, errors.Join(err, f.api.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), f.stop())
	}
}

func (f *function) routes(asked chan<- time.Time) http.Handler {
	const prefix = "/2018-06-01/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- time.Now():
		default:
		}
		select {
		case body := <-f.work:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "bench")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			_, _ = w.Write(body) // the function's own request fails with it
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a cut answer does not decode
		w.WriteHeader(http.StatusAccepted)
		f.answers <- answer{r.URL.Path, body}
	})
	return mux
}

// invoke has one batch handled, and fails unless all of it was.
func (f *function) invoke(ctx context.Context, records []events.SQSMessage) error {
	body, err := json.Marshal(events.SQSEvent{Records: records})
	if err != nil {
		return err
	}
	select {
	case f.work <- body:
	case err := <-f.ended:
		return fmt.Errorf("the function ended: %w\n%s", err, f.log.String())
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case a := <-f.answers:
		var response events.SQSEventResponse
		if err := json.Unmarshal(a.body, &response); err != nil || !strings.HasSuffix(a.path, "/response") || len(response.BatchItemFailures) > 0 {
			return fmt.Errorf("the function answered %s at %s", a.body, a.path)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handle has all messages handled, and answers the memory in use after each of
// reports.
func (f *function) handle(ctx context.Context, messages []string) ([]int64, error) {
	var used []int64
	for done := 0; done < len(messages); {
		var records []events.SQSMessage
		for _, body := range messages[done : done+batch] {
			records = append(records, events.SQSMessage{
				MessageId: fmt.Sprintf("message-%d", done+len(records)), ReceiptHandle: "none", Body: body,
				Attributes: map[string]string{"ApproximateReceiveCount": "1"}, EventSource: "aws:sqs",
			})
		}
		if err := f.invoke(ctx, records); err != nil {
			return nil, err
		}
		if done += batch; done == reports[len(used)] {
			n, err := command.Memory(f.process.Process.Pid, command.Resident)
			if err != nil {
				return nil, err
			}
			used = append(used, n)
		}
	}
	return used, nil
}

func (f *function) stop() error {
	err := errors.Join(f.process.Process.Kill(), f.api.Close())
	<-f.ended
	return err
}
