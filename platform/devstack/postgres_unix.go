//go:build unix

package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"time"
)

// owner is the account that runs the server: our own, but for root, as whom PostgreSQL refuses to run.
type owner struct {
	name     string
	drop     bool // we are root, and become uid and gid
	uid, gid uint32
}

// serverOwner is the account to run the server as.
func serverOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{name: "this account"}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return owner{name: name, drop: true, uid: uint32(uid), gid: uint32(gid)}, nil
		}
	}
	return owner{}, errors.New("PostgreSQL does not run as root, and there is no account postgres or nobody to run it as")
}

// command runs as the account in dir, in a session of its own: Ctrl-C on the terminal is for us, and
// the server is still needed while we put our work down. Nothing of our environment goes along but
// what finding libraries takes: it may hold secrets, or PG* variables that change the server.
func (o owner) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	if libs := os.Getenv("LD_LIBRARY_PATH"); libs != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+libs)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if o.drop {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: o.uid, Gid: o.gid}
	}
	return cmd
}

// canEnter tries it, since modes of all parents, groups and ACLs have a say.
func (o owner) canEnter(ctx context.Context, dir string) bool {
	return o.command(ctx, "/", "/bin/sh", "-c", `cd "$1"`, "sh", dir).Run() == nil
}

// give makes path the account's.
func (o owner) give(path string) error {
	if !o.drop {
		return nil
	}
	return os.Chown(path, int(o.uid), int(o.gid))
}

// tryLock locks a file for this process; the kernel lets go when the process ends, however it does.
func tryLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// lockFile is tryLock that waits.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	for {
		if unlock, err = tryLock(path); err == nil {
			return unlock, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
