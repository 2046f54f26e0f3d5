package ledger

import (
	"errors"
	"io"
)

// MeteredReader reads no more than [MaxEntry] bytes between two calls of Next, for readers of evidence that
// is not verified: whoever sends it can't fill their memory with one value either.
type MeteredReader struct{ meter }

// NewMeteredReader reads r from where it stands.
func NewMeteredReader(r io.Reader) *MeteredReader {
	return &MeteredReader{meter{r: r, most: MaxEntry, left: MaxEntry}}
}

// Next says that what was read so far is dealt with.
func (m *MeteredReader) Next() { m.next() }

// TooLarge tells the error of a MeteredReader that was to read more at once than there may be.
func TooLarge(err error) bool { return errors.Is(err, errMeter) }
