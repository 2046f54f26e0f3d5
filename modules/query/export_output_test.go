package query

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"audittrail/modules/httpapi"
)

// fakeStream takes bytes until it fails.
type fakeStream struct {
	bytes.Buffer
	fails   error
	flushed int // bytes that had come when it was flushed last
}

func (s *fakeStream) Write(p []byte) (int, error) {
	if s.fails != nil {
		return 0, s.fails
	}
	return s.Buffer.Write(p)
}

func (s *fakeStream) Flush() error {
	s.flushed = s.Len()
	return s.fails
}

func TestExportOutput(t *testing.T) {
	t.Parallel()
	for _, compress := range []bool{false, true} {
		stream, started := &fakeStream{}, 0
		out := newExportOutput(&lateStream{start: func() (httpapi.ExportStream, error) { started++; return stream, nil }}, compress)
		read := func() string {
			if !compress {
				return stream.String()
			}
			zip, err := gzip.NewReader(bytes.NewReader(stream.Bytes()))
			require.NoError(t, err)
			text, err := io.ReadAll(zip)
			if stream.flushed > 0 { // it is not at its end yet
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
			return string(text)
		}
		_, err := io.WriteString(out, "one\n")
		require.NoError(t, err)
		require.Zero(t, started, "nothing has left")
		require.NoError(t, out.send())
		require.Equal(t, "one\n", read(), "what was sent can be read")
		require.Equal(t, stream.Len(), stream.flushed)
		_, err = io.WriteString(out, "two\n")
		require.NoError(t, err)
		require.NoError(t, out.end())
		stream.flushed = 0
		require.Equal(t, "one\ntwo\n", read())
		require.Equal(t, 1, started)

		// A reader that is too slow is told as such.
		stream.fails = errors.New("too slow")
		out = newExportOutput(&lateStream{start: func() (httpapi.ExportStream, error) { return stream, nil }}, compress)
		_, _ = io.WriteString(out, "one\n")
		require.ErrorIs(t, out.send(), stream.fails)
		require.ErrorIs(t, out.end(), stream.fails)
	}
}

func TestTakesGzip(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"gzip": true, "GZIP": true, "br, gzip;q=0.5": true, " gzip ; q=1": true, "gzip;q=0": false, "gzip;q=x": false, "": false, "*": false,
		"identity": false, "br": false, "x-gzip": false,
	} {
		require.Equal(t, want, takesGzip(&http.Request{Header: http.Header{"Accept-Encoding": {header}}}), header)
	}
	require.False(t, takesGzip(nil))
	require.True(t, takesGzip(&http.Request{Header: http.Header{"Accept-Encoding": {"br", "gzip"}}}))
}
