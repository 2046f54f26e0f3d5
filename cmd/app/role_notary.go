package app

import (
	"context"

	"audittrail/modules/notary"
	"audittrail/platform/lifecycle"
)

// notaryRole signs the ledger's checkpoints.
func notaryRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	keys, err := p.cfg.Ledger.Keys()
	if err != nil {
		return nil, err
	}
	retired, err := p.cfg.Ledger.RetiredKeys()
	if err != nil {
		return nil, err
	}
	return notary.New(p.cfg.Notary, notary.Dependencies{Pool: open["notary"], Keys: keys, Retired: retired, Log: p.log.With("role", "notary"), Metrics: p.metrics})
}
