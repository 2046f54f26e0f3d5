package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

const exportPath = "/v1/events/export"

// mostTries is how often an export that was cut is asked for again without getting any further, with the pauses of a
// follower before.
const mostTries = 8

// Watch is told how an export comes along.
type Watch struct {
	Each  func()                                 // one more event has passed
	Again func(cause error, pause time.Duration) // it was cut, and goes on after the pause
}

// Export asks for an export with the parameters of query, and copies it to dst while it arrives. It makes sure that
// the export is whole, and proves nothing. One of NDJSON or CSV that is cut goes on behind the last event that has
// arrived, and dst gets what it would have got of one that was never cut, the trailer too. When Export fails dst has
// a part. The error is a *Problem where the API refused.
func (c *Client) Export(ctx context.Context, query url.Values, dst io.Writer, w Watch) error {
	format := query.Get("format")
	if format != "ndjson" && format != "csv" {
		body, err := c.Open(ctx, exportPath, query)
		if err != nil {
			return err
		}
		defer body.Close()
		return CopyBundle(dst, body, w.Each)
	}
	x := newExportCopy(dst, format == "csv", w.Each)
	for tries := 0; ; tries++ {
		before := x.count
		err := c.exportPart(ctx, x, query)
		if err == nil {
			return x.end()
		}
		if x.count > before {
			tries = 0
		}
		rest, ok := x.rest(query)
		if tries == mostTries || ctx.Err() != nil || !ok || !isPassing(err) {
			return err
		}
		pause := min(firstPause<<tries, lastPause)
		w.Again(err, pause)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		query = rest
	}
}

// exportPart copies one answer to its end.
func (c *Client) exportPart(ctx context.Context, x *exportCopy, query url.Values) error {
	body, err := c.open(ctx, exportPath, query, nil, kindNDJSON, kindCSV)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was only read
	if x.count == 0 {
		x.size = body.header.Get("Audittrail-Size")
	}
	return x.part(body)
}

// isPassing says whether what ended an answer may be over when it is asked for again.
func isPassing(err error) bool {
	var (
		problem *Problem
		foreign *foreignError
		silent  *noAnswerError
		cut     *cutError
	)
	switch {
	case errors.As(err, &problem):
		return problem.Status >= http.StatusInternalServerError || problem.Status == http.StatusTooManyRequests
	case errors.As(err, &foreign): // a proxy whose API is away
		return foreign.status >= http.StatusInternalServerError
	default:
		return errors.As(err, &silent) || errors.As(err, &cut)
	}
}
