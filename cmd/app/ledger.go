package app

import (
	"errors"
	"fmt"
	"strings"

	"audittrail/modules/ledger"
	"audittrail/platform/config"
)

// LedgerOptions are the keys below `ledger`.
type LedgerOptions struct {
	Origin     string `key:"origin" help:"name of the ledger, such as audit.example.com/shop: what its logs and keys are named by, for ever"`
	SigningKey string `key:"signing_key" secret:"true" help:"what checkpoints are signed with, as 'audittrail keys generate' makes it; several with commas all sign, the first is the current one"`
	Retired    string `key:"retired_keys" help:"verifier keys, with commas, of signing keys that are no more: what they signed counts as signed, and nothing is signed with them; for a key that was lost before it was rotated"`
	Public     bool   `key:"public" default:"false" help:"open the ledger's checkpoints, tiles and consistency proofs without a token"`
}

// Validate reports every key that can't work. It quotes no signing key.
func (o LedgerOptions) Validate() error {
	var bad []error
	if o.Origin != "" {
		if err := ledger.CheckOrigin(o.Origin); err != nil {
			bad = append(bad, config.Invalid("origin", "%v", err))
		}
	}
	if o.SigningKey != "" {
		if _, err := o.Keys(); err != nil {
			bad = append(bad, config.Invalid("signing_key", "%v", err))
		}
	}
	if _, err := o.RetiredKeys(); err != nil {
		bad = append(bad, config.Invalid("retired_keys", "%v", err))
	}
	return errors.Join(bad...)
}

// Keys are the keys that sign, the current one first.
func (o LedgerOptions) Keys() ([]ledger.SigningKey, error) {
	return ledger.ParseSigningKeys(o.SigningKey, o.Origin)
}

// RetiredKeys are verifier keys of this ledger's logs. The zero Keys where there are none.
func (o LedgerOptions) RetiredKeys() (ledger.Keys, error) {
	if o.Retired == "" {
		return ledger.Keys{}, nil
	}
	keys, err := ledger.ParseKeys(strings.Split(o.Retired, ",")...)
	if err != nil {
		return ledger.Keys{}, err
	}
	ours := 0
	for _, log := range ledger.Logs() {
		ours += len(keys.Texts(log.Origin(o.Origin)))
	}
	if n := len(keys.IDs()); ours != n {
		return ledger.Keys{}, fmt.Errorf("%d of %d keys are of no log of ledger.origin %q", n-ours, n, o.Origin)
	}
	return keys, nil
}
