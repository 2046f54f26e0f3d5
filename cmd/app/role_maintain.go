package app

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/erase"
	"audittrail/modules/maintain"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// maintainRole looks after partitions and indexes, and carries out erasures. What it does to indexes wants ownership, so
// it has a second pool as the owner: one connection, for as long as it leads.
func maintainRole(_ context.Context, p *parts, open pools) (lifecycle.Role, error) {
	log := p.log.With("role", "maintain")
	keys, owner := p.destroyers(open)
	upkeep, err := maintain.New(maintain.Dependencies{
		Pool: open["maintain"], Owner: open["maintain-owner"], Keys: keys, LetterDays: p.cfg.Encryption.LetterDays, Log: log, Metrics: p.metrics,
	})
	if err != nil {
		return nil, err
	}
	eraser, err := erase.NewWorker(erase.Dependencies{
		Shreds: store.NewShreds(open["maintain"]), Keys: store.NewKeyDestroyer(keys), Owner: open["maintain-owner"], KeysOwner: owner,
		Journal: erase.NewJournal(p.cfg.Encryption.Journal), Log: log,
	}, p.metrics)
	if err != nil {
		return nil, err
	}
	return &maintenance{upkeep, eraser, &p.compared}, nil
}

// destroyers are the pools by which keys are destroyed, and their space is freed: the role's own, unless keys are in a
// database of their own.
func (p *parts) destroyers(open pools) (keys, owner *pgxpool.Pool) {
	if p.cfg.Encryption.KeysURL == "" {
		return open["maintain"], open["maintain-owner"]
	}
	return open["keys"], open["keys-owner"]
}

// maintenance is the role: upkeep, and erasures beside it.
type maintenance struct {
	*maintain.Role
	eraser   *erase.Worker
	compared *atomic.Bool // the journal of erasures, with the database
}

// Run is ready once both are.
func (m *maintenance) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	var (
		running sync.WaitGroup
		left    atomic.Int32
	)
	defer running.Wait()
	defer cancel()
	left.Store(2)
	half := func() {
		if left.Add(-1) == 0 {
			ready()
		}
	}
	running.Go(func() {
		m.eraser.Run(ctx, func() {
			m.compared.Store(true)
			half()
		})
	})
	return m.Role.Run(ctx, sync.OnceFunc(half))
}

// Health is an error while either can't work.
func (m *maintenance) Health(ctx context.Context) error {
	return errors.Join(m.Role.Health(ctx), m.eraser.Health())
}

// eraseHandlers are the handlers of erasures, on the API's pool. keys is nil where nothing is sealed.
func eraseHandlers(pool *pgxpool.Pool, reader *store.Reader, stored *store.Keys, keys *protect.Keyring, rules *protect.Rules) *erase.Subjects {
	shreds := store.NewShreds(pool)
	if keys == nil {
		return erase.NewSubjects(nil, shreds)
	}
	return erase.NewSubjects(&erase.Requester{
		Surveyor: erase.Surveyor{Reader: reader, Shreds: shreds, Keys: stored, Rules: rules}, Hash: keys.Hash,
	}, shreds)
}
