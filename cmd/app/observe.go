package app

import (
	"context"
	"io"
	"log/slog"

	"audittrail/platform/logging"
	"audittrail/platform/telemetry/buildinfo"
	"audittrail/platform/telemetry/otlp"
)

// Observe completes o with what the process is watched by: a log that is written to w, at a level that can be changed, and
// what the OTEL_* variables ask for. A variable that can't work is a *config.Error.
func Observe(ctx context.Context, w io.Writer, o Options) (Options, error) {
	o.Level = new(slog.LevelVar)
	o.Config.Log.SetLevel(o.Level)
	exports, err := otlp.New(ctx, buildinfo.Read(), logging.NewAt(w, o.Config.Log, o.Level))
	if err != nil {
		return o, err
	}
	o.Exports = exports
	o.Log = logging.NewAt(w, o.Config.Log, o.Level, exports.Logs)
	return o, nil
}

// closeExports sends what has not been sent yet.
func closeExports(ctx context.Context, o Options) {
	if err := o.Exports.Close(ctx); err != nil {
		o.Log.WarnContext(ctx, "not everything could be sent by OTLP", "error", err)
	}
}
