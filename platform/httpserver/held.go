package httpserver

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
)

// maxAnswer is the largest answer that is held: a page's 16 MiB of events, and what surrounds them.
const maxAnswer = 24 << 20

var errAnswerTooLarge = errors.New("the answer is larger than any page may be")

// heldWriter keeps status, headers and body back until the release hooks have let the answer go. Until
// then it can be thrown away and another answer put in its place.
type heldWriter struct {
	header http.Header
	status int // 0 until WriteHeader
	body   bytes.Buffer
}

func newHeldWriter() *heldWriter { return &heldWriter{header: http.Header{}} }

func (w *heldWriter) Header() http.Header { return w.header }

func (w *heldWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *heldWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(p) > maxAnswer {
		return 0, errAnswerTooLarge
	}
	return w.body.Write(p)
}

func (w *heldWriter) reset() {
	clear(w.header)
	w.status = 0
	w.body.Reset()
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
	if bodyAllowed(w.status) {
		_, _ = to.Write(w.body.Bytes())
	}
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
