package app

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/config"
	"audittrail/platform/kek"
	"audittrail/platform/postgres"
)

// checkEncryption reports what no section can see by itself.
func (c Config) checkEncryption() error {
	if c.Encryption.KEKURL == "" {
		return nil
	}
	if err := kek.Check(c.Encryption.KEKURL); err != nil {
		return config.Invalid("encryption.kek_url", "%v", err)
	}
	return nil
}

// keysURL is the database of the subjects' keys.
func (c Config) keysURL() string {
	if c.Encryption.KeysURL != "" {
		return c.Encryption.KeysURL
	}
	return c.Postgres.URL
}

// keyring returns the keys of sealed values, or nil where nothing is sealed or opened. role is the database role that
// asks for them.
func (p *parts) keyring(ctx context.Context, role string) (*protect.Keyring, *store.Keys, error) {
	if !p.cfg.Encryption.Enabled() {
		return nil, nil, nil
	}
	pool, err := p.keysPool(ctx, postgres.PoolOptions{Name: "keys", Role: role, MaxConns: 4, StatementTimeout: stall})
	if err != nil {
		return nil, nil, err
	}
	url := p.cfg.Encryption.KEKURL
	stored := store.NewKeys(pool)
	keys := protect.NewKeyring(stored, func(ctx context.Context) (protect.KEK, error) {
		if !p.journaled() {
			return nil, errors.New("the journal of erasures has not been compared with the database yet")
		}
		return kek.Open(ctx, url)
	})
	p.beside = append(p.beside, func(ctx context.Context) { keys.Watch(ctx, stored.Listen) })
	return keys, stored, nil
}

// sealer returns what seals events by the configuration's rules, and its keys, which are nil where there are none.
func (p *parts) sealer(ctx context.Context, role string) (*protect.Protector, *protect.Keyring, error) {
	keys, _, err := p.keyring(ctx, role)
	if err != nil || keys == nil {
		return protect.NewProtector(), nil, err
	}
	rules, err := protect.NewRules(p.cfg.Encryption.Rules)
	if err != nil {
		return nil, nil, err
	}
	return protect.WithRules(rules, keys), keys, nil
}

// keysPool makes a pool to the database of keys.
func (p *parts) keysPool(ctx context.Context, o postgres.PoolOptions) (*pgxpool.Pool, error) {
	o.URL, o.Fresh = p.cfg.keysURL(), func() string { return p.cfg.fresh(p.cfg.keysKey(), p.cfg.keysURL()) }
	o.LockTimeout, o.DurableCommits, o.Metrics = stall, true, p.metrics
	pool, err := postgres.Open(ctx, o)
	if err == nil {
		p.pools = append(p.pools, pool)
	}
	return pool, err
}

// journaled reports whether keys may be opened: a process that has a journal of erasures compares it with the database
// first, since a backup that was restored has keys that were destroyed.
func (p *parts) journaled() bool {
	return p.cfg.Encryption.Journal == "" || !slices.Contains(p.cfg.Roles, "maintain") || p.compared.Load()
}

// keysKey is the configuration's key of keysURL.
func (c Config) keysKey() string {
	if c.Encryption.KeysURL != "" {
		return "encryption.keys_url"
	}
	return "postgres.url"
}
