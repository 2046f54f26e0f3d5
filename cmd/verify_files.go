package cmd

import (
	"cmp"
	"errors"
	"fmt"
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
	name string
	*evidence.Verdict
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
		switch v.Status() {
		case evidence.StatusUnreadable:
			unreadable++
		case evidence.StatusNotProven:
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
	src, err := console.OpenInput(c.Context(), name, c.InOrStdin())
	if err != nil {
		return &verdict{name, &evidence.Verdict{Err: err}}, nil
	}
	defer src.Close() //nolint:errcheck // it was only read
	if name == "-" {
		name = "standard input"
	}
	var entries atomic.Int64
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		text := fmt.Sprintf("%s: %s entries checked", name, console.Grouped(entries.Load()))
		if share := src.Share(); share >= 0 {
			return fmt.Sprintf("%3.0f %%  %s", 100*share, text)
		}
		return text
	})
	defer telling.Stop()
	v, err := evidence.Check(c.Context(), src, keys, func(evidence.Entry) { entries.Add(1) })
	if err != nil {
		return nil, errors.New("interrupted")
	}
	return &verdict{name, v}, nil
}
