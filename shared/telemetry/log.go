package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// NewLogger writes JSON lines of at least level to out. A line logged with the
// context of a Lambda invocation carries its request_id.
func NewLogger(out io.Writer, level slog.Level) *slog.Logger {
	return slog.New(requestID{slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})})
}

// Exit ends a function that cannot start, and logs why.
func Exit(log *slog.Logger, err error) {
	log.Error("cannot start", "error", err)
	os.Exit(1)
}

// requestID adds the id of the invocation that a record's context is of.
type requestID struct{ slog.Handler }

func (h requestID) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r = r.Clone() // what it was given is not its own
		r.AddAttrs(slog.String("request_id", lc.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestID) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestID{h.Handler.WithAttrs(attrs)}
}

func (h requestID) WithGroup(name string) slog.Handler {
	return requestID{h.Handler.WithGroup(name)}
}
