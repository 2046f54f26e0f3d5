// Package logging makes the program's logger: slog, as JSON or for people to read, with the ids of
// the request or batch that a line belongs to, and without secrets.
//
// Loggers are passed to constructors; there is no global one. Whoever handles an error logs it;
// whoever returns it doesn't. Nobody logs a value of a record.
package logging

import (
	"io"
	"log/slog"
	"strings"

	slogmulti "github.com/samber/slog-multi"

	"audittrail/platform/config"
)

// Options are the keys of the section log.
type Options struct {
	Level  string `key:"level" default:"info" help:"least level that is logged: debug, info, warn or error"`
	Format string `key:"format" default:"json" help:"json, or console for people to read"`
}

// Validate checks the options.
func (o Options) Validate() error {
	if _, ok := level(o.Level); !ok {
		return config.Invalid("level", "must be debug, info, warn or error")
	}
	if o.Format != formatJSON && o.Format != formatConsole {
		return config.Invalid("format", "must be json or console")
	}
	return nil
}

const (
	formatJSON    = "json"
	formatConsole = "console"
)

func level(name string) (slog.Level, bool) {
	switch name {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	}
	return 0, false
}

// New makes a logger that writes to w, a line at a time. The options have been validated; a level
// that is not known counts as info.
func New(w io.Writer, o Options) *slog.Logger {
	l := new(slog.LevelVar)
	o.SetLevel(l)
	return NewAt(w, o, l)
}

// NewAt makes a logger like New whose level is l's, which may change while it is used. What it writes to w goes to the
// others too, which may be nil: without secrets, and from the same level on.
func NewAt(w io.Writer, o Options, l *slog.LevelVar, others ...slog.Handler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: l, ReplaceAttr: forPrograms}
	sinks := []slog.Handler{slog.NewJSONHandler(w, opts)}
	if o.Format == formatConsole {
		opts.ReplaceAttr = forPeople
		sinks[0] = slog.NewTextHandler(w, opts)
	}
	for _, other := range others {
		if other != nil {
			sinks = append(sinks, redacting{other, l})
		}
	}
	return slog.New(slogmulti.Pipe(withIDs).Handler(slogmulti.Fanout(sinks...)))
}

// SetLevel gives l the options' level.
func (o Options) SetLevel(l *slog.LevelVar) {
	least, _ := level(o.Level)
	l.Set(least)
}

// Levels are the names of the levels.
func Levels() []string { return []string{"debug", "info", "warn", "error"} }

// LevelName is the name of a level that is one of Levels.
func LevelName(l slog.Level) string { return strings.ToLower(l.String()) }

// forPrograms has times in UTC, so that the lines of all machines sort together, and durations in seconds.
func forPrograms(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	case slog.KindDuration:
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return redact(groups, a)
}

// forPeople has times in UTC too, and leaves the date out of what scrolls by on a terminal.
func forPeople(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.String(slog.TimeKey, a.Value.Time().UTC().Format("15:04:05.000Z"))
	}
	return redact(groups, a)
}
