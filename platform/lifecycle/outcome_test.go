package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/lifecycle"
)

// The log has a line for each change of the outcome, and none for what goes on.
func TestOutcome(t *testing.T) {
	starting, away, full := errors.New("starting"), errors.New("away"), errors.New("full")
	for name, c := range map[string]struct {
		rounds []error
		lines  []string
	}{
		"well from the start":     {[]error{nil, nil}, nil},
		"failing, and well again": {[]error{away, away, nil, nil}, []string{"failed", "works"}},
		"failing in two ways":     {[]error{nil, away, full}, []string{"failed", "failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := lifecycle.NewOutcome(slog.New(slog.NewTextHandler(&log, nil)), starting, "failed", "works")
			require.ErrorIs(t, o.Health(), starting)
			for _, err := range c.rounds {
				o.Note(t.Context(), err)
				require.Equal(t, err, o.Health())
			}
			stopped, cancel := context.WithCancel(t.Context())
			cancel()
			o.Note(stopped, errors.New("stopping"))
			require.Equal(t, c.rounds[len(c.rounds)-1], o.Health())
			var lines []string
			for line := range strings.Lines(log.String()) {
				_, rest, _ := strings.Cut(line, "msg=")
				lines = append(lines, strings.Fields(rest)[0])
			}
			require.Equal(t, c.lines, lines)
		})
	}
}
