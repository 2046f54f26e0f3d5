package query

import (
	"bufio"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"audittrail/modules/httpapi"
)

// exportBuffer is how many bytes leave at once.
const exportBuffer = 64 << 10

// exportOutput gathers what an export writes, and compresses it where the caller takes that. What counts as taken
// by a slow reader are the bytes that leave.
type exportOutput struct {
	*bufio.Writer // of what is not compressed yet
	zip           *gzip.Writer
	zipped        *bufio.Writer // of what is; nil as zip is, where nothing is compressed
	stream        *lateStream
}

func newExportOutput(stream *lateStream, compress bool) *exportOutput {
	if !compress {
		return &exportOutput{Writer: bufio.NewWriterSize(stream, exportBuffer), stream: stream}
	}
	zipped := bufio.NewWriterSize(stream, exportBuffer)
	zip, _ := gzip.NewWriterLevel(zipped, gzip.BestSpeed) // fails for unknown levels alone
	return &exportOutput{Writer: bufio.NewWriterSize(zip, exportBuffer), zip: zip, zipped: zipped, stream: stream}
}

// send makes what was written leave now: who waits for the rest sees how far it has come.
func (o *exportOutput) send() error {
	if err := o.Flush(); err != nil {
		return err
	}
	if o.zip != nil {
		if err := o.zip.Flush(); err != nil {
			return err
		}
		if err := o.zipped.Flush(); err != nil {
			return err
		}
	}
	return o.stream.Flush()
}

// end writes the end of the export, which MUST be whole.
func (o *exportOutput) end() error {
	if err := o.Flush(); err != nil || o.zip == nil {
		return err
	}
	if err := o.zip.Close(); err != nil {
		return err
	}
	return o.zipped.Flush()
}

// lateStream begins a stream with its first bytes: what fails before is told by a status.
type lateStream struct {
	start  func() (httpapi.ExportStream, error)
	stream httpapi.ExportStream // nil before the first bytes
}

func (s *lateStream) Write(p []byte) (n int, err error) {
	if s.stream == nil {
		if s.stream, err = s.start(); err != nil {
			s.stream = nil
			return 0, err
		}
	}
	return s.stream.Write(p)
}

// Flush makes what was written leave now.
func (s *lateStream) Flush() error {
	if s.stream == nil {
		return nil
	}
	return s.stream.Flush()
}

// takesGzip says whether a request asks for gzip by name (RFC 9110, section 12.5.3).
func takesGzip(r *http.Request) bool {
	if r == nil {
		return false
	}
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") && httpapi.Weight(params) > 0 {
			return true
		}
	}
	return false
}
