package cmd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/migrate"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/console"
	"audittrail/platform/kek"
	"audittrail/platform/postgres"
)

// owningRole may change every key.
const owningRole = "audittrail_owner"

// openRotation connects to the database of the keys, and takes the lock of rotations.
func openRotation(c *cobra.Command) (*store.Rotation, app.Config, func(), error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return nil, cfg, nil, err
	}
	if err := cfg.Require("encryption.kek_url"); err != nil {
		return nil, cfg, nil, err
	}
	url := cmp.Or(cfg.Encryption.KeysURL, cfg.Postgres.URL)
	if url == "" {
		return nil, cfg, nil, cfg.Require("postgres.url")
	}
	pool, err := postgres.Open(c.Context(), postgres.PoolOptions{URL: url, Name: "keys-rotate", Role: owningRole, MaxConns: 6, DurableCommits: true})
	if err != nil {
		return nil, cfg, nil, err
	}
	rotation, err := lockedRotation(c.Context(), pool)
	if err != nil {
		pool.Close()
		return nil, cfg, nil, fmt.Errorf("the database of the keys: %w", err)
	}
	return rotation, cfg, func() {
		rotation.Close(context.WithoutCancel(c.Context()))
		pool.Close()
	}, nil
}

func lockedRotation(ctx context.Context, pool *pgxpool.Pool) (*store.Rotation, error) {
	if err := pool.Ping(ctx); err != nil {
		if refused := postgres.Refused(err); refused != nil {
			return nil, refused
		}
		return nil, err
	}
	if err := migrate.Check(ctx, pool); err != nil {
		return nil, err
	}
	return store.NewRotation(ctx, pool)
}

func rotateKEK(c *cobra.Command, from string) error {
	former, err := formerKEK(c.Context(), from)
	if err != nil {
		return err
	}
	defer func() { _ = former.Close() }()
	rotation, cfg, done, err := openRotation(c)
	if err != nil {
		return err
	}
	defer done()
	present, err := kek.Open(c.Context(), cfg.Encryption.KEKURL)
	if err != nil {
		return err
	}
	defer func() { _ = present.Close() }()
	run := protect.Rotation{Store: rotation, From: former, To: present}
	begun := time.Now()
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		return fmt.Sprintf("%d of %d keys wrapped anew", run.Done.Load(), run.Total.Load())
	})
	err = run.Run(c.Context())
	telling.Stop()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%d keys are wrapped under encryption.kek_url now, in %s. Restart all processes with it; then run 'audittrail keys rotate --kek --end' and destroy the former key-encryption key.\n",
		run.Done.Load(), time.Since(begun).Round(time.Millisecond))
	return err
}

// formerKEK opens the key-encryption key that --from names.
func formerKEK(ctx context.Context, from string) (*kek.Key, error) {
	if from == "" {
		return nil, wrongUsage("say with --from under which key-encryption key the keys are: its URL, or a file that holds it")
	}
	if !strings.Contains(from, "://") {
		text, err := os.ReadFile(from)
		if err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
		from = strings.TrimSpace(string(text))
	}
	if err := kek.Check(from); err != nil {
		return nil, wrongUsage("--from %w", err)
	}
	return kek.Open(ctx, from)
}

// endKEKOverlap deletes what processes with the former URL still open the wrapping key by.
func endKEKOverlap(c *cobra.Command) error {
	rotation, _, done, err := openRotation(c)
	if err != nil {
		return err
	}
	defer done()
	ended, err := rotation.EndOverlap(c.Context())
	if err != nil {
		return err
	}
	text := "the former key-encryption key opens nothing any more: destroy it"
	if !ended {
		text = "there is no overlap to end: the former key-encryption key opens nothing"
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), text)
	return err
}
