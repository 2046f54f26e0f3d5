package query

import (
	"bytes"
	"context"

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
	switch kind := httpapi.Preferred(httpserver.ExchangeOf(ctx).Request, httpapi.JSONType, httpapi.MermaidType, httpapi.GraphvizType); kind {
	case httpapi.MermaidType:
		tree.Mermaid(&body)
		return httpapi.TraceAnswer{Type: kind, Body: body.Bytes()}, nil
	case httpapi.GraphvizType:
		tree.Graphviz(&body)
		return httpapi.TraceAnswer{Type: kind, Body: body.Bytes()}, nil
	}
	return httpapi.TraceAnswer{Type: httpapi.JSONType, Body: tree.AppendJSON(nil)}, nil
}
