package console

import (
	"bufio"
	"io"
	"strings"
)

// Table prints rows in aligned columns, some rows at a time, so that a long answer needs no memory.
// On a terminal lines are cut at its width.
type Table struct {
	out    *bufio.Writer
	width  int // of the terminal, 0 for none
	header []string
	widths []int
	rows   [][]string
	begun  bool
}

// tableRows is after how many rows the columns' widths are settled and the rows printed.
const tableRows = 500

// NewTable begins a table on w. Flush MUST be called at its end.
func NewTable(w io.Writer, header ...string) *Table {
	return &Table{out: bufio.NewWriter(w), width: terminalWidth(w), header: header, widths: make([]int, len(header))}
}

// Add takes one cell for each column of the header. Cells may hold anything. One that is wider than the
// terminal is cut at once, since rows are kept until they are printed.
func (t *Table) Add(cells ...string) error {
	for i := range cells {
		cells[i] = Visible(cells[i])
		if t.width > 0 {
			cells[i] = clip(cells[i], t.width)
		}
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) < tableRows {
		return nil
	}
	return t.Flush()
}

// Flush prints what is gathered; the header comes first, also when there are no rows.
func (t *Table) Flush() error {
	if !t.begun {
		t.begun = true
		t.rows = append([][]string{t.header}, t.rows...)
	}
	for _, row := range t.rows {
		for i, cell := range row {
			t.widths[i] = max(t.widths[i], columns(cell))
		}
	}
	for _, row := range t.rows {
		t.line(row)
	}
	t.rows = t.rows[:0]
	return t.out.Flush() // tells of all that went wrong in writing
}

func (t *Table) line(row []string) {
	var b strings.Builder
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", t.widths[i]-columns(cell)+2))
		}
	}
	text := strings.TrimRight(b.String(), " ")
	if t.width > 0 {
		text = clip(text, t.width)
	}
	_, _ = t.out.WriteString(text + "\n")
}
