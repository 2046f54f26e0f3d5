package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// stallTime is how long a stream may be silent while it is read before it is given up: longer than the API's
// slowest statement.
const stallTime = 2 * time.Minute

var errStalled = errors.New("the API has sent nothing for two minutes")

// Open asks for an answer of any length: JSON or NDJSON that is read while it is sent. The caller closes
// it. An answer that the API cuts off ends in io.ErrUnexpectedEOF. The error is a *Problem where the API
// refused.
func (c *Client) Open(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	s, err := c.open(ctx, path, query, nil, kindJSON, kindNDJSON)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// open is Open for an answer of one of the kinds. Its headers stand in for those that every request has.
func (c *Client) open(ctx context.Context, path string, query url.Values, headers map[string]string, kinds ...string) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := c.request(ctx, path, query)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	patient := *c.http
	patient.Timeout = 0 // its own watch ends it
	s := &stream{cancel: cancel, cause: func() error { return context.Cause(ctx) }}
	s.watch = time.AfterFunc(stallTime, func() { cancel(errStalled) })
	resp, err := patient.Do(req) //nolint:bodyclose // whoever gets the stream closes it
	if err != nil {
		s.stop()
		return nil, &noAnswerError{c.base.String(), unwrapURL(s.explain(err))}
	}
	s.body, s.header = resp.Body, resp.Header
	if resp.StatusCode == http.StatusOK && slices.Contains(kinds, kindOf(resp)) {
		s.watch.Stop() // until the first Read
		return s, nil
	}
	return nil, errors.Join(c.refusal(resp), s.Close())
}

// stream is the body of an answer that must go on arriving while it is read.
type stream struct {
	body   io.ReadCloser
	header http.Header
	watch  *time.Timer
	cancel context.CancelCauseFunc
	cause  func() error
	once   sync.Once
}

// Read fulfils io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	s.watch.Reset(stallTime)
	n, err := s.body.Read(p)
	s.watch.Stop() // what the caller does between is its own time
	return n, s.explain(err)
}

// explain says why reading was cancelled, where it was.
func (s *stream) explain(err error) error {
	if err != nil && errors.Is(err, context.Canceled) {
		if cause := s.cause(); cause != nil {
			return cause
		}
	}
	return err
}

func (s *stream) stop() {
	s.once.Do(func() {
		s.watch.Stop()
		s.cancel(nil)
	})
}

// Close ends the answer, also before its end.
func (s *stream) Close() error {
	s.stop()
	return s.body.Close()
}

// noAnswerError says that nothing came from the API, not even the head of an answer.
type noAnswerError struct {
	base  string
	cause error
}

func (e *noAnswerError) Error() string { return "no answer from " + e.base + ": " + e.cause.Error() }

func (e *noAnswerError) Unwrap() error { return e.cause }
