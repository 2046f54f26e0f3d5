package evidence

import (
	"errors"
	"io"
)

var errMeter = errors.New("more bytes than are allowed at once")

// meter reads no more than most bytes between two calls of next, so that no value of evidence can fill
// the memory.
type meter struct {
	r          io.Reader
	most, left int64
}

// next says that what was read so far is dealt with.
func (m *meter) next() { m.left = m.most }

func (m *meter) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errMeter
	}
	if int64(len(b)) > m.left {
		b = b[:m.left]
	}
	n, err := m.r.Read(b)
	m.left -= int64(n)
	return n, err
}
