package client

import (
	"errors"
	"fmt"
	"io"

	"audittrail/modules/ledger"
)

// CopyNDJSON copies an NDJSON export while it arrives, of any length, and makes sure that it is whole: its
// last line is a trailer whose count and hash are those of what came before. So one that was cut is an
// error whatever a proxy made of the cut. It proves nothing. each is called for every event that has
// passed; dst has got all of what was read when CopyNDJSON returns.
func CopyNDJSON(dst io.Writer, src io.Reader, each func()) error {
	r := ledger.NewExportReader(io.TeeReader(src, dst))
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var fault *ledger.Fault
		switch {
		case errors.As(err, &fault) && fault.Kind == ledger.Incomplete:
			return fmt.Errorf("the API's answer was cut off behind event %d; it is of no use", r.Count())
		case err != nil:
			return fmt.Errorf("the API's answer is no export: %w", err)
		}
		each()
	}
	for _, fault := range r.Misfits() {
		return fmt.Errorf("the API's answer was damaged on its way; it is of no use: %w", fault)
	}
	return nil
}
