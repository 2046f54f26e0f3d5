package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// The media types of traces, beside JSON.
const (
	MermaidType  = "text/vnd.mermaid"
	GraphvizType = "text/vnd.graphviz"
)

// JSONAnswer is an answer that is JSON already: a state, or a diff.
type JSONAnswer []byte

// VisitGetAggregateStateResponse writes the state.
func (a JSONAnswer) VisitGetAggregateStateResponse(w http.ResponseWriter) error { return send(w, a) }

// VisitGetAggregateDiffResponse writes the diff.
func (a JSONAnswer) VisitGetAggregateDiffResponse(w http.ResponseWriter) error { return send(w, a) }

// VisitGetMeResponse writes who the caller is.
func (a JSONAnswer) VisitGetMeResponse(w http.ResponseWriter) error { return send(w, a) }

// TraceAnswer is a workflow in one of the forms that it has.
type TraceAnswer struct {
	Type string // JSONType, MermaidType or GraphvizType
	Body []byte
}

// VisitGetTraceResponse writes the trace.
func (t TraceAnswer) VisitGetTraceResponse(w http.ResponseWriter) error {
	w.Header().Add(echo.HeaderVary, echo.HeaderAccept)
	return sendAs(w, t.Type, t.Body)
}
