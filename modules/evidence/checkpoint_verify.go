package evidence

import (
	"bufio"
	"io"
	"slices"
	"strings"

	"audittrail/modules/ledger"
)

// isCheckpoint reports whether a file is, or was, a signed checkpoint by its looks, whole or cut, and whatever its
// lines end in: a log's name with a line below that begins with a digit, or, if it is no object that begins there,
// with nothing; any name with a size and a root below it; or the first empty line with a signature below. No JSON
// looks so.
func isCheckpoint(b *bufio.Reader) bool {
	start, _ := b.Peek(b.Size())
	lines := strings.Split(strings.ReplaceAll(string(start), "\r\n", "\n"), "\n")
	lines = append(lines, "", "") // of one that is cut
	origin, size, root := lines[0], lines[1], lines[2]
	if _, ok := ledger.LogOf(origin); ok {
		object := strings.HasPrefix(strings.TrimLeft(origin, " \t\r"), "{")
		if size != "" && isDigit(rune(size[0])) || !object && strings.Join(lines[1:], "") == "" {
			return true
		}
	}
	if _, err := ledger.ParseHash(root); err == nil && size != "" && strings.TrimFunc(size, isDigit) == "" {
		return true
	}
	empty := slices.Index(lines, "")
	return empty > 0 && strings.HasPrefix(lines[empty+1], "\u2014 ")
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// verifyCheckpoint verifies a signed checkpoint that stands alone. It has no entries.
func verifyCheckpoint(b *bufio.Reader, keys ledger.Keys) (Report, error) {
	report := Report{Form: FormCheckpoint, Distinct: true}
	signed, err := io.ReadAll(io.LimitReader(b, ledger.MaxCheckpoint+1))
	if err != nil {
		return report, &UnreadableError{Detail: "the file can't be read", Cause: err}
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	report.Log, _ = ledger.LogOf(strings.TrimSuffix(origin, "\r"))
	opened, fault := openFor(report.Log, signed, keys)
	if fault != nil {
		return report, notProven(fault)
	}
	report.Checkpoint = opened
	return report, nil
}
