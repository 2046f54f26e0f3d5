package httpapi

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

const contentType, jsonType = "Content-Type", "application/json"

// The answers below take the place of the generated ones where an answer holds events: an event's JSON is
// appended as bytes and never goes through maps, which would reorder it and round its numbers.

// SearchAnswer is a page of a search.
type SearchAnswer struct {
	Items      []event.Stored
	Fields     []string    // the members of each event; nil for all
	NextCursor string      // "" where there is no next page
	Count      *EventCount // nil where it was not asked for
}

// EventCount is how many events fit a search.
type EventCount struct {
	Value     int64
	IsCapped  bool // there are more than that
	IsPlanned bool // it is the planner's estimate
}

// VisitListEventsResponse writes the page.
func (p SearchAnswer) VisitListEventsResponse(w http.ResponseWriter) error {
	body := appendItems(nil, p.Items, p.Fields)
	body = append(body, `,"nextCursor":`...)
	body = appendCursor(body, p.NextCursor)
	if c := p.Count; c != nil {
		body = append(body, `,"count":{"value":`...)
		body = strconv.AppendInt(body, c.Value, 10)
		if c.IsPlanned {
			body = append(body, `,"estimate":true}`...)
		} else {
			body = append(strconv.AppendBool(append(body, `,"capped":`...), c.IsCapped), '}')
		}
	}
	return send(w, append(body, '}'))
}

// EventsAnswer is a page of an aggregate's history.
type EventsAnswer struct {
	Items      []event.Stored
	NextCursor string // "" where there is no next page
}

// VisitListAggregateEventsResponse writes the page.
func (p EventsAnswer) VisitListAggregateEventsResponse(w http.ResponseWriter) error {
	body := appendItems(nil, p.Items, nil)
	body = append(body, `,"nextCursor":`...)
	body = appendCursor(body, p.NextCursor)
	return send(w, append(body, '}'))
}

// AccessAnswer is a page of the access log.
type AccessAnswer struct {
	Items      []store.StoredAccess
	NextCursor string // "" where there is no next page
}

// VisitListAccessResponse writes the page.
func (p AccessAnswer) VisitListAccessResponse(w http.ResponseWriter) error {
	body := []byte(`{"items":[`)
	for i := range p.Items {
		if i > 0 {
			body = append(body, ',')
		}
		body = p.Items[i].AppendJSON(body)
	}
	body = append(body, `],"nextCursor":`...)
	return send(w, append(appendCursor(body, p.NextCursor), '}'))
}

// AccessEvidence is the evidence of an access entry.
type AccessEvidence struct{ Bundle *bytes.Buffer }

// VisitGetAccessProofResponse writes the evidence.
func (e AccessEvidence) VisitGetAccessProofResponse(w http.ResponseWriter) error {
	cacheFor(w, cacheAsk)
	return send(w, e.Bundle.Bytes())
}

// FeedAnswer is a page of the feed.
type FeedAnswer struct {
	Items     []event.Stored
	Fields    []string // the members of each event; nil for all
	ScannedTo int64    // the highest position that was examined
	More      bool     // there are events beyond it already
}

// VisitReadFeedResponse writes the page.
func (p FeedAnswer) VisitReadFeedResponse(w http.ResponseWriter) error {
	w.Header().Add(echo.HeaderVary, echo.HeaderAccept)
	next := ""
	if p.More {
		next = strconv.FormatInt(p.ScannedTo, 10)
	}
	body := appendItems(nil, p.Items, p.Fields)
	body = append(body, `,"nextCursor":`...)
	body = appendCursor(body, next)
	body = append(body, `,"scannedTo":`...)
	body = strconv.AppendInt(body, p.ScannedTo, 10)
	return send(w, append(body, '}'))
}

// EventStreamType is the media type of server-sent events.
const EventStreamType = "text/event-stream"

// FeedStream is the feed as server-sent events. Write begins the stream itself, as that of an [Export] does.
type FeedStream struct {
	Write func(start func() (ExportStream, error)) error
}

// VisitReadFeedResponse streams the feed.
func (s FeedStream) VisitReadFeedResponse(w http.ResponseWriter) error {
	return s.Write(func() (ExportStream, error) { return startEvents(w) })
}

// startEvents begins a stream of server-sent events.
func startEvents(w http.ResponseWriter) (ExportStream, error) {
	h := w.Header()
	h.Set(contentType, EventStreamType)
	h.Add(echo.HeaderVary, echo.HeaderAccept)
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back until its buffer is full
	cacheFor(w, "no-store")
	return httpserver.StartStream(w, http.StatusOK)
}

// ReplayStream is a replay's progress as server-sent events. Write begins the stream itself, as that of an [Export]
// does.
type ReplayStream struct {
	Write func(start func() (ExportStream, error)) error
}

// VisitGetReplayResponse streams the progress.
func (s ReplayStream) VisitGetReplayResponse(w http.ResponseWriter) error {
	return s.Write(func() (ExportStream, error) { return startEvents(w) })
}

// SingleEvent is one event with its entity tag.
type SingleEvent struct {
	Body []byte
	ETag string
}

// VisitGetEventResponse writes the event.
func (e SingleEvent) VisitGetEventResponse(w http.ResponseWriter) error {
	w.Header().Set("ETag", e.ETag)
	return send(w, e.Body)
}

// Unchanged tells the caller that it has the answer already.
type Unchanged struct{ ETag string }

// VisitGetEventResponse writes the head, which is all there is.
func (e Unchanged) VisitGetEventResponse(w http.ResponseWriter) error {
	w.Header().Set("ETag", e.ETag)
	w.WriteHeader(http.StatusNotModified)
	return nil
}

// RawJSON is a document that is JSON already.
type RawJSON []byte

// VisitGetSpecificationResponse writes the document.
func (d RawJSON) VisitGetSpecificationResponse(w http.ResponseWriter) error { return send(w, d) }

// appendItems appends an opened object with its items; of each event the fields, or all where they are nil.
func appendItems(body []byte, items []event.Stored, fields []string) []byte {
	body = append(body, `{"items":[`...)
	for i := range items {
		if i > 0 {
			body = append(body, ',')
		}
		body = AppendEvent(body, &items[i], fields)
	}
	return append(body, ']')
}

// AppendEvent appends the members of an event that are wanted, all where fields is nil.
func AppendEvent(dst []byte, e *event.Stored, fields []string) []byte {
	if fields == nil {
		return e.AppendJSON(dst)
	}
	return e.AppendSelected(dst, fields)
}

// appendCursor appends a cursor, which never holds a character that JSON would escape.
func appendCursor(body []byte, cursor string) []byte {
	if cursor == "" {
		return append(body, "null"...)
	}
	return strconv.AppendQuote(body, cursor)
}

func send(w http.ResponseWriter, body []byte) error { return sendAs(w, jsonType, body) }
