package replicate

import (
	"context"
	"log/slog"

	"bucket-replicator/shared/decide"
	"bucket-replicator/shared/object"
	"bucket-replicator/shared/telemetry"
)

// Report writes the log line of one outcome and counts it.
func Report(ctx context.Context, log *slog.Logger, metrics *telemetry.Metrics, o Outcome, about ...slog.Attr) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("result", string(o.Result)),
		slog.String("rule", o.Rule),
		slog.String("bucket", o.Source.Bucket.String()),
		slog.String("key", o.Source.Key),
		slog.String("dest_bucket", o.Dest.Bucket.String()),
		slog.String("dest_key", o.Dest.Key),
	}
	if o.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(o.Reason)))
	}
	switch o.Result {
	case Copied:
		metrics.Count(telemetry.ObjectsCopied, 1, telemetry.Rule, o.Rule)
		metrics.Count(telemetry.BytesCopied, float64(o.Bytes), telemetry.Rule, o.Rule)
		attrs = append(attrs, slog.Int64("bytes", o.Bytes))
		if len(o.Lost) > 0 {
			level = slog.LevelWarn
			attrs = append(attrs, slog.Any("lost", o.Lost))
		}
		for _, property := range o.Lost {
			metrics.Count(telemetry.PropertiesLost, 1, telemetry.Rule, o.Rule, telemetry.Reason, property)
		}
		if o.Latency > 0 {
			metrics.Observe(telemetry.ReplicationLatency, o.Latency.Seconds(), telemetry.Rule, o.Rule)
			attrs = append(attrs, slog.Float64("seconds", o.Latency.Seconds()))
		}
	case Retagged:
		metrics.Count(telemetry.ObjectsRetagged, 1, telemetry.Rule, o.Rule)
	case Deleted:
		metrics.Count(telemetry.ObjectsDeleted, 1, telemetry.Rule, o.Rule)
	case Skipped, Parked:
		if o.Reason == decide.Held {
			level = slog.LevelWarn
			metrics.Count(telemetry.DeletesHeld, 1, telemetry.Rule, o.Rule)
		}
		ReportSkips(metrics, o.Rule, map[string]int64{string(o.Reason): 1})
	case Failed:
		level = slog.LevelError
		metrics.Count(telemetry.ObjectsFailed, 1, telemetry.Rule, o.Rule, telemetry.Code, object.CodeOf(o.Err))
	case Retried, Crashed:
		level = slog.LevelWarn
	}
	if o.Err != nil {
		attrs = append(attrs, slog.String("code", object.CodeOf(o.Err)), slog.String("error", o.Err.Error()))
	}
	log.LogAttrs(ctx, level, "outcome", append(attrs, about...)...)
}

// ReportSkips counts objects that were skipped, by their reasons.
func ReportSkips(metrics *telemetry.Metrics, rule string, skipped map[string]int64) {
	for reason, n := range skipped {
		metrics.Count(telemetry.ObjectsSkipped, float64(n), telemetry.Rule, rule, telemetry.Reason, reason)
	}
}
