//go:build unix

package devstack

import (
	"context"
	"io"
	"os"
	"os/exec"
)

// superviseScript becomes the command that it is given, and leaves a watcher behind that reads the
// pipe on standard input. The pipe's other end is ours, so the watcher sees its end when we die,
// however we die, and ends the command; a line means that the command has ended already. The watcher
// is nobody's child, since the postmaster would take an unknown child that fails for a crashed session.
// $1 is what to remove afterwards ("" for nothing), the rest is the command. The wait has a bound,
// because a process whose parent never collects it looks alive for ever.
const superviseScript = `
remove=$1; shift
exec 3<&0 </dev/null
( (
	if read -r line <&3; then exit; fi
	if [ -z "$remove" ]; then kill -INT $$; exit; fi
	kill -QUIT $$
	n=0
	while [ $n -lt 100 ] && [ -e postmaster.pid ] && kill -0 $$; do sleep 0.1 || sleep 1; n=$((n+1)); done
	cd / && rm -rf "$remove"
) >/dev/null 2>&1 & )
exec "$@" 3<&-
`

// supervised is a command that ends when this process does. remove, where it is not empty, is a
// folder that is removed then.
func (o owner) supervised(ctx context.Context, dir, remove, name string, args ...string) *exec.Cmd {
	shell := append([]string{"-c", superviseScript, "audittrail-supervisor", remove, name}, args...)
	return o.command(ctx, dir, "/bin/sh", shell...)
}

// startSupervised starts a supervised command. dismiss MUST be called once it has been waited for.
func startSupervised(cmd *exec.Cmd) (dismiss func(), err error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() // the command has a descriptor of its own
	cmd.Stdin = theirs
	if err := cmd.Start(); err != nil {
		_ = ours.Close() // nobody has read from it
		return nil, err
	}
	return func() {
		_, _ = io.WriteString(ours, "\n") // an error means that there is no watcher left
		_ = ours.Close()
	}, nil
}
