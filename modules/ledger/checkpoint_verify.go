package ledger

import (
	"bufio"
	"bytes"
	"io"
)

// isCheckpoint reports whether a file is a signed checkpoint by its looks: its first line is a log's name, and
// the second begins with a digit. No other evidence, and no JSON, begins so.
func isCheckpoint(b *bufio.Reader) bool {
	start, _ := b.Peek(b.Size())
	origin, rest, _ := bytes.Cut(start, []byte{'\n'})
	_, ok := LogOf(string(origin))
	return ok && len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9'
}

// verifyCheckpoint verifies a signed checkpoint that stands alone. It has no entries.
func verifyCheckpoint(b *bufio.Reader, keys Keys) (Report, error) {
	report := Report{Form: FormCheckpoint, Distinct: true}
	signed, err := io.ReadAll(io.LimitReader(b, MaxCheckpoint+1))
	if err != nil {
		return report, &UnreadableError{Detail: "the file can't be read", Cause: err}
	}
	origin, _, _ := bytes.Cut(signed, []byte{'\n'})
	report.Log, _ = LogOf(string(origin))
	opened, fault := openFor(report.Log, signed, keys)
	if fault != nil {
		return report, notProven(fault)
	}
	report.Checkpoint = opened
	return report, nil
}
