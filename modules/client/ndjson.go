package client

import (
	"errors"
	"fmt"
	"io"

	"audittrail/modules/evidence"
)

// CopyNDJSON copies an NDJSON export while it arrives, of any length, and makes sure that it is whole: its
// last line is a trailer whose count and hash are those of what came before. So one that was cut is an
// error whatever a proxy made of the cut. It proves nothing. each is called for every event that has
// passed; dst has got all of what was read when CopyNDJSON returns. It holds one line at a time, of
// evidence.MaxEntry at most.
func CopyNDJSON(dst io.Writer, src io.Reader, each func()) error {
	from := &copying{src: src, dst: dst}
	r := evidence.NewExportReader(from)
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return explainExport(err, from, r.Count())
		}
		each()
	}
	for _, fault := range r.Misfits() {
		return fmt.Errorf("the API's answer was damaged on its way; it is of no use: %w", fault)
	}
	return nil
}

func explainExport(err error, from *copying, events int64) error {
	where := fmt.Sprintf("behind event %d", events)
	if failure := from.failure(where); failure != nil {
		return failure
	}
	var fault *evidence.Fault
	if errors.As(err, &fault) && fault.Kind == evidence.Incomplete {
		return cutOff(where)
	}
	return fmt.Errorf("the API's answer is no export: %w", err)
}
