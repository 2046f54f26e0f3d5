package otlp

import (
	"os"
	"strconv"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"audittrail/platform/config"
)

// sampler is the one that OTEL_TRACES_SAMPLER names, with one more rule: a span without a parent that links to a sampled
// span is sampled, so that whoever follows a sampled record finds the batch that stored it.
type sampler struct {
	sdktrace.Sampler
	never         bool // samples nothing, whatever a parent says
	followsParent bool // what has a parent is sampled where the parent is
}

// samplerOf reads the two variables. The SDK would replace a value that it does not know by another one.
func samplerOf() (sampler, error) {
	name := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER"))
	if name == "" {
		name = "parentbased_always_on"
	}
	root, followsParent := strings.CutPrefix(name, "parentbased_")
	s := sampler{followsParent: followsParent}
	switch root {
	case "always_on":
		s.Sampler = sdktrace.AlwaysSample()
	case "always_off":
		s.Sampler, s.never = sdktrace.NeverSample(), !followsParent
	case "traceidratio":
		ratio := 1.0
		if text := strings.TrimSpace(os.Getenv("OTEL_TRACES_SAMPLER_ARG")); text != "" {
			var err error
			if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
				return s, config.Invalid("OTEL_TRACES_SAMPLER_ARG", "must be a number from 0 to 1")
			}
		}
		s.Sampler = sdktrace.TraceIDRatioBased(ratio)
	default:
		return s, config.Invalid("OTEL_TRACES_SAMPLER", "must be always_on, always_off, traceidratio, or one of them behind parentbased_")
	}
	if followsParent {
		s.Sampler = sdktrace.ParentBased(s.Sampler)
	}
	return s, nil
}

// ShouldSample implements sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if !s.never && !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		for _, link := range p.Links {
			if link.SpanContext.IsSampled() {
				return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
			}
		}
	}
	return s.Sampler.ShouldSample(p)
}
