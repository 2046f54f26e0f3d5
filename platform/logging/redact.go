package logging

import (
	"context"
	"log/slog"
	"regexp"
	"strings"

	"audittrail/platform/config"
)

// Redaction is a second line of defence: no code passes a secret to a logger on purpose, but a
// library's error text may carry the URL that it failed to reach.

var (
	bearer = regexp.MustCompile(`(?i)\bbearer\s+\S+`)
	jwt    = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
)

// namesSecret reports whether an attribute's key says that its value is a secret.
func namesSecret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range [...]string{"passw", "secret", "token", "authorization", "credential", "cookie"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	for before, rest, found := strings.Cut(key, "key"); found; before, rest, found = strings.Cut(rest, "key") {
		before = strings.TrimRight(before, "_-")
		if strings.HasSuffix(before, "api") || strings.HasSuffix(before, "signing") || strings.HasSuffix(before, "private") {
			return true
		}
	}
	return false
}

// redact hides the values of attributes that are named like secrets, and passwords and tokens inside
// texts and errors. It does not look into structs: nobody should log one.
func redact(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindGroup && namesSecret(a.Key) {
		return slog.String(a.Key, config.Masked)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, clean(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok && err != nil {
			return slog.String(a.Key, clean(err.Error()))
		}
	}
	return a
}

// clean runs on every text of every line, most of which hold nothing that the expressions begin to look for.
func clean(s string) string {
	s = config.MaskPasswords(s)
	if strings.ContainsAny(s, " \t\n\f\r") {
		s = bearer.ReplaceAllString(s, "Bearer "+config.Masked)
	}
	if strings.Contains(s, "eyJ") {
		s = jwt.ReplaceAllString(s, config.Masked)
	}
	return s
}

// redacting is a handler beside the one that writes lines: for one that takes no function to redact by.
type redacting struct {
	slog.Handler
	level slog.Leveler
}

func (h redacting) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h redacting) Handle(ctx context.Context, r slog.Record) error {
	safe := slog.NewRecord(r.Time, r.Level, clean(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		safe.AddAttrs(redactDeep(a))
		return true
	})
	return h.Handler.Handle(ctx, safe)
}

func (h redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return redacting{h.Handler.WithAttrs(redactAll(attrs)), h.level}
}

func (h redacting) WithGroup(name string) slog.Handler {
	return redacting{h.Handler.WithGroup(name), h.level}
}

func redactAll(attrs []slog.Attr) []slog.Attr {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = redactDeep(a)
	}
	return safe
}

// redactDeep redacts an attribute, or those of a group. Durations are in seconds, as in lines for programs.
func redactDeep(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(redactAll(a.Value.Group())...)}
	}
	return forPrograms(nil, a)
}
