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

// recorder is a tracer that keeps the statements which an API sends, as scripts have them.
type recorder struct {
	mu         sync.Mutex
	statements []string
	failed     error
}

// TraceQueryStart fulfils pgx.QueryTracer.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	sql, err := withValues(data.SQL, data.Args)
	if err != nil {
		r.failed = fmt.Errorf("%w in %s", err, data.SQL)
	}
	r.statements = append(r.statements, sql)
	return ctx
}

// TraceQueryEnd fulfils pgx.QueryTracer.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take answers the statements since the last call.
func (r *recorder) take() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.statements
	r.statements = nil
	return taken, r.failed
}

var placeholder = regexp.MustCompile(`\$[0-9]+`)

// withValues puts a statement's values in the place of its placeholders. PostgreSQL plans it no differently: the
// reader's statements are planned for their values.
func withValues(sql string, args []any) (string, error) {
	var literals []string
	for _, arg := range args {
		if _, isMode := arg.(pgx.QueryExecMode); isMode {
			continue
		}
		text, err := literal(arg)
		if err != nil {
			return "", err
		}
		literals = append(literals, text)
	}
	var err error
	return placeholder.ReplaceAllStringFunc(sql, func(name string) string {
		n, _ := strconv.Atoi(name[1:]) // digits
		if n < 1 || n > len(literals) {
			err = fmt.Errorf("%s has no value", name)
			return name
		}
		return literals[n-1]
	}), err
}

func literal(value any) (string, error) {
	switch v := value.(type) {
	case int, int32, int64:
		return fmt.Sprint(v), nil
	case string:
		return quote(v), nil
	case time.Time:
		return quote(v.UTC().Format(time.RFC3339Nano)), nil
	case [16]byte:
		return quote(hex.EncodeToString(v[:])), nil
	case []byte:
		return quote(`\x` + hex.EncodeToString(v)), nil
	case []string:
		quoted := make([]string, len(v))
		for i, text := range v {
			quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
		return quote("{" + strings.Join(quoted, ",") + "}"), nil
	case []uint32:
		return quote("{" + strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]") + "}"), nil
	default:
		return "", fmt.Errorf("a value of type %T", value)
	}
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
