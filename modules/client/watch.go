package client

import (
	"bufio"
	"bytes"
	"context"
	"iter"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Watch gives what a path streams as server-sent events, the data of each. A stream that ends is begun again until the
// caller leaves. What ends Watch, by an error, is ctx, an API that can't be watched in the first place, and one that
// refuses (a *Problem).
func (c *Client) Watch(ctx context.Context, path string) iter.Seq2[jsontext.Value, error] {
	return func(yield func(jsontext.Value, error) bool) {
		for began := false; ; {
			stop, err := c.watchOnce(ctx, path, &began, yield)
			switch {
			case stop:
				return
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case !began || final(err):
				yield(nil, err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(firstPause):
			}
		}
	}
}

// watchOnce reads one stream to its end; stop says that the caller has left.
func (c *Client) watchOnce(ctx context.Context, path string, began *bool, yield func(jsontext.Value, error) bool) (stop bool, err error) {
	body, err := c.open(ctx, path, nil, map[string]string{"Accept": kindEvents + ", " + kindProblem}, kindEvents)
	if err != nil {
		return false, err
	}
	defer body.Close() //nolint:errcheck // it was only read
	*began = true
	in := bufio.NewReaderSize(body, 64<<10)
	var line []byte
	for {
		if line, err = readLine(in, line[:0]); err != nil {
			return false, err
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok && !yield(bytes.Clone(data), nil) {
			return true, nil
		}
	}
}
