package devstack

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is fetched where the machine has no server.
const downloadVersion = embedded.V17

// downloadBinaries fetches a server into this user's cache, once. The library has no call for only
// that, so it is asked to start one on a data folder that can't be: it fetches, unpacks, and fails
// before it runs anything. That also serves root, whom initdb would refuse.
func downloadBinaries(ctx context.Context, log *slog.Logger) (binaries, error) {
	cache, err := downloadCache()
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL found, and no place to download one to: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return binaries{}, err
	}
	defer unlock()
	dir := filepath.Join(cache, string(downloadVersion))
	if b, err := inspectBinaries(ctx, filepath.Join(dir, "bin")); err == nil {
		return b, nil
	}
	log.Info("no PostgreSQL on this machine: downloading one", "version", downloadVersion, "to", dir)
	fetchErr := fetch(ctx, cache, dir)
	b, err := inspectBinaries(ctx, filepath.Join(dir, "bin"))
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL %d or newer on this machine (set TEST_POSTGRES_BIN to the folder of one), "+
			"and the download failed: %w", oldestPostgres, fetchErr)
	}
	return b, nil
}

func fetch(ctx context.Context, cache, dir string) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	config := embedded.DefaultConfig().Version(downloadVersion).Port(uint32(port)).
		CachePath(cache).BinariesPath(dir).RuntimePath(filepath.Join(cache, "runtime")).
		DataPath(filepath.Join(os.DevNull, "data")).Logger(io.Discard)
	if url := os.Getenv("TEST_POSTGRES_REPOSITORY"); url != "" {
		config = config.BinaryRepositoryURL(url)
	}
	return embedded.NewDatabase(config).Start()
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
