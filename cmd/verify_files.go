package cmd

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/spf13/cobra"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/platform/console"
)

// verdict is what became of one file.
type verdict struct {
	name   string
	report evidence.Report
	faults []*evidence.Fault // the first of them
	count  int64             // of all faults
	err    error             // why it could not be read, or not to its end; nil where it could

	grewFrom *ledger.Checkpoint // the earlier one that its log was shown to be, and more; nil where none was asked for
}

// fileStatus is what is to be said of a file as a whole.
type fileStatus string

const (
	statusProven     fileStatus = "proven"
	statusComplete   fileStatus = "complete" // an export, whole and unchanged: less than proven
	statusNotProven  fileStatus = "not_proven"
	statusUnreadable fileStatus = "unreadable"
)

func (s fileStatus) passed() bool { return s == statusProven || s == statusComplete }

func (v *verdict) status() fileStatus {
	switch {
	case v.count > 0: // also where the file can't be read any further
		return statusNotProven
	case v.err != nil:
		return statusUnreadable
	case v.report.Form.IsExport():
		return statusComplete
	}
	return statusProven
}

// runVerifyFiles checks each file, and reports on all of them. What was found is the exit status, also where
// the report can't be written or the rest is not looked at any more.
func runVerifyFiles(c *cobra.Command, names, keys []string, output string) error {
	grown, err := growthAsked(c, names)
	if err != nil {
		return err
	}
	if grown.since != "" {
		names = []string{grown.since, names[0]}
	}
	if slices.ContainsFunc(names, ledger.HoldsPrivateKey) {
		return wrongUsage("a FILE is a private signing key, and no file's name; treat the key as disclosed if others could read it here")
	}
	trusted, err := readVerifierKeys(c.Context(), keys)
	if err != nil {
		return err
	}
	defer sparingMemory()()
	report := newFilesReport(output, c.OutOrStdout())
	var altered, unreadable int
	var unsaid error
	var before *verdict
	for i, name := range names {
		v, err := verifyFile(c, name, trusted)
		if err == nil && i == 1 && grown.since != "" {
			err = grown.compare(c, before, v)
		}
		if err != nil {
			return alsoSaying(err, outcomeOfFiles(len(names), altered, 0))
		}
		before = v
		switch v.status() {
		case statusUnreadable:
			unreadable++
		case statusNotProven:
			altered++
		}
		if unsaid == nil {
			unsaid = report.file(v)
		}
	}
	if unsaid == nil {
		unsaid = report.end()
	}
	if unsaid != nil {
		unsaid = fmt.Errorf("the report can't be written: %w", unsaid)
	}
	return alsoSaying(unsaid, outcomeOfFiles(len(names), altered, unreadable))
}

// sparingMemory lets garbage be collected sooner where there is much of it, until the answer is called: an
// entry as large as a file may have takes two thirds of the memory then, and no more time. A limit that
// GOMEMLIMIT sets stays.
func sparingMemory() (restore func()) {
	const soft = 512 << 20 // twice the buffer that the largest entry leaves behind
	before := debug.SetMemoryLimit(-1)
	if before == math.MaxInt64 {
		debug.SetMemoryLimit(soft)
	}
	return func() { debug.SetMemoryLimit(before) }
}

// alsoSaying puts what went wrong in front of what was found, whose status stays; either may be nil.
func alsoSaying(wrong, found error) error {
	if wrong == nil || found == nil {
		return cmp.Or(wrong, found)
	}
	return fmt.Errorf("%w; %w", wrong, found)
}

// outcomeOfFiles is the exit status. What was changed weighs more than what can't be read.
func outcomeOfFiles(all, altered, unreadable int) error {
	switch {
	case altered == 1 && all == 1:
		return &statusError{statusTampering, errors.New("the file does not prove what it says")}
	case altered > 0:
		return &statusError{statusTampering, fmt.Errorf("%d of %d files do not prove what they say", altered, all)}
	case unreadable == 1 && all == 1:
		return errors.New("the file can't be read")
	case unreadable > 0:
		return fmt.Errorf("%d of %d files can't be read", unreadable, all)
	}
	return nil
}

// verifyFile checks one file. An error is one of the call as a whole: it was interrupted.
func verifyFile(c *cobra.Command, name string, keys ledger.Keys) (*verdict, error) {
	v := &verdict{name: name}
	src, err := console.OpenInput(c.Context(), name, c.InOrStdin())
	if err != nil {
		v.err = err
		return v, nil
	}
	defer src.Close() //nolint:errcheck // it was only read
	if name == "-" {
		v.name = "standard input"
	}
	var entries atomic.Int64
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		text := fmt.Sprintf("%s: %s entries checked", v.name, console.Grouped(entries.Load()))
		if share := src.Share(); share >= 0 {
			return fmt.Sprintf("%3.0f %%  %s", 100*share, text)
		}
		return text
	})
	defer telling.Stop()
	each := func(evidence.Entry) { entries.Add(1) }
	plain, err := unzipped(cancellable{c.Context().Err, src})
	switch {
	case err != nil:
	case src.CanRewind(): // a file, which can be read again
		v.report, err = evidence.VerifyFile(fromStart(c.Context(), src, plain), keys, each)
	default:
		v.report, err = evidence.Verify(plain, keys, each)
	}
	var not *evidence.NotProvenError
	switch {
	case c.Context().Err() != nil:
		return nil, errors.New("interrupted")
	case errors.As(err, &not):
		v.faults, v.count = not.Faults, not.Count
		if not.Unread != nil {
			v.err = explainUnreadable(not.Unread)
		}
	case err != nil:
		v.err = explainUnreadable(err)
	}
	return v, nil
}

// fromStart returns a function that reads a file from its beginning each time. first is the reader for the
// first time.
func fromStart(ctx context.Context, src *console.Source, first io.Reader) func() (io.Reader, error) {
	return func() (io.Reader, error) {
		if plain := first; plain != nil {
			first = nil
			return plain, nil
		}
		if err := src.Rewind(); err != nil {
			return nil, err
		}
		return unzipped(cancellable{ctx.Err, src})
	}
}

// explainUnreadable adds what a damaged compression or a failing disk says to why a file can't be read.
// Texts of other causes may quote the file.
func explainUnreadable(err error) error {
	var system interface{ Timeout() bool } // errors of the operating system
	switch {
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return errors.New("it is gzip, and damaged")
	case errors.As(err, &system):
		return fmt.Errorf("it can't be read: %w", err)
	}
	return err
}

// unzipped reads what is gzip unpacked, and anything else as it is.
func unzipped(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 256<<10)
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
