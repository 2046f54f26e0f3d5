package client

import (
	"errors"
	"fmt"
	"io"
)

// copying reads an answer, and writes to dst what it has read. It remembers which side failed: readers
// above it have words of their own for both.
type copying struct {
	src       io.Reader
	dst       io.Writer
	broken    error // src's; nil at its end
	unwritten error // dst's
}

// Read fulfils io.Reader.
func (c *copying) Read(p []byte) (int, error) {
	n, err := c.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.broken = err
	}
	if _, c.unwritten = c.dst.Write(p[:n]); c.unwritten != nil {
		return 0, c.unwritten
	}
	return n, err
}

// failure is why copying ended early, where one of its sides failed; nil where that did not. where says how far
// it had come, as "behind event 3".
func (c *copying) failure(where string) error {
	switch {
	case c.unwritten != nil:
		return fmt.Errorf("the export can't be written: %w", c.unwritten)
	case c.broken == nil:
		return nil
	}
	return cutOff(where, c.broken)
}

// cutError says that an answer ended before its end.
type cutError struct {
	where string
	cause error // nil where the answer looked as if it were at its end
}

func cutOff(where string, cause error) error { return &cutError{where, cause} }

func (e *cutError) Error() string {
	text := "the API's answer was cut off " + e.where + "; it is of no use"
	if e.cause == nil || errors.Is(e.cause, io.ErrUnexpectedEOF) {
		return text
	}
	return text + " (" + e.cause.Error() + ")"
}

func (e *cutError) Unwrap() error { return e.cause }
