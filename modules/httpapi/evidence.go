package httpapi

import (
	"io"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"audittrail/platform/httpserver"
)

// plainType is C2SP's for checkpoints and textual proofs.
const plainType = "text/plain; charset=utf-8"

// The media types of exports.
const (
	JSONType    = jsonType
	NDJSONType  = "application/x-ndjson"
	CSVType     = "text/csv; charset=utf-8; header=present"
	CSVPartType = "text/csv; charset=utf-8; header=absent" // of a part that goes on
)

// sizeHeader says up to which size of the log an export goes. Whoever goes on with one that was cut names it.
const sizeHeader = "Audittrail-Size"

// cacheFor says how long an answer may be kept: by everybody where no token was wanted, and by the caller
// alone where one was.
func cacheFor(w http.ResponseWriter, directives string) {
	who := "public"
	if httpserver.IsPrivate(w) {
		who = cachePrivate
	}
	w.Header().Set(echo.HeaderCacheControl, who+", "+directives)
}

// What ledger answers say about being kept. A checkpoint grows old within notary.interval, and a proof
// with it; hashes below a signed size never change.
const (
	cachePrivate   = "private"
	cacheAsk       = "no-cache" // keep it, and ask whether it still is the latest
	cacheMoment    = "max-age=1"
	cacheImmutable = "max-age=31536000, immutable"
)

// EventEvidence is an event's evidence, as a bundle or as text.
type EventEvidence struct {
	Body []byte
	Text bool // C2SP tlog-proof
	ETag string
}

// VisitGetEventProofResponse writes the evidence.
func (e EventEvidence) VisitGetEventProofResponse(w http.ResponseWriter) error {
	evidenceHead(w, e.ETag)
	kind := jsonType
	if e.Text {
		kind = plainType
	}
	return sendAs(w, kind, e.Body)
}

func evidenceHead(w http.ResponseWriter, etag string) {
	w.Header().Set("ETag", etag)
	w.Header().Add(echo.HeaderVary, echo.HeaderAccept)
	cacheFor(w, cacheAsk)
}

// VisitGetEventProofResponse writes the head, which is all there is.
func (e Unchanged) VisitGetEventProofResponse(w http.ResponseWriter) error {
	evidenceHead(w, e.ETag)
	w.WriteHeader(http.StatusNotModified)
	return nil
}

// SignedCheckpoint is a log's latest checkpoint.
type SignedCheckpoint struct {
	Note string
	ETag string
}

// VisitGetCheckpointResponse writes the signed note.
func (c SignedCheckpoint) VisitGetCheckpointResponse(w http.ResponseWriter) error {
	w.Header().Set("ETag", c.ETag)
	cacheFor(w, cacheMoment)
	return sendAs(w, plainType, []byte(c.Note))
}

// VisitGetCheckpointResponse writes the head, which is all there is.
func (e Unchanged) VisitGetCheckpointResponse(w http.ResponseWriter) error {
	w.Header().Set("ETag", e.ETag)
	cacheFor(w, cacheMoment)
	w.WriteHeader(http.StatusNotModified)
	return nil
}

// Consistency is a consistency proof.
type Consistency struct {
	Body []byte // JSON
	ETag string
}

// VisitGetConsistencyResponse writes the proof.
func (c Consistency) VisitGetConsistencyResponse(w http.ResponseWriter) error {
	immutableHead(w, c.ETag)
	return send(w, c.Body)
}

// VisitGetConsistencyResponse writes the head, which is all there is.
func (e Unchanged) VisitGetConsistencyResponse(w http.ResponseWriter) error {
	immutableHead(w, e.ETag)
	w.WriteHeader(http.StatusNotModified)
	return nil
}

func immutableHead(w http.ResponseWriter, etag string) {
	w.Header().Set("ETag", etag)
	cacheFor(w, cacheImmutable)
}

// Export is an answer that is written while it is read. Write begins the stream itself, when it has
// something to send.
type Export struct {
	File   string                                                   // what a browser calls it
	Type   string                                                   // its media type
	IsGzip bool                                                     // what is written to the stream is compressed
	Write  func(start func(size int64) (ExportStream, error)) error // of a log of this size
}

// ExportStream is what an export is written to.
type ExportStream interface {
	io.Writer
	Flush() error
}

// VisitExportEventsResponse streams the export.
func (e Export) VisitExportEventsResponse(w http.ResponseWriter) error {
	return e.Write(func(size int64) (ExportStream, error) {
		h := w.Header()
		h.Set(contentType, e.Type)
		h.Set(sizeHeader, strconv.FormatInt(size, 10))
		h.Set(positionHeader, strconv.FormatInt(size-1, 10))
		h.Set(echo.HeaderContentDisposition, `attachment; filename="`+e.File+`"`)
		h.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
		if e.IsGzip {
			h.Set(echo.HeaderContentEncoding, "gzip")
		}
		cacheFor(w, "no-store")
		return httpserver.StartStream(w, http.StatusOK)
	})
}

// LongDeadLetter is a dead letter that is written while it is read, as an [Export] is.
type LongDeadLetter struct {
	Write func(start func() (ExportStream, error)) error
}

// VisitGetDeadLetterResponse streams the dead letter.
func (d LongDeadLetter) VisitGetDeadLetterResponse(w http.ResponseWriter) error {
	return d.Write(func() (ExportStream, error) {
		w.Header().Set(contentType, jsonType)
		return httpserver.StartStream(w, http.StatusOK)
	})
}

func sendAs(w http.ResponseWriter, kind string, body []byte) error {
	w.Header().Set(contentType, kind)
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	return err
}
