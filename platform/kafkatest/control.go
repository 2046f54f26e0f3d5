package kafkatest

import (
	"context"
	"os"
	"syscall"

	"audittrail/platform/kafkaserver"
)

// The methods here fail the test when they do not succeed. They are for brokers from Start.

// Kill ends the broker at once and keeps its data. Start brings it back.
func (k *Kafka) Kill() { k.must("kill", k.own().Kill) }

// Stop ends the broker in order and keeps its data. Start brings it back.
func (k *Kafka) Stop() { k.must("stop", k.own().Stop) }

// Start runs the broker again after Kill or Stop, on the same addresses, and waits until it serves
// all its partitions: about 4 seconds after Stop, 6 after Kill.
func (k *Kafka) Start() {
	k.must("start", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return k.own().Start(ctx)
	})
}

// Pause makes the broker hang: connections stay open, nothing is answered.
func (k *Kafka) Pause() { k.signal(syscall.SIGSTOP) }

// Resume lets a paused broker go on.
func (k *Kafka) Resume() { k.signal(syscall.SIGCONT) }

func (k *Kafka) signal(sig os.Signal) {
	k.must(sig.String(), func() error { return k.own().Signal(sig) })
}

func (k *Kafka) own() *kafkaserver.Server {
	if k.server == nil {
		k.t.Helper()
		k.t.Fatal("this Kafka is not the test's own: use kafkatest.Start")
	}
	return k.server
}

func (k *Kafka) must(what string, do func() error) {
	k.t.Helper()
	if err := do(); err != nil {
		k.t.Fatalf("%s kafka: %v", what, err)
	}
}
