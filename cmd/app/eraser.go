package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/erase"
	"audittrail/modules/migrate"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/kek"
	"audittrail/platform/postgres"
)

// Eraser erases subjects by the databases, for a command: without the API, and also where no process has the role
// maintain.
type Eraser struct {
	Requester *erase.Requester
	Service   *erase.Service
	Shreds    *store.Shreds
	Login     string // of the event store, which is the principal

	keys  *protect.Keyring
	pools []*pgxpool.Pool
}

// NewEraser connects to the databases. The login must be able to become audittrail_api, audittrail_maintain and
// audittrail_owner.
func NewEraser(ctx context.Context, c Config, log *slog.Logger) (_ *Eraser, err error) {
	if err := c.Require("postgres.url"); err != nil {
		return nil, err
	}
	e := &Eraser{}
	defer func() {
		if err != nil {
			e.Close()
		}
	}()
	rules, err := protect.NewRules(c.Encryption.Rules)
	if err != nil {
		return nil, err
	}
	var pools [5]*pgxpool.Pool
	for i, o := range []postgres.PoolOptions{
		{URL: c.Postgres.URL, Role: "audittrail_api", Parameters: inOrder()}, {URL: c.keysURL(), Role: "audittrail_api"},
		{URL: c.Postgres.URL, Role: "audittrail_maintain"}, {URL: c.keysURL(), Role: "audittrail_maintain"},
		{URL: c.keysURL(), Role: "audittrail_owner"},
	} {
		if pools[i], err = e.open(ctx, o); err != nil {
			return nil, err
		}
	}
	owner, err := e.open(ctx, postgres.PoolOptions{URL: c.Postgres.URL, Role: "audittrail_owner"})
	if err != nil {
		return nil, err
	}
	keys := store.NewKeys(pools[1])
	e.keys = protect.NewKeyring(keys, func(ctx context.Context) (protect.KEK, error) { return kek.Open(ctx, c.Encryption.KEKURL) })
	reader := store.NewReader(store.ReaderOptions{Pool: pools[0], Scoped: true})
	e.Shreds = store.NewShreds(pools[2])
	e.Requester = &erase.Requester{Surveyor: erase.Surveyor{Reader: reader, Shreds: store.NewShreds(pools[0]), Keys: keys, Rules: rules}, Hash: e.keys.Hash}
	e.Service = erase.NewService(erase.Dependencies{
		Shreds: e.Shreds, Keys: store.NewKeyDestroyer(pools[3]), Owner: owner, KeysOwner: pools[4],
		Journal: erase.NewJournal(c.Encryption.Journal), Log: log,
	})
	if err = migrate.Check(ctx, pools[2]); err == nil {
		e.Login, err = e.Shreds.Login(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("postgres.url: %w", err)
	}
	if err = migrate.Check(ctx, pools[3]); err != nil {
		return nil, fmt.Errorf("encryption.keys_url: %w", err)
	}
	return e, nil
}

func (e *Eraser) open(ctx context.Context, o postgres.PoolOptions) (*pgxpool.Pool, error) {
	o.Name, o.MaxConns, o.LockTimeout, o.DurableCommits = "erase", 1, stall, true
	pool, err := postgres.Open(ctx, o)
	if err == nil {
		e.pools = append(e.pools, pool)
	}
	return pool, err
}

// Close waits for what still runs, and closes the connections.
func (e *Eraser) Close() {
	if e.Service != nil {
		e.Service.Close()
	}
	if e.keys != nil {
		e.keys.Close()
	}
	for _, pool := range e.pools {
		pool.Close()
	}
}
