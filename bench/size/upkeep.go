package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/ledger"
)

//go:embed rollups.sql
var rollupsSQL string

const origin = "bench.example.com/size"

// ledger is how a process is told of the ledger.
func (s *kept) ledger() []string {
	return []string{"--ledger.origin", origin, "--ledger.signing_key", s.key, "--notary.state_file", s.stateFile}
}

// finish does what is left to the other roles when a store was filled: to sign its events, to count them, and to look
// after their partitions. What a measurement ingests later stays as it is.
func (b *bench) finish(ctx context.Context, s *kept, r *results) error {
	err := s.conn.QueryRow(ctx, "INSERT INTO bench_key SELECT $1 WHERE NOT EXISTS (SELECT FROM bench_key) RETURNING key", newKey()).Scan(&s.key)
	if err != nil {
		err = s.conn.QueryRow(ctx, "SELECT key FROM bench_key").Scan(&s.key)
	}
	if err != nil {
		return err
	}
	s.stateFile = filepath.Join(b.Dir, fmt.Sprintf("notary-%d.json", s.events))
	if r.Signing, err = b.sign(ctx, s); err != nil {
		return err
	}
	var counted int
	if err := s.conn.QueryRow(ctx, "SELECT coalesce(max(position), 0)::bigint FROM analytics_cursors WHERE name = 'counts'").Scan(&counted); err != nil {
		return err
	}
	if counted >= s.events {
		return benchapi.IndexCauses(ctx, s.url) // of months that have ended since
	}
	benchingest.Progress("%s: counting", s.name)
	if _, err := s.conn.Exec(ctx, rollupsSQL, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	benchingest.Progress("%s: vacuuming", s.name)
	if err := benchapi.Upkeep(ctx, s.url); err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, "VACUUM (ANALYZE)")
	return err
}

func newKey() string {
	key, err := ledger.GenerateKey(origin, rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail, and the origin is good
	}
	return key.Secret()
}

// sign has the notary sign what it has not signed, and returns the seconds that this took; 0 if that was nothing.
func (b *bench) sign(ctx context.Context, s *kept) (seconds float64, err error) {
	const signed = "SELECT coalesce(max(size), 0)::bigint FROM ledger_checkpoints WHERE log = 'events'"
	var got int
	if err := s.conn.QueryRow(ctx, signed).Scan(&got); err != nil || got >= s.events {
		return 0, err
	}
	benchingest.Progress("%s: signing", s.name)
	began := time.Now()
	p, err := b.Serve(ctx, b.program, nil, append([]string{"--roles", "notary", "--postgres.url", s.url}, s.ledger()...)...)
	if err != nil {
		return 0, err
	}
	err = p.Await(ctx, s.conn, int64(s.events), time.Hour, 10*time.Millisecond, signed)
	return time.Since(began).Seconds(), errors.Join(err, p.Stop())
}

// measureStart returns the seconds until roles are ready.
func (b *bench) measureStart(ctx context.Context, s *kept, roles string) (seconds float64, err error) {
	began := time.Now()
	p, err := b.Serve(ctx, b.program, nil, slices.Concat([]string{"--roles", roles, "--postgres.url", s.url, "--http.addr", "127.0.0.1:0"},
		b.Kafka(b.emptyTopic), b.stand.Auth(), s.ledger())...)
	if err != nil {
		return 0, err
	}
	err = p.Ready(ctx)
	return time.Since(began).Seconds(), errors.Join(err, p.Stop())
}

// measureMigrate returns the seconds of `migrate up` with nothing to do, and with the newest migration.
func (b *bench) measureMigrate(ctx context.Context, s *kept) (idle, newest float64, err error) {
	if idle, err = b.run(ctx, s, "migrate", "up"); err != nil {
		return 0, 0, err
	}
	if _, err := b.run(ctx, s, "migrate", "down", "1"); err != nil {
		return 0, 0, err
	}
	newest, err = b.run(ctx, s, "migrate", "up")
	return idle, newest, err
}

// verified is what `verify --database` said.
type verified struct {
	Intact  bool    `json:"intact"`
	Events  int64   `json:"events"`
	Seconds float64 `json:"seconds"`
}

// verify verifies all of the store. Nobody signs while its paths are measured, so it lets access entries wait for years.
func (b *bench) verify(ctx context.Context, s *kept) (v verified, err error) {
	keys, err := ledger.ParseSigningKeys(s.key, origin)
	if err != nil {
		return v, err
	}
	file := filepath.Join(b.Dir, "verifier-keys.txt")
	if err := os.WriteFile(file, []byte(keys[0].VerifierKey(ledger.Events)+"\n"+keys[0].VerifierKey(ledger.Access)+"\n"), 0o600); err != nil {
		return v, err
	}
	out, err := exec.CommandContext(ctx, b.program, "verify", "--database", "--output", "json", "--key", file, "--max-unsigned", "87600h", "--postgres.url", s.url).Output()
	if failed := json.Unmarshal(out, &v); err == nil {
		err = failed
	}
	if err != nil || !v.Intact {
		return v, fmt.Errorf("verify --database: %w: %s", err, out)
	}
	return v, nil
}

// run runs the program on the store, and returns its seconds.
func (b *bench) run(ctx context.Context, s *kept, args ...string) (seconds float64, err error) {
	began := time.Now()
	if out, err := exec.CommandContext(ctx, b.program, append(args, "--postgres.url", s.url)...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return time.Since(began).Seconds(), nil
}
