// Package console is what commands share in talking to a person: text that is safe on a terminal, tables,
// progress, colours, JSON, and the files and standard input that they read.
//
// It knows nothing of what the texts mean, and never ends the process.
package console

import (
	"io"
	"os"

	"golang.org/x/term"
)

// IsTerminal reports whether w is a screen, and not a file or a pipe.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth is how many columns the screen has, 0 where w is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// The colours that text is painted with.
const (
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Cyan   = "36"
)

// Paint colours a text where w is a terminal.
func Paint(w io.Writer, colour, text string) string {
	if !IsTerminal(w) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
