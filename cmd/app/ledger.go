package app

import (
	"errors"

	"audittrail/modules/ledger"
	"audittrail/platform/config"
)

// LedgerOptions are the keys below `ledger`.
type LedgerOptions struct {
	Origin     string `key:"origin" help:"name of the ledger, such as audit.example.com/shop: what its logs and keys are named by, for ever"`
	SigningKey string `key:"signing_key" secret:"true" help:"what checkpoints are signed with, as 'audittrail keys generate' makes it; several with commas all sign, the first is the current one"`
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
	return errors.Join(bad...)
}

// Keys are the keys that sign, the current one first.
func (o LedgerOptions) Keys() ([]ledger.SigningKey, error) {
	return ledger.ParseSigningKeys(o.SigningKey, o.Origin)
}
