package query

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
)

// heartbeat is how often a stream says that it is there: proxies end connections that are silent for a minute.
const heartbeat = 15 * time.Second

// prefersStream says whether a request's Accept ranks text/event-stream above application/json.
func prefersStream(r *http.Request) bool {
	if r == nil {
		return false
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return httpapi.Quality(accept, "text", "event-stream") > httpapi.Quality(accept, "application", "json")
}

// positionOf reads the Last-Event-ID that a stream has given as `id`.
func positionOf(last string) (int64, error) {
	position, err := strconv.ParseInt(last, 10, 64)
	if err != nil || position < -1 {
		return 0, invalid("Last-Event-ID", "must be the id of an event of this feed, a position")
	}
	return position, nil
}

// streamFeed sends the feed as server-sent events until the caller leaves, its token expires or the server
// stops. It reads a part, sends it and reads on, so it holds one part however far behind the caller is, and
// no connection to the store while it sends or waits. A stream takes the place of a feed that waits.
func (h *Handlers) streamFeed(ctx context.Context, f store.Filter, fields []string, after int64) httpapi.FeedStream {
	return httpapi.FeedStream{Write: func(start func() (httpapi.ExportStream, error)) error {
		giveBack, err := h.waits.Take(httpserver.ExchangeOf(ctx).Principal)
		if err != nil {
			return err
		}
		defer giveBack()
		part, err := h.reader.FeedPart(ctx, f, after)
		if err != nil {
			return err
		}
		stream, err := start()
		if err != nil {
			return err
		}
		p, _ := auth.PrincipalOf(ctx) // there is one: the feed wants a token
		s := feedStream{h: h, filter: f, fields: fields, to: stream, out: bufio.NewWriterSize(stream, exportBuffer), until: p.AcceptedUntil(), told: after}
		return s.run(ctx, part)
	}}
}

// feedStream is one stream of the feed.
type feedStream struct {
	h      *Handlers
	filter store.Filter
	fields []string // the members of each event; nil for all
	to     httpapi.ExportStream
	out    *bufio.Writer
	until  time.Time // when its token expires
	beat   time.Time // when the next heartbeat is due
	told   int64     // the last id that was sent
}

// run sends the first part and all that come after it. An error cuts the stream off; the caller comes back
// with the last id that it got whole.
func (s *feedStream) run(ctx context.Context, part store.FeedPage) (err error) {
	s.beat = time.Now().Add(s.h.beat)
	_, _ = s.out.WriteString("retry: 1000\n") // its error is Flush's, as that of every write below
	for {
		s.events(part.Items)
		show(ctx, part.Items)
		if !time.Now().Before(s.beat) {
			s.heartbeat(part.ScannedTo)
		}
		if err := s.flush(); err != nil {
			return err
		}
		part.Items = nil // a stream that waits holds no events
		if !part.More {
			s.h.head.wait(ctx, part.ScannedTo, time.Until(earlier(s.beat, s.until)))
		}
		if s.h.head.over() || !time.Now().Before(s.until) {
			return nil
		}
		if part, err = s.h.reader.FeedPart(ctx, s.filter, part.ScannedTo); err != nil {
			return err
		}
	}
}

func (s *feedStream) events(items []event.Stored) {
	for i := range items {
		s.told = items[i].Position
		b := append(s.out.AvailableBuffer(), "id: "...)
		b = strconv.AppendInt(b, s.told, 10)
		b = append(b, "\ndata: "...)
		b = httpapi.AppendEvent(b, &items[i], s.fields) // without line breaks
		_, _ = s.out.Write(append(b, "\n\n"...))
	}
}

// heartbeat sends a comment. Where events were passed by since the last id it sends an id without data, which
// dispatches nothing and moves the caller's Last-Event-ID on.
func (s *feedStream) heartbeat(scannedTo int64) {
	_, _ = s.out.WriteString(":\n")
	if scannedTo > s.told {
		s.told = scannedTo
		_, _ = s.out.WriteString("id: " + strconv.FormatInt(scannedTo, 10) + "\n\n")
	}
	s.beat = time.Now().Add(s.h.beat)
}

func (s *feedStream) flush() error {
	if err := s.out.Flush(); err != nil {
		return err
	}
	return s.to.Flush()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
