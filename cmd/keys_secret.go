package cmd

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"audittrail/modules/ledger"
	"audittrail/platform/files"
)

func addOut(c *cobra.Command) *secretFile {
	f := &secretFile{}
	c.Flags().Var(f, "out", "write the signing key to this new file, of mode 0600, instead of printing it")
	return f
}

// secretFile is the value of --out: where the signing key goes, "" where it is printed. Whoever gives
// --out wants it anywhere but there, also where a script's variable turns out to be empty.
type secretFile struct{ path string }

func (f *secretFile) String() string { return f.path }

func (f *secretFile) Type() string { return "string" }

func (f *secretFile) Set(s string) error {
	switch {
	case s == "":
		return wrongUsage("must name a new file; without --out the signing key is printed")
	case ledger.HoldsPrivateKey(s):
		return wrongUsage("must name a new file, and is a signing key")
	}
	f.path = s
	return nil
}

// writeNewSecret writes a file that is not there yet: a signing key that was overwritten is lost.
func writeNewSecret(path, text string) error {
	err := files.WriteNew(path, []byte(text), 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists; a key is never overwritten: name another file", path)
	}
	return err
}
