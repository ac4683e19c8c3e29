package run

import (
	"context"
	"log/slog"

	"bucket-replicator/shared/telemetry"
)

// Report answers what OnEnd is to be: it logs how a run ended, and counts it.
func Report(log *slog.Logger, metrics *telemetry.Metrics) func(context.Context, Run) {
	return func(ctx context.Context, r Run) {
		level := slog.LevelInfo
		switch r.State {
		case Succeeded, CompletedWithErrors:
			metrics.Count(telemetry.RunsSucceeded, 1, telemetry.Rule, r.Rule)
		case DeletesHeld:
			level = slog.LevelWarn
			metrics.Count(telemetry.DeletesHeld, float64(r.Held), telemetry.Rule, r.Rule)
		case Failed:
			level = slog.LevelError
			metrics.Count(telemetry.RunsFailed, 1, telemetry.Rule, r.Rule)
		}
		attrs := []slog.Attr{
			slog.String("rule", r.Rule), slog.Int64("run", r.ID), slog.String("state", string(r.State)),
			slog.String("trigger", string(r.Trigger)), slog.Float64("seconds", r.EndedAt.Sub(r.StartedAt).Seconds()),
			slog.Int64("scanned", r.Scanned), slog.Int64("copied", r.Copied), slog.Int64("skipped", r.SkippedSum()),
			slog.Int64("deleted", r.Deleted), slog.Int64("held", r.Held), slog.Int64("errors", r.Errors),
			slog.Int64("bytes", r.Bytes),
		}
		if r.Error != "" {
			attrs = append(attrs, slog.String("error", r.Error))
		}
		log.LogAttrs(ctx, level, "run ended", attrs...)
	}
}
