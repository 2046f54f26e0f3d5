package cmd

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"audittrail/cmd/app"
)

// sameSignal is how long another signal counts as the first one: timeout(1) and process managers send
// one to the process and one to its group, and nobody means that as an order to end untidily.
const sameSignal = 500 * time.Millisecond

// errInterrupted is the cause of a context that somebody at a terminal has ended.
var errInterrupted = errors.New("interrupted")

// stopSignals are the signals that ask the program to stop in good order. A terminal that is closed hangs
// up; under nohup, which has that ignored, the program is meant to go on. `serve` takes SIGHUP for
// something else: see reloadSignal.
func stopSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// stopContext returns a context that the first signal ends, with app.ErrTerminated as its cause if that is
// SIGTERM. From a moment later on each signal has its default effect, which ends the process at once.
// There is one for the whole process, and its goroutine lives as long.
func stopContext() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	got := make(chan os.Signal, 1)
	signal.Notify(got, stopSignals()...)
	go func() {
		cause := errInterrupted
		if <-got == syscall.SIGTERM {
			cause = app.ErrTerminated
		}
		cancel(cause)
		time.AfterFunc(sameSignal, func() { signal.Stop(got) })
	}()
	return ctx
}

// reloadSignal takes SIGHUP away from stopContext: from now on it asks for a reload, by the channel, also
// while the program stops. Daemons are told to reload that way, and `serve` is one. The other commands end
// with the terminal that they were started in.
func reloadSignal() (hangup <-chan os.Signal, release func()) {
	signal.Ignore(syscall.SIGHUP) // undoes stopContext's Notify, with no moment at which the signal ends the process
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}
