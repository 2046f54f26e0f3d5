package cmd

import (
	"bufio"
	"fmt"
	"io"

	"audittrail/platform/console"

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
	return &tablePrinter{screen: screen, table: console.NewTable(screen, "POSITION", "TIMESTAMP", "EVENT TYPE", "AGGREGATE", "VERSION", "USER", "EVENT ID", "PAYLOAD")}
}

// ndjsonPrinter prints an event a line.
type ndjsonPrinter struct{ out *bufio.Writer }

func (p ndjsonPrinter) event(item jsontext.Value) error {
	if err := item.Compact(); err != nil {
		return fmt.Errorf("the API's answer holds no JSON: %w", err)
	}
	_, err := p.out.Write(append(console.AppendVisibleJSON(nil, item), '\n'))
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
	_, err := p.out.Write(console.AppendVisibleJSON([]byte(before), item))
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
	_, err = fmt.Fprintf(p.out, "%s  \"nextCursor\": %s\n}\n", text, console.AppendVisibleJSON(nil, b))
	return err
}

// tablePrinter prints a line an event.
type tablePrinter struct {
	screen io.Writer
	table  *console.Table
	count  int
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
	return p.table.Add(string(e.Position), e.Timestamp, e.EventType, e.AggregateType+" "+e.AggregateID,
		string(e.Version), e.Metadata.UserID, e.EventID, string(e.Payload))
}

func (p *tablePrinter) end(nextCursor string) error {
	if err := p.table.Flush(); err != nil || nextCursor == "" || !console.IsTerminal(p.screen) {
		return err
	}
	_, err := fmt.Fprintf(p.screen, "%d events; there are more: --limit 0 prints all\n", p.count)
	return err
}
