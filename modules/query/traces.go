package query

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/query/causation"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// The bounds of a trace. Its bytes leave room within what clients take.
const (
	traceEvents = 10_000
	traceBytes  = 32 << 20
)

var errNoTrace = errs.New(errs.NotFound, "not_found", "no event has this correlation id")

// GetTrace answers a workflow as a tree, in the form that the caller wants.
func (h *Handlers) GetTrace(ctx context.Context, r httpapi.GetTraceRequestObject) (httpapi.GetTraceResponseObject, error) {
	found, err := h.reader.Correlated(ctx, r.CorrelationId, traceEvents, traceBytes)
	if err != nil {
		return nil, err
	}
	if len(found.Events) == 0 {
		return nil, errNoTrace
	}
	tree := causation.Build(r.CorrelationId, found.Events, found.Truncated)
	known, err := h.reader.Known(ctx, tree.Outside())
	if err != nil {
		return nil, err
	}
	tree.Settle(func(id event.ID) bool { return known[id] })
	show(ctx, found.Events)
	var body bytes.Buffer
	switch kind := traceForm(httpserver.ExchangeOf(ctx).Request); kind {
	case httpapi.MermaidType:
		tree.Mermaid(&body)
		return httpapi.TraceAnswer{Type: kind, Body: body.Bytes()}, nil
	case httpapi.GraphvizType:
		tree.Graphviz(&body)
		return httpapi.TraceAnswer{Type: kind, Body: body.Bytes()}, nil
	}
	return httpapi.TraceAnswer{Type: httpapi.JSONType, Body: tree.AppendJSON(nil)}, nil
}

// traceForm is the media type that a request's Accept ranks highest; JSON where it ranks none higher.
func traceForm(r *http.Request) string {
	best := httpapi.JSONType
	if r == nil {
		return best
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	most := quality(accept, "application", "json")
	for _, kind := range []string{httpapi.MermaidType, httpapi.GraphvizType} {
		if q := quality(accept, "text", strings.TrimPrefix(kind, "text/")); q > most {
			best, most = kind, q
		}
	}
	return best
}
