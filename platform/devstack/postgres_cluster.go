package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// superuser is the only account of a fresh server.
const superuser = "postgres"

// closedHome is where the data go when the account that must run the server can't enter the folder
// that was asked for (root's own, mostly).
const closedHome = "/var/lib/audittrail"

// cluster is the server's folder: data, password and log. An open one is locked against other
// processes, so that a server that still runs in it is known to be an orphan.
//
//	<home>/postgres.lock        held while open
//	<home>/postgres.password    mode 0600: other accounts of this machine reach the port, too
//	<location>/cluster          the data, the server's own
//	<location>/postgres.log     of the present start
//
// location is home, but where the server's account can't get into home.
type cluster struct {
	home, location, data string
	password             string
	version              int // major version of the data; 0 before initdb
	temporary            bool
	owner                owner
	unlock               func()
}

// openCluster finds or makes the folder and reads what is there. Where dir is empty it makes one in the first of the
// temporary folders that the server's account can enter.
func openCluster(ctx context.Context, dir string, o owner, temporary []string) (*cluster, error) {
	if dir == "" {
		return temporaryCluster(ctx, o, temporary)
	}
	home, err := abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	unlock, err := tryLock(filepath.Join(home, "postgres.lock"))
	if err != nil {
		return nil, fmt.Errorf("data folder %s is used by another process: %w", home, err)
	}
	c := &cluster{home: home, location: home, owner: o, unlock: unlock}
	if !o.canEnter(ctx, home) {
		id := sha256.Sum256([]byte(home))
		c.location = filepath.Join(closedHome, fmt.Sprintf("postgres-%x", id[:8]))
		if err := os.MkdirAll(c.location, 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("data folder: %w", err), c.close())
		}
	}
	c.data = filepath.Join(c.location, "cluster")
	if err := c.load(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// temporaryFolders returns where temporary data may be. Data that need not be durable are kept in memory where there is
// room and TMPDIR names no other place: a test's database is made and dropped ten times as fast there.
func temporaryFolders(fast bool) []string {
	folders := []string{os.TempDir(), "/tmp", "/var/tmp"}
	if memory := inMemory(); fast && memory != "" && os.Getenv("TMPDIR") == "" {
		folders = append([]string{memory}, folders...)
	}
	return folders
}

func temporaryCluster(ctx context.Context, o owner, folders []string) (*cluster, error) {
	var last error
	for _, base := range folders {
		if !o.canEnter(ctx, base) {
			last = fmt.Errorf("%s is closed to %s", base, o.name)
			continue
		}
		home, err := os.MkdirTemp(base, "audittrail-postgres-")
		if err != nil {
			last = err
			continue
		}
		c := &cluster{home: home, location: home, data: filepath.Join(home, "cluster"), temporary: true, owner: o, unlock: func() {}}
		// The folder is the server's own, so that what watches over it can remove it.
		if err := errors.Join(os.Chmod(home, 0o755), o.give(home)); err != nil {
			return nil, errors.Join(err, c.close())
		}
		return c, nil
	}
	return nil, fmt.Errorf("temporary folder: %w", last)
}

// close gives the folder free, and removes it where it is temporary.
func (c *cluster) close() error {
	c.unlock()
	c.unlock = func() {}
	if c.temporary {
		return os.RemoveAll(c.home)
	}
	return nil
}

func (c *cluster) passwordFile() string { return filepath.Join(c.home, "postgres.password") }
func (c *cluster) logFile() string      { return filepath.Join(c.location, "postgres.log") }

// load reads the data's version and the password.
func (c *cluster) load() error {
	version, err := os.ReadFile(filepath.Join(c.data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if c.version, err = strconv.Atoi(strings.TrimSpace(string(version))); err != nil {
		return fmt.Errorf("data folder %s: PG_VERSION says %q", c.data, bytes.TrimSpace(version))
	}
	password, err := os.ReadFile(c.passwordFile())
	if errors.Is(err, os.ErrNotExist) && c.location != c.home {
		c.version = 0 // home was removed and made anew: what is left elsewhere was part of it
		return nil
	}
	if err != nil {
		return fmt.Errorf("the password of the data in %s: %w", c.data, err)
	}
	c.password = string(password)
	return nil
}

// check refuses data that another major version of the server wrote.
func (c *cluster) check(b binaries) error {
	if c.version == 0 || c.version == b.major {
		return nil
	}
	return fmt.Errorf("the data in %s were written by PostgreSQL %d, and %s has %s: "+
		"install version %d, or begin with an empty folder", c.data, c.version, b.dir, b.version, c.version)
}

// initialise runs initdb where there are no data yet. It works aside and renames, so that a start
// that is killed half-way leaves nothing that looks like data.
func (c *cluster) initialise(ctx context.Context, b binaries, opts PostgresOptions) error {
	if c.version != 0 {
		return nil
	}
	aside := filepath.Join(c.location, "cluster.new")
	c.password = rand.Text()
	if opts.Follows != nil {
		c.password = opts.Follows.cluster.password
	}
	if err := errors.Join(os.RemoveAll(c.data), os.RemoveAll(aside)); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := errors.Join(os.Mkdir(aside, 0o700), c.owner.give(aside)); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	var err error
	if opts.Follows != nil {
		// -R has the copy follow the server that it is of.
		err = c.run(ctx, b.path("pg_basebackup"), "-D", aside, "-d", opts.Follows.URL("postgres"), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	} else {
		err = c.initdb(ctx, b, aside, opts.Fast)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.passwordFile(), []byte(c.password), 0o600); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := os.Rename(aside, c.data); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	c.version = b.major
	return nil
}

func (c *cluster) initdb(ctx context.Context, b binaries, dir string, fast bool) error {
	passwordFile := filepath.Join(c.location, "initdb.password")
	if err := os.WriteFile(passwordFile, []byte(c.password), 0o600); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	defer os.Remove(passwordFile) //nolint:errcheck // it holds what postgres.password holds
	if err := c.owner.give(passwordFile); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	args := []string{"-D", dir, "-U", superuser, "--pwfile=" + passwordFile, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C"}
	if fast {
		args = append(args, "--no-sync")
	}
	return c.run(ctx, b.path("initdb"), args...)
}

// run runs a program that makes the data.
func (c *cluster) run(ctx context.Context, program string, args ...string) error {
	remove := ""
	if c.temporary {
		remove = c.home
	}
	var out bytes.Buffer
	cmd := c.owner.supervised(ctx, c.location, remove, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	dismiss, err := startSupervised(cmd)
	if err != nil {
		return fmt.Errorf("run %s as %s: %w", program, c.owner.name, err)
	}
	defer dismiss()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, lastLine(out.Bytes()))
	}
	return nil
}

// lastLine is the last line of a program's output that says something.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
