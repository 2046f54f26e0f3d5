// Package otlp sends spans and log records to a collector, by OTLP over gRPC or HTTP, as the standard OTEL_* variables
// say.
//
// It makes what others use: they know telemetry.Tracing and slog.Handler. Nothing global of OpenTelemetry is set.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"audittrail/platform/config"
	"audittrail/platform/telemetry"
	"audittrail/platform/telemetry/buildinfo"
)

// Exports are what the process sends by OTLP, as the standard OTEL_* variables say. A signal is sent where an endpoint
// is given for it, or where its exporter is named: without either nothing is made, and nothing costs anything.
type Exports struct {
	// Tracing is nil where no spans are sent.
	Tracing *telemetry.Tracing

	// Logs takes log records to be sent; nil where none are. It neither filters nor redacts.
	Logs slog.Handler

	closers []func(context.Context) error
}

// New makes what the environment asks for. It connects to nothing yet, and a collector that is away stops nothing:
// what it missed is dropped, and log is told once. That log must not lead back here. The error is a *config.Error that
// names the variable.
//
// The SDK reads the other variables by itself: endpoints, headers, certificates, time limits, batches, the limits of
// spans.
func New(ctx context.Context, build buildinfo.Info, log *slog.Logger) (*Exports, error) {
	e := &Exports{}
	traces, errTraces := protocolOf("TRACES")
	logs, errLogs := protocolOf("LOGS")
	sampler, errSampler := samplerOf()
	if err := errors.Join(errTraces, errLogs, errSampler); err != nil {
		return nil, problems(errTraces, errLogs, errSampler)
	}
	about, err := about(ctx, build)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if traces != "" {
		exporter, err := spanExporter(ctx, traces)
		if err != nil {
			return nil, fmt.Errorf("OTLP exporter of traces: %w", err)
		}
		provider := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(sampler),
			sdktrace.WithBatcher(toldSpans{exporter, &told{log: log, what: "spans"}}))
		e.Tracing = telemetry.NewTracing(provider, sampler.followsParent)
		e.closers = append(e.closers, provider.Shutdown)
	}
	if logs != "" {
		exporter, err := logExporter(ctx, logs)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("OTLP exporter of logs: %w", err), e.Close(ctx))
		}
		provider := sdklog.NewLoggerProvider(sdklog.WithResource(about),
			sdklog.WithProcessor(sdklog.NewBatchProcessor(toldLogs{exporter, &told{log: log, what: "log records"}})))
		e.Logs = otelslog.NewHandler(telemetry.Scope, otelslog.WithLoggerProvider(provider), otelslog.WithVersion(build.Version))
		e.closers = append(e.closers, provider.Shutdown)
	}
	return e, nil
}

// closeTimeout is how long what has not been sent may take at the end.
const closeTimeout = 3 * time.Second

// Close sends what has not been sent yet, within a few seconds. Nothing is sent afterwards. e may be nil.
func (e *Exports) Close(ctx context.Context) error {
	if e == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var errs []error
	for _, closer := range e.closers {
		errs = append(errs, closer(ctx))
	}
	return errors.Join(errs...)
}

// about describes this process in all that is sent. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win.
func about(ctx context.Context, build buildinfo.Info) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "audittrail"), attribute.String("service.version", build.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
}

const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// protocolOf returns how a signal is sent; "" where it is not.
func protocolOf(signal string) (string, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return "", nil
	}
	switch exporter := os.Getenv("OTEL_" + signal + "_EXPORTER"); exporter {
	case "none":
		return "", nil
	case "":
		if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") == "" {
			return "", nil
		}
	case "otlp":
	default:
		return "", config.Invalid("OTEL_"+signal+"_EXPORTER", "must be otlp or none")
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch protocol := os.Getenv(name); protocol {
		case "":
		case protocolGRPC, protocolHTTP:
			return protocol, nil
		default:
			return "", config.Invalid(name, "must be %s or %s", protocolGRPC, protocolHTTP)
		}
	}
	return protocolHTTP, nil // as the specification of OTLP exporters has it
}

func spanExporter(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	if protocol == protocolGRPC {
		return otlptracegrpc.New(ctx)
	}
	return otlptracehttp.New(ctx)
}

func logExporter(ctx context.Context, protocol string) (sdklog.Exporter, error) {
	if protocol == protocolGRPC {
		return otlploggrpc.New(ctx)
	}
	return otlploghttp.New(ctx)
}

func problems(errs ...error) error {
	var all []error
	for _, err := range errs {
		if err != nil {
			all = append(all, err)
		}
	}
	return &config.Error{Problems: all}
}
