package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/evidence"
)

const (
	// A follower that lost its stream comes back within firstPause, and each time that it gets nothing takes
	// twice as long, up to lastPause.
	firstPause = time.Second
	lastPause  = 30 * time.Second

	// maxFeedLine bounds a line of the feed, in bytes: it holds an event.
	maxFeedLine = evidence.MaxEntry
)

// FeedEvent is an event of the feed.
type FeedEvent struct {
	Position int64
	JSON     jsontext.Value // as the API sent it; good until the next one
}

// Follow gives the events of the feed whose positions are greater than after, which may be -1, in order and
// each once, and waits for more. It holds one event at a time. A stream that ends, for whatever reason, is
// begun again where it was. What ends Follow, by an error, is ctx, an API that can't be followed in the first
// place, one that refuses (a *Problem, as where the token has expired or the log was set back), and one that
// sends what is no feed.
func (c *Client) Follow(ctx context.Context, query url.Values, after int64) iter.Seq2[FeedEvent, error] {
	return func(yield func(FeedEvent, error) bool) {
		f := follower{client: c, query: query, last: after, yield: yield}
		pause := firstPause
		for {
			from := f.last
			err := f.stream(ctx)
			switch {
			case f.left:
				return
			case ctx.Err() != nil:
				yield(FeedEvent{}, ctx.Err())
				return
			case !f.began || final(err):
				yield(FeedEvent{}, err)
				return
			case f.last > from:
				pause = firstPause
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // spreads those that a server lost at once
			}
			pause = min(2*pause, lastPause)
		}
	}
}

// errNoFeed is an answer that asking again would not make better.
var errNoFeed = errors.New("the API's answer is no feed")

// final says whether an error would come again.
func final(err error) bool {
	var refused *Problem
	if errors.As(err, &refused) {
		return refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests
	}
	return errors.Is(err, errNoFeed)
}

// follower follows the feed by one stream after the other.
type follower struct {
	client *Client
	query  url.Values
	yield  func(FeedEvent, error) bool
	last   int64 // the id that was received last
	began  bool  // there was a stream
	left   bool  // the caller wants no more
}

// stream follows one stream to its end.
func (f *follower) stream(ctx context.Context) error {
	headers := map[string]string{"Accept": kindEvents + ", " + kindProblem, "Last-Event-ID": strconv.FormatInt(f.last, 10)}
	body, err := f.client.open(ctx, "/v1/feed", f.query, headers, kindEvents)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was only read
	f.began = true
	in := bufio.NewReaderSize(body, 64<<10)
	var line, id, data []byte
	for !f.left {
		if line, err = readLine(in, line[:0]); err != nil {
			return err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0:
			if err := f.dispatch(id, data); err != nil {
				return err
			}
			id, data = id[:0], data[:0]
		case string(name) == "id":
			id = append(id[:0], value...)
		case string(name) == "data":
			data = append(data[:0], value...) // an event is on one line
		}
	}
	return nil
}

// dispatch passes a whole event on. One without data only moves the position.
func (f *follower) dispatch(id, data []byte) error {
	if len(id) == 0 && len(data) == 0 {
		return nil
	}
	position, err := strconv.ParseInt(string(id), 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("%w: an event has no position as its id", errNoFeed)
	case position <= f.last:
		return fmt.Errorf("%w: it came to position %d after %d", errNoFeed, position, f.last)
	case len(data) > 0 && !(jsontext.Value(data).Kind() == '{' && jsontext.Value(data).IsValid()):
		return fmt.Errorf("%w: the event at position %d is no JSON object", errNoFeed, position)
	}
	f.last = position
	if len(data) > 0 {
		f.left = !f.yield(FeedEvent{Position: position, JSON: data}, nil)
	}
	return nil
}

// readLine appends the next line to the buffer, without its end.
func readLine(in *bufio.Reader, line []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxFeedLine {
			return nil, fmt.Errorf("%w: a line is longer than %d MiB", errNoFeed, maxFeedLine>>20)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		case errors.Is(err, io.EOF):
			return nil, io.ErrUnexpectedEOF // what is left of a line is no line
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
