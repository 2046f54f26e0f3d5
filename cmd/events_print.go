package cmd

import (
	"bufio"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// eventPrinter prints events one after the other; end comes once, after the last.
type eventPrinter interface {
	event(item jsontext.Value) error
	end(nextCursor string) error
}

// newEventPrinter prints to out, a buffer before screen, which tells whether it is a terminal.
func newEventPrinter(format string, screen io.Writer, out *bufio.Writer) eventPrinter {
	switch format {
	case "json":
		return &jsonPrinter{out: out}
	case "ndjson":
		return ndjsonPrinter{out}
	}
	return &tablePrinter{table: newTable(screen, "POSITION", "TIMESTAMP", "EVENT TYPE", "AGGREGATE", "VERSION", "USER", "EVENT ID", "PAYLOAD")}
}

// ndjsonPrinter prints an event a line.
type ndjsonPrinter struct{ out *bufio.Writer }

func (p ndjsonPrinter) event(item jsontext.Value) error {
	if err := item.Compact(); err != nil {
		return fmt.Errorf("the API's answer holds no JSON: %w", err)
	}
	_, err := p.out.Write(append(visibleJSON(nil, item), '\n'))
	return err
}

func (ndjsonPrinter) end(string) error { return nil }

// jsonPrinter prints one document in the shape of the API's lists.
type jsonPrinter struct {
	out   *bufio.Writer
	begun bool
}

func (p *jsonPrinter) event(item jsontext.Value) error {
	if err := item.Indent(jsontext.WithIndentPrefix("    "), jsontext.WithIndent("  ")); err != nil {
		return fmt.Errorf("the API's answer holds no JSON: %w", err)
	}
	before := ",\n    "
	if !p.begun {
		p.begun, before = true, "{\n  \"items\": [\n    "
	}
	_, err := p.out.Write(visibleJSON([]byte(before), item))
	return err
}

func (p *jsonPrinter) end(nextCursor string) error {
	text := "\n  ],\n"
	if !p.begun {
		text = "{\n  \"items\": [],\n"
	}
	var cursor any
	if nextCursor != "" {
		cursor = nextCursor
	}
	b, err := json.Marshal(cursor)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.out, "%s  \"nextCursor\": %s\n}\n", text, visibleJSON(nil, b))
	return err
}

// tablePrinter prints a line an event.
type tablePrinter struct {
	table *table
	count int
}

func (p *tablePrinter) event(item jsontext.Value) error {
	var e struct {
		Position      jsontext.Value `json:"position"`
		EventID       string         `json:"eventId"`
		EventType     string         `json:"eventType"`
		AggregateID   string         `json:"aggregateId"`
		AggregateType string         `json:"aggregateType"`
		Timestamp     string         `json:"timestamp"`
		Version       jsontext.Value `json:"version"`
		Payload       jsontext.Value `json:"payload"`
		Metadata      struct {
			UserID string `json:"userId"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(item, &e); err != nil {
		return fmt.Errorf("the API's answer holds no event: %w", err)
	}
	if err := e.Payload.Compact(); err != nil {
		return fmt.Errorf("the API's answer holds no event: %w", err)
	}
	p.count++
	return p.table.add(string(e.Position), e.Timestamp, e.EventType, e.AggregateType+" "+e.AggregateID,
		string(e.Version), e.Metadata.UserID, e.EventID, p.payload(string(e.Payload)))
}

// payload is cut off a terminal, so that the other lines' columns are not set by one huge value.
func (p *tablePrinter) payload(text string) string {
	if p.table.width == 0 {
		return text
	}
	return clip(visible(text), p.table.width)
}

func (p *tablePrinter) end(nextCursor string) error {
	if err := p.table.flush(); err != nil {
		return err
	}
	if nextCursor == "" || p.table.width == 0 {
		return nil
	}
	_, err := fmt.Fprintf(p.table.out, "%d events; there are more: --limit 0 prints all\n", p.count)
	if err != nil {
		return err
	}
	return p.table.out.Flush()
}
