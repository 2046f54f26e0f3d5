package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

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
	var bad []error
	if err := kek.Check(c.Encryption.KEKURL); err != nil {
		bad = append(bad, config.Invalid("encryption.kek_url", "%v", err))
	}
	if len(c.Encryption.Rules) > 0 && slices.Contains(c.Roles, "maintain") && c.Encryption.Journal == "" {
		bad = append(bad, config.Invalid("encryption.journal", "must be given where the role maintain erases, such as /var/lib/audittrail/erasures.jsonl: "+
			"without it a restored backup brings back whom it erased"))
	}
	return errors.Join(bad...)
}

// Identifiers says, of each rule whose values' subject is named by the aggregate, what that asks of the identifiers.
// Nothing tells by a configuration whether they are opaque, so it is no error.
func (c Config) Identifiers() (notes []string) {
	rules, err := protect.NewRules(c.Encryption.Rules)
	if err != nil {
		return nil // Check says so
	}
	var seen []string
	for _, glob := range rules.Identifiers() {
		if slices.Contains(seen, glob) {
			continue
		}
		seen = append(seen, glob)
		notes = append(notes, fmt.Sprintf("encryption.rules: nothing erases the aggregateId of events of type %s, by which a rule tells whose values these are: "+
			"it must not be an e-mail address, a name or a number that others know", glob))
	}
	return notes
}

// warnIdentifiers says so once, at start.
func warnIdentifiers(ctx context.Context, c Config, log *slog.Logger) {
	for _, note := range c.Identifiers() {
		log.WarnContext(ctx, "identifiers must be opaque", "key", "encryption.rules", "reason", note)
	}
}

// keysProbe is a pool that asks for the version of the schema of encryption.keys_url; nil where keys are with the events.
func (p *parts) keysProbe(ctx context.Context, role string) (*pgxpool.Pool, error) {
	if p.cfg.Encryption.KeysURL == "" || !p.cfg.Encryption.Enabled() || p.keysDB != nil {
		return p.keysDB, nil
	}
	var err error
	p.keysDB, err = p.keysPool(ctx, postgres.PoolOptions{Name: "keys-probe", Role: role, MaxConns: 1, StatementTimeout: gateTimeout})
	return p.keysDB, err
}

// keysURL is the database of the subjects' keys.
func (c Config) keysURL() string {
	if c.Encryption.KeysURL != "" {
		return c.Encryption.KeysURL
	}
	return c.Postgres.URL
}

// keyring returns the keys of sealed values, or nil where nothing is sealed or opened. They are the role's, out of its pools.
func (p *parts) keyring(role string, open pools) (*protect.Keyring, *store.Keys, error) {
	var keys *protect.Keyring
	err := p.metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "audittrail_keys_unavailable", ConstLabels: prometheus.Labels{"role": role},
		Help: "1 while the keys of sealed values can't be had: the key service or the database of keys did not answer the last time, or refused.",
	}, func() float64 {
		if keys != nil && keys.Trouble() != nil {
			return 1
		}
		return 0
	}))
	if err != nil || !p.cfg.Encryption.Enabled() {
		return nil, nil, err
	}
	url := p.cfg.Encryption.KEKURL
	stored := store.NewKeys(open["keys"])
	keys = protect.NewKeyring(stored, func(ctx context.Context) (protect.KEK, error) {
		if !p.journaled() {
			return nil, errors.New("the journal of erasures has not been compared with the database yet")
		}
		return kek.Open(ctx, url)
	})
	p.beside = append(p.beside, func(ctx context.Context) { keys.Watch(ctx, stored.Listen) })
	return keys, stored, nil
}

// sealer returns what seals events by the configuration's rules, and its keys, which are nil where there are none.
func (p *parts) sealer(role string, open pools) (*protect.Protector, *protect.Keyring, error) {
	keys, _, err := p.keyring(role, open)
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
