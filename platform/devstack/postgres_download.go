package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const (
	downloadVersion = embedded.V17 // fetched where the machine has no server; its data folders stay of this version
	newestVersion   = embedded.V18
)

// NewestPostgres fetches the newest server that can be had and returns its folder, for PostgresOptions.BinDir: tests
// of what differs between versions want it beside the one that the machine has.
func NewestPostgres(ctx context.Context) (binDir string, err error) {
	b, err := downloadBinaries(ctx, newestVersion, slog.New(slog.DiscardHandler))
	return b.dir, err
}

// downloadBinaries fetches a server into this user's cache, once. The library has no call for only
// that, so it is asked to start one on a data folder that can't be: it fetches, unpacks, and fails
// before it runs anything. That also serves root, whom initdb would refuse.
func downloadBinaries(ctx context.Context, version embedded.PostgresVersion, log *slog.Logger) (binaries, error) {
	cache, err := downloadCache()
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL found, and no place to download one to: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return binaries{}, err
	}
	defer unlock()
	dir := filepath.Join(cache, string(version))
	if b, err := inspectBinaries(ctx, filepath.Join(dir, "bin")); err == nil {
		return b, nil
	}
	log.Info("no PostgreSQL on this machine: downloading one", "version", version, "to", dir)
	if err := fetch(ctx, version, cache, dir); err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL %d or newer on this machine (set TEST_POSTGRES_BIN to the folder of one), "+
			"and the download failed: %w", oldestPostgres, err)
	}
	return inspectBinaries(ctx, filepath.Join(dir, "bin"))
}

// fetch unpacks aside and renames, so that what is interrupted leaves nothing that looks whole.
func fetch(ctx context.Context, version embedded.PostgresVersion, cache, dir string) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	aside := filepath.Join(cache, "unpacking")
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	defer os.RemoveAll(aside) //nolint:errcheck // it is removed by the next try
	config := embedded.DefaultConfig().Version(version).Port(uint32(port)).
		CachePath(aside).BinariesPath(filepath.Join(aside, "server")).RuntimePath(filepath.Join(aside, "runtime")).
		DataPath(filepath.Join(os.DevNull, "data")).Logger(io.Discard)
	if url := os.Getenv("TEST_POSTGRES_REPOSITORY"); url != "" { // a mirror of Maven's central repository
		config = config.BinaryRepositoryURL(url)
	}
	defer removeNew(filepath.Join(os.TempDir(), "embedded_postgres_log*"))() // the library forgets its log
	startErr := embedded.NewDatabase(config).Start()
	if _, err := inspectBinaries(ctx, filepath.Join(aside, "server", "bin")); err != nil {
		return errors.Join(startErr, err)
	}
	return os.Rename(filepath.Join(aside, "server"), dir)
}

// removeNew answers a function that removes the files of a pattern that have come since.
func removeNew(pattern string) func() {
	before, _ := filepath.Glob(pattern) // the only error is a malformed pattern
	return func() {
		after, _ := filepath.Glob(pattern)
		for _, path := range after {
			if !slices.Contains(before, path) {
				_ = os.Remove(path) // a few bytes
			}
		}
	}
}

// downloadCache is a folder that the account which runs the server can read: root's own is closed.
func downloadCache() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(base, "audittrail", "postgresql")
	return dir, os.MkdirAll(dir, 0o755)
}
