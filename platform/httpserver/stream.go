package httpserver

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"audittrail/platform/errs"
)

// streamPace is how long one write of a stream may wait for its reader: a reader that takes nothing for so
// long has gone, or holds a slot for nothing. It takes the place of the answer's own time limit.
const streamPace = 30 * time.Second

// What a stream's reader must take, 16 KiB a second: a slower one would hold the stream's slot, and the memory
// behind it, for hours.
const (
	leastBytes  = 960 << 10
	leastWithin = time.Minute
)

// After how many events, or how much time, the hooks are asked about a stream that goes on.
const (
	progressEvents = 10_000
	progressEvery  = time.Minute
)

// streamRate is how many bytes must leave within so much time that the stream waits for its reader, on
// average over at least that time. The time between its writes is the handler's.
type streamRate struct {
	bytes  int64
	within time.Duration
}

// above says whether it is more than what was sent in the time.
func (r streamRate) above(sent int64, waited time.Duration) bool {
	return float64(r.bytes)/r.within.Seconds() > float64(sent)/waited.Seconds()
}

var (
	errSlowReader = errs.New(errs.Unavailable, "unavailable", "the reader is too slow")
	errNotHeld    = errors.New("only an answer of this server can be streamed")
	errStreamed   = errors.New("the answer is being streamed already")
	errHeadOnly   = errors.New("HEAD wants no more than the stream's head")
)

// Stream is the body of an answer that leaves while it is made, because it is larger than what is held.
// It is one goroutine's.
//
// What is written cannot be taken back. A handler that fails afterwards returns its error as ever; the
// connection is then cut in the middle of the answer, so that no reader takes it for a whole one.
//
// Where the request is HEAD its first write fails: nothing needs to be made that nobody gets.
type Stream struct {
	w    *heldWriter
	lost bool // the reader has gone, or takes nothing any more

	ask    func() error // the release hooks, about how far the stream has come
	told   int          // events that they know of
	toldAt time.Time

	waited time.Duration // for the reader, since its rate was looked at last
	sent   int64         // bytes that left meanwhile
}

// StartStream asks the release hooks, in the phase [PhaseStart], and sends status and headers. w is the
// writer that a handler was given. Where it fails nothing has left, and the handler returns the error.
//
// When the handler has returned without an error the hooks are asked again, in the phase [PhaseEnd]; if
// one refuses then, the connection is cut before the answer's end.
func StartStream(w http.ResponseWriter, status int) (*Stream, error) {
	held, ok := findHeld(w)
	switch {
	case !ok || held.begin == nil:
		return nil, errNotHeld
	case held.stream != nil:
		return nil, errStreamed
	}
	held.WriteHeader(status)
	if err := held.begin(held.status); err != nil {
		return nil, err
	}
	held.stream = &Stream{w: held, toldAt: time.Now(), ask: func() error { return held.progress(held.exchange) }}
	return held.stream, nil
}

// Write sends a part of the body; it waits while the reader is slow. Large parts are cheaper.
func (s *Stream) Write(p []byte) (int, error) {
	if s.w.bodiless {
		return 0, errHeadOnly
	}
	n := 0
	err := s.wait(func() (err error) {
		n, err = s.w.below.Write(p)
		s.sent += int64(n)
		return err
	})
	return n, err
}

// Flush makes what was written leave now. The release hooks are asked now and then, in the phase [PhaseProgress]:
// where they refuse, the stream ends.
func (s *Stream) Flush() error {
	if err := s.tell(); err != nil {
		return err
	}
	return s.wait(http.NewResponseController(s.w.below).Flush)
}

// tell asks the hooks each 10,000 events or minute.
func (s *Stream) tell() error {
	events := s.w.exchange.Events
	if events-s.told < progressEvents && time.Since(s.toldAt) < progressEvery {
		return nil
	}
	s.told, s.toldAt = events, time.Now()
	return s.ask()
}

// wait does what waits for the reader, and ends the stream of one that is slow.
func (s *Stream) wait(send func() error) error {
	if err := s.limit(s.w.pace); err != nil {
		return err
	}
	begun := time.Now()
	if err := send(); err != nil {
		s.lost = true
		return err
	}
	// A reader takes much at once and then nothing for a while: only the average over some time tells.
	if s.waited += time.Since(begun); s.waited >= s.w.least.within {
		if s.w.least.above(s.sent, s.waited) {
			return errSlowReader
		}
		s.waited, s.sent = 0, 0
	}
	return s.limit(0)
}

// limit gives the reader so long to take what is written; 0 is no limit. There must be none while nothing
// is written: HTTP/2 ends a stream whose time is over, whether it writes or not.
func (s *Stream) limit(pace time.Duration) error {
	var deadline time.Time
	if pace > 0 {
		deadline = time.Now().Add(pace)
	}
	err := http.NewResponseController(s.w.below).SetWriteDeadline(deadline)
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // a recorder of tests has none
		return fmt.Errorf("limit the stream's time: %w", err)
	}
	return nil
}

// findHeld looks for the writer of this package below those that the router has put around it.
func findHeld(w http.ResponseWriter) (*heldWriter, bool) {
	for {
		if held, ok := w.(*heldWriter); ok {
			return held, true
		}
		around, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, false
		}
		w = around.Unwrap()
	}
}

// startStream lets a stream's head go, unless a hook refuses.
func (s *Server) startStream(held *heldWriter, x *Exchange, status int) error {
	x.Phase, x.Status = PhaseStart, status
	if err := s.askHooks(x); err != nil {
		x.Phase = PhaseRequest
		return err
	}
	h := held.below.Header()
	s.finish(held.header, x)
	for name, values := range held.header {
		h[name] = values
	}
	held.below.WriteHeader(status)
	x.Phase = PhaseEnd
	return nil
}

// askProgress asks the hooks about a stream that goes on.
func (s *Server) askProgress(x *Exchange) error {
	x.Phase = PhaseProgress
	defer func() { x.Phase = PhaseEnd }()
	return s.askHooks(x)
}

// endStream asks the hooks once more. It answers whether the connection must be cut.
func (s *Server) endStream(held *heldWriter, x *Exchange) (cut bool) {
	if held.bodiless && errors.Is(held.failure, errHeadOnly) {
		held.failure = nil
	}
	if err := s.askHooks(x); err != nil && held.failure == nil {
		held.failure = err
	}
	if held.failure == nil {
		held.failure = held.stream.limit(held.pace) // for what net/http writes behind the last part
	}
	if held.failure == nil {
		return false
	}
	if held.stream.lost || gone(x.Request.Context()) {
		x.Status = statusGone
		return true
	}
	_, code := public(held.failure)
	s.logCause(x, code, fmt.Errorf("the stream was cut off: %w", held.failure))
	return true
}
