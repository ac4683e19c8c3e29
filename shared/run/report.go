package run

import (
	"context"
	"log/slog"

	"bucket-replicator/shared/telemetry"
)

// Report answers what OnEnd is to be: it logs how a run ended, and counts it.
func Report(log *slog.Logger, metrics *telemetry.Metrics) func(context.Context, Run) {
	return func(ctx context.Context, r Run) {
		if r.Verifies() {
			reportVerification(ctx, log, r)
			return
		}
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

// reportVerification logs how a verification ended. What it finds is counted as
// it is found.
func reportVerification(ctx context.Context, log *slog.Logger, r Run) {
	level := slog.LevelInfo
	if r.State == Failed || r.Differences() > 0 {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("rule", RuleOf(r.Rule)), slog.Int64("verification", r.ID), slog.String("mode", string(r.Mode)),
		slog.String("state", string(r.State)), slog.Float64("seconds", r.EndedAt.Sub(r.StartedAt).Seconds()),
		slog.Int64("scanned", r.Scanned), slog.Int64("bytes", r.Bytes),
	}
	for _, c := range Classes {
		attrs = append(attrs, slog.Int64(string(c), r.Of(c)))
	}
	if r.Error != "" {
		attrs = append(attrs, slog.String("error", r.Error))
	}
	log.LogAttrs(ctx, level, "verification ended", attrs...)
}
