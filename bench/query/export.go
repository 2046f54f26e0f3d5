package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchapi"
	"audittrail/modules/event"
)

// exported is what one round of exporting gave, both sides on the same events.
type exported struct {
	Export float64 `json:"exportEventsPerSecond"`
	Copy   float64 `json:"copyEventsPerSecond"`
	Peak   float64 `json:"peakMiB"` // of the API
}

// export exports the newest so many events of the store, as NDJSON and by COPY.
func export(ctx context.Context, s *benchapi.Store, api *benchapi.Process, token string, events int64) (exported, error) {
	from, to := s.Window(events)
	values := url.Values{"format": {"ndjson"}, "from": {event.FormatTime(from)}, "to": {event.FormatTime(to)}}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", api.Addr)
	if err != nil {
		return exported{}, err
	}
	defer conn.Close()
	api.ResetPeak()
	begun := time.Now()
	if _, err := fmt.Fprintf(conn, "GET /v1/events/export?%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", values.Encode(), api.Addr, token); err != nil {
		return exported{}, err
	}
	bytes, err := benchapi.Answer(bufio.NewReaderSize(conn, 64<<10))
	if err != nil {
		return exported{}, fmt.Errorf("export: %w", err)
	}
	if bytes < 100*events {
		return exported{}, fmt.Errorf("the export of %d events has %d bytes", events, bytes)
	}
	e := exported{Export: float64(events) / time.Since(begun).Seconds(), Peak: api.Peak()}
	db, err := pgx.Connect(ctx, s.URL)
	if err != nil {
		return exported{}, err
	}
	defer db.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	begun = time.Now()
	tag, err := db.PgConn().CopyTo(ctx, io.Discard, fmt.Sprintf(
		"COPY (SELECT row_to_json(e) FROM events AS e WHERE timestamp >= '%s' AND timestamp < '%s') TO STDOUT", event.FormatTime(from), event.FormatTime(to)))
	if err != nil {
		return exported{}, fmt.Errorf("copy: %w", err)
	}
	if tag.RowsAffected() != events {
		return exported{}, fmt.Errorf("COPY has %d of %d events", tag.RowsAffected(), events)
	}
	e.Copy = float64(events) / time.Since(begun).Seconds()
	return e, nil
}
