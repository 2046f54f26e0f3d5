package evidence

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"audittrail/modules/ledger"
)

// Input is a file or a pipe, packed by gzip or not.
type Input interface {
	io.Reader
	CanRewind() bool // a file, which can be read again
	Rewind() error
}

// Verdict is what became of one file.
type Verdict struct {
	Report Report
	Faults []*Fault // the first of them
	Count  int64    // of all faults
	Err    error    // why the file could not be read, or not to its end; nil if it could

	GrewFrom *ledger.Checkpoint // the earlier one that its log was shown to be, and more; nil if none was asked for
}

// Status is what is to be said of a file as a whole.
type Status string

// The statuses.
const (
	StatusProven     Status = "proven"
	StatusComplete   Status = "complete" // an export, whole and unchanged: less than proven
	StatusNotProven  Status = "not_proven"
	StatusUnreadable Status = "unreadable"
)

// Passed reports whether the file shows what a file of its form can show.
func (s Status) Passed() bool { return s == StatusProven || s == StatusComplete }

// Status returns the file's status. A fault counts even if the file can't be read any further.
func (v *Verdict) Status() Status {
	switch {
	case v.Count > 0:
		return StatusNotProven
	case v.Err != nil:
		return StatusUnreadable
	case v.Report.Form.IsExport():
		return StatusComplete
	}
	return StatusProven
}

// Check verifies a file. each is called for every entry. The error is that of ctx; all else is in the Verdict.
func Check(ctx context.Context, in Input, keys ledger.Keys, each func(Entry)) (*Verdict, error) {
	v := &Verdict{}
	plain, err := unzipped(ctx, in)
	switch {
	case err != nil:
	case in.CanRewind():
		v.Report, err = VerifyFile(func() (io.Reader, error) {
			if first := plain; first != nil {
				plain = nil
				return first, nil
			}
			if err := in.Rewind(); err != nil {
				return nil, err
			}
			return unzipped(ctx, in)
		}, keys, each)
	default:
		v.Report, err = Verify(plain, keys, each)
	}
	var not *NotProvenError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &not):
		if v.Faults, v.Count = not.Faults, not.Count; not.Unread != nil {
			v.Err = explained(not.Unread)
		}
	default:
		v.Err = explained(err)
	}
	return v, nil
}

// MissingProofError says that a proof of consistency between two sizes of a log is needed, and was not given.
type MissingProofError struct {
	Log      ledger.Log
	From, To int64
}

func (e *MissingProofError) Error() string {
	return fmt.Sprintf("the proof of consistency of the %s log from size %d to %d is missing", e.Log, e.From, e.To)
}

// Compare adds to the Verdict whether the file's log is the log of an earlier file, and more. If one of the two did not
// pass there is nothing to compare. consistency, which may be nil, opens the proof as the API answers it.
func (v *Verdict) Compare(earlier *Verdict, consistency func() (io.ReadCloser, error)) error {
	if !earlier.Status().Passed() || !v.Status().Passed() {
		return nil
	}
	fault, err := v.growth(&earlier.Report.Checkpoint.Checkpoint, consistency)
	switch {
	case err != nil:
		return err
	case fault != nil:
		v.Faults, v.Count = append(v.Faults, fault), v.Count+1
	default:
		v.GrewFrom = &earlier.Report.Checkpoint.Checkpoint
	}
	return nil
}

// growth returns why the log is not shown to be the earlier one, and more; nil if it is.
func (v *Verdict) growth(from *ledger.Checkpoint, consistency func() (io.ReadCloser, error)) (*Fault, error) {
	to := &v.Report.Checkpoint.Checkpoint
	switch {
	case to.Origin == "": // an export, which is complete without one, too
		return noCheckpoint("this file"), nil
	case from.Origin == "":
		return noCheckpoint("the earlier file"), nil
	case consistency == nil && from.Origin == to.Origin && 0 < from.Size && from.Size < to.Size:
		return nil, &MissingProofError{v.Report.Log, from.Size, to.Size}
	case consistency == nil:
		return GrewFrom(to, from, nil), nil
	}
	src, err := consistency()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	p, err := ReadConsistency(src)
	var fault *Fault
	if errors.As(err, &fault) {
		return fault, nil
	}
	if err != nil {
		return nil, explained(err)
	}
	return GrewFrom(to, from, p), nil
}

func noCheckpoint(file string) *Fault {
	return &Fault{Kind: NotConsistent, Index: -1, Detail: file + " names no signed checkpoint, so nothing shows that the log only grew"}
}

// explained adds what a damaged compression or a failing disk says to why a file can't be read. Texts of other causes
// may quote the file.
func explained(err error) error {
	var system interface{ Timeout() bool } // errors of the operating system
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return errors.New("it is gzip, and damaged")
	case errors.As(err, &system):
		return fmt.Errorf("it can't be read: %w", err)
	}
	return err
}

// unzipped reads what is gzip unpacked, and anything else as it is, until ctx ends.
func unzipped(ctx context.Context, r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(cancellable{ctx.Err, r}, 256<<10)
	if magic, _ := b.Peek(2); string(magic) != "\x1f\x8b" {
		return b, nil
	}
	return gzip.NewReader(b)
}

// cancellable ends reading once its context is cancelled: files never wait, so nothing else would.
type cancellable struct {
	cancelled func() error
	io.Reader
}

func (r cancellable) Read(p []byte) (int, error) {
	if r.cancelled() != nil {
		return 0, context.Canceled
	}
	return r.Reader.Read(p)
}
