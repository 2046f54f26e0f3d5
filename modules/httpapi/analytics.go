package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// AnalyticsAnswer is an answer of the analytics in one of the forms that it has.
type AnalyticsAnswer struct {
	Type string // JSONType, CSVType, MermaidType or GraphvizType
	Body []byte
}

// VisitGetEventStatsResponse writes counts.
func (a AnalyticsAnswer) VisitGetEventStatsResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetStepStatsResponse writes how long a step takes.
func (a AnalyticsAnswer) VisitGetStepStatsResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetFunnelResponse writes how far workflows come.
func (a AnalyticsAnswer) VisitGetFunnelResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetProcessResponse writes a process.
func (a AnalyticsAnswer) VisitGetProcessResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitListAnomaliesResponse writes what is unusual.
func (a AnalyticsAnswer) VisitListAnomaliesResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetAnomalyResponse writes one anomaly.
func (a AnalyticsAnswer) VisitGetAnomalyResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitAcknowledgeAnomalyResponse writes the anomaly.
func (a AnalyticsAnswer) VisitAcknowledgeAnomalyResponse(w http.ResponseWriter) error {
	return a.send(w)
}

// VisitResolveAnomalyResponse writes the anomaly.
func (a AnalyticsAnswer) VisitResolveAnomalyResponse(w http.ResponseWriter) error { return a.send(w) }

func (a AnalyticsAnswer) send(w http.ResponseWriter) error {
	w.Header().Add(echo.HeaderVary, echo.HeaderAccept)
	return sendAs(w, a.Type, a.Body)
}
