package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/protect"
)

// way is a way in which an event may fit: with values open, or sealed.
type way struct {
	token   string // condition on sealed_tokens by which its events are found; "" where the term finds them
	term    string // condition on events
	tokens  []protect.TokenValue
	indexed bool // something else than the token has an index too
}

// The columns in which sealed values are looked for.
const (
	columnPayload  = "payload"
	columnMetadata = "metadata"
)

// sought is the part of a filter whose values may be sealed.
type sought struct {
	patterns []soughtPattern
	scope    Scope // of which events sealed values may be found
}

type soughtPattern struct {
	protect.Pattern
	column string
}

// has reports whether a column's values are looked for.
func (s *sought) has(column string) bool {
	return s != nil && slices.ContainsFunc(s.patterns, func(p soughtPattern) bool { return p.column == column })
}

// searching completes a filter for a reader who may open sealed values: that reader finds them as if they were open.
// For everybody else it changes nothing, so that they learn nothing by searching. Every read that takes a filter of a
// caller MUST call it before it takes a connection.
func (r *Reader) searching(ctx context.Context, f Filter) (Filter, error) {
	opening := formOf(ctx)
	if r.searcher == nil || !opening.opens {
		return f, nil
	}
	bounded, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	var patterns []soughtPattern
	add := func(column string, p protect.Pattern, ok bool, err error) error {
		if ok {
			patterns = append(patterns, soughtPattern{p, column})
		}
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if f.Payload != nil {
		p, ok, err := r.searcher.Payload(bounded, f.Payload)
		if err := add(columnPayload, p, ok, err); err != nil {
			return f, err
		}
	}
	if f.UserID != "" {
		p, ok, err := r.searcher.UserID(bounded, f.UserID)
		if err := add(columnMetadata, p, ok, err); err != nil {
			return f, err
		}
	}
	if len(patterns) > 0 {
		f.sought = &sought{patterns, opening.scope}
	}
	return f, nil
}

// ways returns the ways in which an event may fit. In the first one all values are open. In way i, value i-1 is the
// first one that is sealed, those behind it may be either. A value of one place in the documents is sealed in all
// elements of an array, or in none, so no event fits two ways.
func (s *sought) ways(c *conditions, f Filter) []way {
	open := &conditions{args: c.args}
	for _, p := range s.patterns {
		s.open(open, p.column, f)
	}
	c.args = open.args
	all := []way{{term: open.sql()}}
	for i, p := range s.patterns {
		for j := range p.Values {
			all = append(all, s.sealedFrom(c, f, i, j))
		}
	}
	return all
}

// open adds that all values of a column's pattern are open.
func (s *sought) open(c *conditions, column string, f Filter) {
	if column == columnPayload {
		c.add("payload @> %s::jsonb", string(f.Payload))
		return
	}
	c.add(userIs, f.UserID)
}

// sealedFrom is the way in which value j of pattern i is the first one that is sealed. The documents must contain the
// pattern with the very placeholders that stand for these values in the row, so that two conditions on one element of
// an array are not fulfilled by two elements.
func (s *sought) sealedFrom(c *conditions, f Filter, i, j int) way {
	all := &conditions{args: c.args}
	var (
		w     = way{indexed: s.indexedBeside(f)}
		from  []string // the values that are sealed, or may be
		wants []string
	)
	for n, p := range s.patterns {
		if n < i {
			s.open(all, p.column, f)
			continue
		}
		if p.Rest != nil {
			all.add(p.column+" @> %s::jsonb", string(p.Rest))
			w.indexed = w.indexed || p.column == columnPayload
		}
		part := p.Parts[0]
		var text []string
		for m, v := range p.Values {
			if n == i && m < j {
				part = append(append(bytes.Clone(part), v.Open...), p.Parts[m+1]...)
				continue
			}
			is := all.tokenIs(v.Tokens)
			// It uses the primary key of sealed_tokens. Rows from before there were places have none.
			source := `SELECT CASE WHEN place < 0 THEN '{}' ELSE '{"$sealed":' || place || '}' END FROM sealed_tokens AS t
				WHERE ` + is + ` AND t.timestamp = events.timestamp AND t.id = events.id`
			if n == i && m == j {
				w.token, w.tokens = is, v.Tokens
			} else {
				source += " UNION ALL SELECT " + all.bind(string(v.Open)) + "::text"
			}
			name := fmt.Sprintf("v%d", len(from))
			from = append(from, "("+source+") AS "+name+" (value)")
			text = append(text, all.bind(string(part))+"::text", name+".value")
			part = p.Parts[m+1]
		}
		text = append(text, all.bind(string(part))+"::text")
		wants = append(wants, p.column+" @> ("+strings.Join(text, " || ")+")::jsonb")
	}
	scopes{s.scope}.limit(all)
	// IS TRUE keeps the planner from making a join of it: it is a look-up for each event that fits otherwise.
	all.terms = append(all.terms, "(EXISTS (SELECT FROM "+strings.Join(from, ", ")+" WHERE "+strings.Join(wants, " AND ")+")) IS TRUE")
	c.args = all.args
	w.term = all.sql()
	return w
}

// indexedBeside reports whether an open part of the filter has an index that finds few events.
func (s *sought) indexedBeside(f Filter) bool {
	return f.AggregateID != "" || f.CorrelationID != "" || f.CausationID != "" ||
		f.UserID != "" && !s.has(columnMetadata) || f.Payload != nil && !s.has(columnPayload)
}

// tokenIs returns the condition that a row of sealed_tokens has one of the tokens.
func (c *conditions) tokenIs(tokens []protect.TokenValue) string {
	if len(tokens) == 1 { // equality keeps the index's order by time, which = ANY does not
		return "token = " + c.bind(tokens[0][:]) + "::bytea"
	}
	list := make([][]byte, len(tokens))
	for i := range tokens {
		list[i] = tokens[i][:]
	}
	return "token = ANY (" + c.bind(list) + "::bytea[])"
}

// by returns an order of events, as the way finds them.
func (w way) by(order string) string {
	if w.token == "" {
		return order
	}
	return strings.NewReplacer("timestamp", "found_timestamp", "id", "found_id").Replace(order)
}

// commonToken is how many events a token may find where something else could find fewer.
const commonToken = 1000

// chooseIndexes has ways whose tokens find many events use the index on the open part of the payload, if there is one.
func (c *conditions) chooseIndexes(ctx context.Context, conn *pgx.Conn) error {
	for i := range c.ways {
		w := &c.ways[i]
		if w.token == "" || !w.indexed {
			continue
		}
		// It uses the primary key of sealed_tokens.
		probe := &conditions{}
		sql := "SELECT count(*) FROM (SELECT FROM sealed_tokens WHERE " + probe.tokenIs(w.tokens) + " LIMIT " + strconv.Itoa(commonToken+1) + ") AS t"
		var n int
		if err := conn.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, probe.args...)...).Scan(&n); err != nil {
			return err
		}
		if n > commonToken {
			w.token = ""
		}
	}
	return nil
}
