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
	case errors.Is(c.broken, io.ErrUnexpectedEOF):
		return cutOff(where)
	}
	return fmt.Errorf("%w (%w)", cutOff(where), c.broken)
}

func cutOff(where string) error {
	return fmt.Errorf("the API's answer was cut off %s; it is of no use", where)
}
