package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// csvTrailerPrefix is what the trailer's row begins with. The row is one cell in quotes, which doubles those of
// the trailer's JSON.
const csvTrailerPrefix = `"# {""complete"":`

// DefaultColumns returns the columns of a CSV export where none are chosen: all members of an event but the
// salt, which is of no use without a proof.
func DefaultColumns() []string {
	return slices.DeleteFunc(event.StoredMembers(), func(name string) bool { return name == "salt" })
}

// NewCSVWriter begins an export as CSV (RFC 4180): a row for each event, whose cells are the columns, and the
// trailer. A column is the path of a member with dots between its names, such as payload.total; what is not there,
// or null, is an empty cell. header says whether a row with the columns' names comes first. signed is as in
// [NewExportWriter].
func NewCSVWriter(w io.Writer, signed string, columns []string, header bool) (*ExportWriter, error) {
	rows, err := newCSVRows(columns)
	if err != nil {
		return nil, err
	}
	x := newExportWriter(w, signed, rows.append, Trailer.AppendCSV)
	if header {
		x.space = appendHeader(x.space, columns)
		x.sum.Write(x.space) // a hash never fails
		err = x.flush()
	}
	return x, err
}

// csvRows writes events as rows of cells.
type csvRows struct {
	columns [][][]byte // of each the names of its path, as canonical JSON spells their insides
	members []byte     // of the event that is written next
}

func newCSVRows(columns []string) (*csvRows, error) {
	rows := &csvRows{}
	for _, column := range columns {
		var path [][]byte
		for name := range strings.SplitSeq(column, ".") {
			quoted, err := jsontext.AppendQuote(nil, name)
			if err != nil {
				return nil, fmt.Errorf("column %q: %w", column, err)
			}
			if quoted, err = event.Canonicalize(nil, quoted); err != nil {
				return nil, fmt.Errorf("column %q: %w", column, err)
			}
			path = append(path, quoted[1:len(quoted)-1])
		}
		rows.columns = append(rows.columns, path)
	}
	return rows, nil
}

func appendHeader(dst []byte, columns []string) []byte {
	for i, column := range columns {
		dst = appendText(appendComma(dst, i), []byte(column))
	}
	return append(dst, '\r', '\n')
}

// append appends an event's row.
func (r *csvRows) append(dst []byte, s *event.Stored) []byte {
	r.members = s.AppendJSON(r.members[:0])
	start := len(dst)
	for i, path := range r.columns {
		dst = appendCell(appendComma(dst, i), lookUp(r.members, path))
	}
	if len(dst) == start { // an empty line would be no row
		dst = append(dst, '"', '"')
	}
	return append(dst, '\r', '\n')
}

// lookUp finds the value that a path leads to through objects; nil where it leads to none.
func lookUp(value []byte, path [][]byte) []byte {
	for _, wanted := range path {
		if value == nil || value[0] != '{' {
			return nil
		}
		object := value
		value = nil
		for name, member := range event.Members(object) {
			if bytes.Equal(name, wanted) {
				value = member
				break
			}
		}
	}
	return value
}

func appendComma(dst []byte, column int) []byte {
	if column > 0 {
		return append(dst, ',')
	}
	return dst
}

// appendCell appends a JSON value: a text as itself, an object or a list as JSON, and null as nothing.
func appendCell(dst, value []byte) []byte {
	switch {
	case value == nil, string(value) == "null":
		return dst
	case value[0] == '"':
		text, _ := jsontext.AppendUnquote(nil, value) // it is canonical
		return appendText(dst, text)
	case value[0] == '{', value[0] == '[':
		return appendQuoted(dst, "", value)
	default:
		return append(dst, value...)
	}
}

// appendText appends a text so that spreadsheets don't take it for a formula, and readers not for the trailer.
func appendText(dst, text []byte) []byte {
	const formula = "=+-@\t\r"
	isFormula := len(text) > 0 && strings.IndexByte(formula, text[0]) >= 0
	if isFormula || bytes.HasPrefix(text, []byte(`# {"complete":`)) {
		return appendQuoted(dst, "'", text)
	}
	return appendQuoted(dst, "", text)
}

// appendQuoted appends a cell, in quotes where it needs some. Line ends in it stay as they are, which
// encoding/csv would change.
func appendQuoted(dst []byte, before string, cell []byte) []byte {
	if !bytes.ContainsAny(cell, "\",\r\n") {
		return append(append(dst, before...), cell...)
	}
	dst = append(append(dst, '"'), before...)
	for _, c := range cell {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// AppendCSV appends the trailer's row: one cell in quotes, which begins with "# ".
func (t Trailer) AppendCSV(dst []byte) ([]byte, error) {
	line, err := t.Append(nil)
	if err != nil {
		return nil, err
	}
	dst = append(dst, `"# `...)
	dst = append(dst, bytes.ReplaceAll(bytes.TrimSuffix(line, []byte("\n")), []byte(`"`), []byte(`""`))...)
	return append(dst, "\"\r\n"...), nil
}

// ParseCSVTrailer reads the row that AppendCSV writes, as ParseTrailer does.
func ParseCSVTrailer(row []byte) (Trailer, error) {
	cell, begins := bytes.CutPrefix(row, []byte(`"# `))
	cell, ends := bytes.CutSuffix(cell, []byte("\"\r\n"))
	if !begins || !ends {
		return Trailer{}, errTrailer
	}
	t, err := ParseTrailer(append(bytes.ReplaceAll(cell, []byte(`""`), []byte(`"`)), '\n'))
	if errors.Is(err, errTrailerNoJSON) { // which is asked of NDJSON's lines alone
		return Trailer{}, errTrailer
	}
	if again, _ := t.AppendCSV(nil); err != nil || !bytes.Equal(again, row) {
		return Trailer{}, errTrailer
	}
	return t, nil
}
