package cmd

import (
	"bufio"
	"io"
	"strings"
)

// table prints rows in aligned columns, some rows at a time, so that a long answer needs no memory.
// On a terminal lines are cut at its width.
type table struct {
	out    *bufio.Writer
	width  int // of the terminal, 0 for none
	header []string
	widths []int
	rows   [][]string
	begun  bool
}

// tableRows is after how many rows the columns' widths are settled and the rows printed.
const tableRows = 500

func newTable(w io.Writer, header ...string) *table {
	return &table{out: bufio.NewWriter(w), width: terminalWidth(w), header: header, widths: make([]int, len(header))}
}

// add takes one cell for each column of the header. Cells may hold anything.
func (t *table) add(cells ...string) error {
	for i := range cells {
		cells[i] = visible(cells[i])
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) < tableRows {
		return nil
	}
	return t.flush()
}

// flush prints what is gathered; the header comes first, also when there are no rows.
func (t *table) flush() error {
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

func (t *table) line(row []string) {
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
