package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// statement is one that the API sends, with its values as text.
type statement struct {
	sql      string
	values   []value
	prepared bool // the API sends its text once for many
}

type value struct {
	text     string
	isNumber bool
}

// recorder is a tracer that keeps the statements which an API sends.
type recorder struct {
	mu         sync.Mutex
	statements []statement
	failed     error
}

// TraceQueryStart fulfils pgx.QueryTracer.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := statement{sql: data.SQL, prepared: true}
	for _, arg := range data.Args {
		if _, isMode := arg.(pgx.QueryExecMode); isMode { // the reader has no other than that for unprepared statements
			s.prepared = false
			continue
		}
		v, err := valueOf(arg)
		if err != nil {
			r.failed = fmt.Errorf("%w in %s", err, data.SQL)
		}
		s.values = append(s.values, v)
	}
	r.statements = append(r.statements, s)
	return ctx
}

// TraceQueryEnd fulfils pgx.QueryTracer.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take answers the statements since the last call.
func (r *recorder) take() ([]statement, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.statements
	r.statements = nil
	return taken, r.failed
}

var placeholder = regexp.MustCompile(`\$[0-9]+`)

// with puts something in the place of the statement's placeholders, by their indexes from 0.
func (s statement) with(replacement func(i int) string) (string, error) {
	var err error
	return placeholder.ReplaceAllStringFunc(s.sql, func(name string) string {
		n, _ := strconv.Atoi(name[1:]) // digits
		if n < 1 || n > len(s.values) {
			err = fmt.Errorf("%s has no value in %s", name, s.sql)
			return name
		}
		return replacement(n - 1)
	}), err
}

// literals is the statement with its values in place. PostgreSQL plans it no differently: the reader's statements are
// planned for their values.
func (s statement) literals() (string, error) {
	return s.with(func(i int) string {
		if v := s.values[i]; !v.isNumber {
			return "'" + strings.ReplaceAll(v.text, "'", "''") + "'"
		}
		return s.values[i].text
	})
}

func valueOf(arg any) (value, error) {
	switch v := arg.(type) {
	case int, int32, int64:
		return value{fmt.Sprint(v), true}, nil
	case string:
		return value{text: v}, nil
	case time.Time:
		return value{text: v.UTC().Format(time.RFC3339Nano)}, nil
	case [16]byte:
		return value{text: hex.EncodeToString(v[:])}, nil
	case []byte:
		return value{text: `\x` + hex.EncodeToString(v)}, nil
	case []string:
		quoted := make([]string, len(v))
		for i, text := range v {
			quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
		return value{text: "{" + strings.Join(quoted, ",") + "}"}, nil
	case []uint32, []int64:
		return value{text: "{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]") + "}"}, nil
	default:
		return value{}, fmt.Errorf("a value of type %T", arg)
	}
}
