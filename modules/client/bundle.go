package client

import (
	"errors"
	"fmt"
	"io"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
)

// CopyBundle copies an evidence bundle of the log of events while it arrives, of any length, and makes sure
// that it is whole and has a bundle's form (docs/EVIDENCE.md, section 5): JSON from its beginning to its
// end, so that a cut one is an error whatever a proxy made of the cut; the members of a bundle, once each;
// and an object for each entry. It proves nothing. each is called for every entry that has passed; dst has
// got all of what was read when CopyBundle returns. It holds one entry at a time, of evidence.MaxEntry at
// most.
func CopyBundle(dst io.Writer, src io.Reader, each func()) error {
	from := &copying{src: src, dst: dst}
	r := evidence.NewBundleReader(from)
	if err := readBundle(r, each); err != nil {
		return explainBundle(err, from, r.Count())
	}
	return nil
}

func readBundle(r *evidence.BundleReader, each func()) error {
	header, err := r.Header()
	if err != nil {
		return err
	}
	if err := checkHeader(header); err != nil {
		return err
	}
	for {
		entry, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case entry.Kind() != '{':
			return fmt.Errorf("entry %d is not an object", r.Count())
		}
		each()
	}
}

// checkHeader looks at all but the checkpoint's signature, for which no key is there.
func checkHeader(header evidence.BundleHeader) error {
	if header.Log != ledger.Events {
		return errors.New("it is not of the log of events")
	}
	_, err := ledger.OpenCheckpoint(header.Checkpoint, ledger.Keys{})
	var refused *ledger.CheckpointError
	if errors.As(err, &refused) && refused.Kind == ledger.UnknownKey { // without a key none is known
		return nil
	}
	return err
}

func explainBundle(err error, from *copying, entries int64) error {
	where := fmt.Sprintf("behind event %d", entries)
	if failure := from.failure(where); failure != nil {
		return failure
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return cutOff(where, nil)
	}
	return fmt.Errorf("the API's answer is no evidence bundle: %w", err)
}
