package ledger

import (
	"bufio"
	"bytes"
	"io"
)

// isCheckpoint reports whether a file is a signed checkpoint by its looks: it begins with a log's name and a
// number on a line each, or has a note's signatures behind an empty line. Either will do, so that a
// checkpoint that was changed in one place is still told from what is no evidence at all.
func isCheckpoint(b *bufio.Reader) bool {
	start, _ := b.Peek(b.Size())
	if bytes.HasPrefix(bytes.TrimLeft(start, " \t\r\n"), []byte{'{'}) {
		return false
	}
	origin, rest, _ := bytes.Cut(start, []byte{'\n'})
	_, named := LogOf(string(origin))
	return named && len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' || bytes.Contains(start, []byte("\n\n\u2014 "))
}

// verifyCheckpoint verifies a signed checkpoint that stands alone. It has no entries.
func verifyCheckpoint(b *bufio.Reader, keys Keys) (Report, error) {
	report := Report{Form: FormCheckpoint, Distinct: true}
	signed, err := io.ReadAll(io.LimitReader(b, MaxCheckpoint+1))
	if err != nil {
		return report, &UnreadableError{Detail: "the file can't be read", Cause: err}
	}
	origin, _, _ := bytes.Cut(signed, []byte{'\n'})
	log, ok := LogOf(string(origin))
	if !ok {
		return report, notProven(&Fault{Kind: WrongLog, Index: -1, Detail: "the checkpoint is of " + printable(string(origin)) + ", which is no log of events or of accesses"})
	}
	report.Log = log
	opened, fault := openFor(log, signed, keys)
	if fault != nil {
		return report, notProven(fault)
	}
	report.Checkpoint = opened
	return report, nil
}
