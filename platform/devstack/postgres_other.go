//go:build !unix

package devstack

import (
	"context"
	"errors"
	"os/exec"
)

// Elsewhere than on Unix nothing is started for the user: the flag --postgres.url names a server.
var errUnsupported = errors.New("starting PostgreSQL is not supported on this system: name a running one (postgres.url)")

var errPortTaken = errors.New("the port is taken")

type stopMode int

const (
	stopFast stopMode = iota
	stopImmediate
)

type owner struct{ name string }

func serverOwner() (owner, error) { return owner{}, errUnsupported }

func (owner) supervised(ctx context.Context, _, _, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}
func startSupervised(*exec.Cmd) (func(), error) { return nil, errUnsupported }

func (owner) canEnter(context.Context, string) bool { return false }
func (owner) give(string) error                     { return errUnsupported }

func tryLock(string) (func(), error)                   { return nil, errUnsupported }
func lockFile(context.Context, string) (func(), error) { return nil, errUnsupported }

func (*cluster) evictOrphan(context.Context) error { return errUnsupported }

type server struct{ exited chan struct{} }

func startServer(binaries, owner, *cluster, []string) (*server, error) { return nil, errUnsupported }

func (*server) stop(context.Context, stopMode) error { return errUnsupported }
func (*server) failure() error                       { return errUnsupported }
func (*server) ending() error                        { return errUnsupported }
func (*server) lastLog() string                      { return "" }
