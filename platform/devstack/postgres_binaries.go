package devstack

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
)

// oldestPostgres is the oldest major version that we promise to work with.
const oldestPostgres = 15

// binaries is an installation of the PostgreSQL server.
type binaries struct {
	dir     string // holds postgres and initdb
	version string // "15.13"
	major   int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// installations are where packages put the server, by system; most are not on PATH.
func installations() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                   // Red Hat, from the project's packages
		"/usr/libexec/postgresql*",                           // Alpine
		"/usr/local/pgsql/bin",                               // built from source
		"/usr/local/bin",                                     // FreeBSD
		"/opt/homebrew/opt/postgresql@*/bin",                 // macOS on ARM, Homebrew
		"/usr/local/opt/postgresql@*/bin",                    // macOS on Intel, Homebrew
		"/opt/local/lib/postgresql*/bin",                     // MacPorts
		"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
		"/run/current-system/sw/bin",                         // NixOS
	}
}

// findBinaries looks in given, then in the environment variable TEST_POSTGRES_BIN, on PATH, and in
// the usual places, and downloads a server where there is none. Of several it takes the one whose
// major version is that of the data (major, 0 for any), else the newest.
func findBinaries(ctx context.Context, given string, major int, log *slog.Logger) (binaries, error) {
	if given == "" {
		given = os.Getenv("TEST_POSTGRES_BIN")
	}
	if given != "" {
		b, err := inspectBinaries(ctx, given)
		if err != nil {
			return binaries{}, fmt.Errorf("PostgreSQL in %s: %w", given, err)
		}
		return b, nil
	}
	found := installedBinaries(ctx)
	for _, b := range found {
		if b.major == major {
			return b, nil
		}
	}
	if len(found) > 0 {
		return found[0], nil
	}
	return downloadBinaries(ctx, downloadVersion, log)
}

// installedBinaries are all usable installations: the one on PATH first, then newest first.
func installedBinaries(ctx context.Context) []binaries {
	var found []binaries
	for _, pattern := range installations() {
		dirs, _ := filepath.Glob(pattern) // the only error is a malformed pattern
		for _, dir := range dirs {
			if b, err := inspectBinaries(ctx, dir); err == nil {
				found = append(found, b)
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].major > found[j].major })
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if b, err := inspectBinaries(ctx, filepath.Dir(path)); err == nil {
			found = append([]binaries{b}, found...)
		}
	}
	return found
}

// inspectBinaries asks the server in dir for its version.
func inspectBinaries(ctx context.Context, dir string) (binaries, error) {
	b := binaries{dir: dir}
	if _, err := exec.LookPath(b.path("initdb")); err != nil {
		return b, fmt.Errorf("no initdb: %w", err)
	}
	out, err := exec.CommandContext(ctx, b.path("postgres"), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("postgres --version: %w", err)
	}
	m := regexp.MustCompile(`\) (([0-9]+)[^\s]*)`).FindSubmatch(out)
	if m == nil {
		return b, fmt.Errorf("postgres --version said %q", out)
	}
	b.version = string(m[1])
	if b.major, err = strconv.Atoi(string(m[2])); err != nil {
		return b, fmt.Errorf("postgres --version said %q", out)
	}
	if b.major < oldestPostgres {
		return b, fmt.Errorf("version %s is older than %d", b.version, oldestPostgres)
	}
	return b, nil
}
