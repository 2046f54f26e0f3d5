package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/modules/verify"
)

const origin = "bench.example.com/ledger"

// measureReading fills a database, signs it and measures what is read of it.
func (b *bench) measureReading(ctx context.Context, r *report) (err error) {
	benchingest.Progress("filling the database to be verified")
	url, drop, err := b.Database(ctx, b.programs[true])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if _, err := b.ingest(ctx, url, true); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	rows := store.NewLedger(pool, ledger.Events)
	key, err := ledger.GenerateKey(origin, rand.Reader)
	if err != nil {
		return err
	}
	if r.TilesPerSecond, err = sign(ctx, rows, key); err != nil {
		return err
	}
	if r.ProofsSingly, err = measureProofs(ctx, rows, b.opts.proofs, 1); err != nil {
		return err
	}
	if r.ProofsInBulk, err = measureProofs(ctx, rows, len(b.records), 512); err != nil {
		return err
	}
	for workers := 1; workers <= max(2, runtime.NumCPU()); workers *= 2 {
		rate, err := b.measureVerify(ctx, url, key, workers)
		if err != nil {
			return err
		}
		r.Verify = append(r.Verify, verified{Workers: workers, Rate: rate})
	}
	return nil
}

// sign makes tiles and a checkpoint, and answers how many leaves a second the tiles were made of.
func sign(ctx context.Context, rows *store.Ledger, key ledger.SigningKey) (rate float64, err error) {
	size, err := rows.Size(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	err = ledger.BuildTiles(ctx, rows, 0, size, func(ctx context.Context, _ int64, parts []ledger.TilePart) error {
		return rows.WriteTiles(ctx, parts)
	})
	if err != nil {
		return 0, err
	}
	rate = float64(size) / time.Since(began).Seconds()
	prover, err := ledger.NewProver(rows, size)
	if err != nil {
		return 0, err
	}
	root, err := prover.Root(ctx)
	if err != nil {
		return 0, err
	}
	signer, err := key.Signer(ledger.Events)
	if err != nil {
		return 0, err
	}
	note, err := ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: size, Root: root}.Sign(signer)
	if err != nil {
		return 0, err
	}
	return rate, rows.KeepCheckpoint(ctx, store.Checkpoint{Size: size, Root: root, Note: string(note), SignedAt: time.Now()})
}

// measureProofs proves n events, so many at a time: random ones singly, each as a request of its own that
// finds nothing cached; neighbours in bulk, as an export has them.
func measureProofs(ctx context.Context, rows *store.Ledger, n, atATime int) (rate float64, err error) {
	size, err := rows.Size(ctx)
	if err != nil {
		return 0, err
	}
	prover, err := ledger.NewProver(rows, size)
	if err != nil {
		return 0, err
	}
	random := mathrand.New(mathrand.NewPCG(1, 2)) // the same positions in every run
	began := time.Now()
	for done := 0; done < n; done += atATime {
		var positions []int64
		if atATime == 1 {
			if prover, err = ledger.NewProver(rows, size); err != nil {
				return 0, err
			}
			positions = []int64{random.Int64N(size)}
		}
		for i := done; atATime > 1 && i < min(done+atATime, n); i++ {
			positions = append(positions, int64(i))
		}
		if _, err := prover.Inclusion(ctx, positions...); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// measureVerify verifies the whole database, as often as there are rounds, and answers the median.
func (b *bench) measureVerify(ctx context.Context, url string, key ledger.SigningKey, workers int) (float64, error) {
	keys, err := ledger.ParseKeys(key.VerifierKey(ledger.Events))
	if err != nil {
		return 0, err
	}
	var rates []float64
	for range b.opts.Rounds {
		report, err := verify.Run(ctx, verify.Options{Keys: keys, Workers: workers, Connect: func(ctx context.Context) (*pgx.Conn, error) {
			return pgx.Connect(ctx, url)
		}})
		if err != nil {
			return 0, err
		}
		if !report.Intact || report.Events != int64(len(b.records)) || report.Logs[0].NotYetSigned != 0 {
			return 0, fmt.Errorf("verification of an untouched database found %+v", report.Findings)
		}
		rates = append(rates, float64(report.Events)/report.Seconds)
		benchingest.Progress("verify with %d workers: %.0f events/s", workers, rates[len(rates)-1])
	}
	return benchdb.Median(rates), nil
}
