package logging

import (
	"log/slog"
	"regexp"

	"audittrail/platform/config"
)

// Redaction is a second line of defence: no code passes a secret to a logger on purpose, but a
// library's error text may carry the URL that it failed to reach.

var (
	secretKey = regexp.MustCompile(`(?i)passw|secret|token|authorization|api[_-]?key|(signing|private)[_-]?key|credential|cookie`)
	bearer    = regexp.MustCompile(`(?i)\bbearer\s+\S+`)
	jwt       = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
)

// redact hides the values of attributes that are named like secrets, and passwords and tokens inside
// texts and errors. It does not look into structs: nobody should log one.
func redact(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindGroup && secretKey.MatchString(a.Key) {
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

func clean(s string) string {
	s = config.MaskPasswords(s)
	s = bearer.ReplaceAllString(s, "Bearer "+config.Masked)
	return jwt.ReplaceAllString(s, config.Masked)
}
