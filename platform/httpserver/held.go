package httpserver

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"audittrail/platform/errs"
)

const (
	// maxAnswer is the largest answer that is held: a page's 16 MiB of events, and what surrounds them.
	maxAnswer = 24 << 20

	// maxHeld is what all answers together may hold. Callers that read slowly keep theirs in memory.
	maxHeld = 256 << 20
)

var (
	errAnswerTooLarge = errors.New("the answer is larger than any page may be")
	errHeldTooMuch    = errs.New(errs.Unavailable, "unavailable", "too much is being answered at once; try again later")
)

// heldWriter keeps status, headers and body back until the release hooks have let the answer go. Until
// then it can be thrown away and another answer put in its place.
type heldWriter struct {
	header http.Header
	status int // 0 until WriteHeader
	body   bytes.Buffer
	all    *atomic.Int64 // bytes that the answers of this server hold
	taken  int64         // of which are this one's

	exchange *Exchange // that the answer belongs to
	bodiless bool      // the request is HEAD: what is held is measured, and not sent

	below    http.ResponseWriter    // where a stream writes to
	begin    func(status int) error // lets a stream's head go
	progress func(*Exchange) error  // asks the hooks about a stream that goes on
	pace     time.Duration          // how long one write of a stream may wait for its reader
	least    streamRate             // what a stream's reader must take
	stream   *Stream                // what leaves while it is made; nil for an answer that is held
	failure  error                  // why a stream did not come to its end
}

func newHeldWriter(all *atomic.Int64) *heldWriter {
	return &heldWriter{header: http.Header{}, all: all}
}

func (w *heldWriter) Header() http.Header { return w.header }

func (w *heldWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *heldWriter) Write(p []byte) (int, error) {
	if w.stream != nil {
		return 0, errStreamed
	}
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(p) > maxAnswer {
		return 0, errAnswerTooLarge
	}
	n := int64(len(p))
	if w.all.Add(n) > maxHeld {
		w.all.Add(-n)
		return 0, errHeldTooMuch
	}
	w.taken += n
	return w.body.Write(p)
}

// refusal puts a problem document in place of what is held. It always fits.
func (w *heldWriter) refusal(status int, document []byte) {
	w.status = status
	w.body.Write(document)
}

// reset throws away what is held, and gives its bytes back.
func (w *heldWriter) reset() {
	w.all.Add(-w.taken)
	w.taken = 0
	clear(w.header)
	w.status = 0
	w.body = bytes.Buffer{} // a large buffer is not kept for a problem document
}

// release sends what is held. Errors are the caller's line going away: there is nobody to tell.
func (w *heldWriter) release(to http.ResponseWriter) {
	h := to.Header()
	for name, values := range w.header {
		h[name] = values
	}
	if bodyAllowed(w.status) {
		h.Set("Content-Length", strconv.Itoa(w.body.Len()))
	}
	to.WriteHeader(w.status)
	if bodyAllowed(w.status) && !w.bodiless {
		_, _ = to.Write(w.body.Bytes())
	}
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
