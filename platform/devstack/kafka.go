package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

// KafkaOptions say what kind of broker StartKafka starts.
type KafkaOptions struct {
	// DataDir keeps topics, records, offsets and consumer groups between starts; it is made where it
	// does not exist, and MUST NOT be used by two processes at once. Empty: all is in memory.
	DataDir string

	// Port on 127.0.0.1 that is wanted; where it is taken or 0 any free one.
	Port int

	// Log may be nil.
	Log *slog.Logger
}

// Kafka is a single broker inside this process (franz-go's kfake), for local work and tests: it speaks
// the protocol, with groups and transactions, on 127.0.0.1 alone and without credentials.
//
// What DataDir keeps: a record is on disk, by fsync, before it is acknowledged, so that offsets never
// fall behind what a reader has stored elsewhere; topics keep their ids. After Stop all of it is
// there. After a SIGKILL everything acknowledged is there too, at the price of a slower start;
// transactions that were open are aborted. A start reads all segments once: some 0.3 s a GB.
type Kafka struct {
	cluster *kfake.Cluster
	addrs   []string
}

// StartKafka starts a broker and returns once it takes connections.
func StartKafka(ctx context.Context, opts KafkaOptions) (*Kafka, error) {
	log := opts.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID("audittrail-dev"), kfake.WithLogger(kafkaLogger{log})}
	if opts.DataDir != "" {
		if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("start the embedded broker: %w", err)
		}
		options = append(options, kfake.DataDir(opts.DataDir), kfake.SyncWrites())
	}
	options = append(options, kfake.ListenFn(listenNear(ctx, opts.Port)))
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	k := &Kafka{cluster: cluster, addrs: cluster.ListenAddrs()}
	log.Info("embedded broker started", "brokers", k.addrs, "data", opts.DataDir)
	return k, nil
}

// listenNear listens on the wanted port of 127.0.0.1, or on any that is free where it is taken.
func listenNear(ctx context.Context, want int) func(network, address string) (net.Listener, error) {
	return func(network, _ string) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(want)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return new(net.ListenConfig).Listen(ctx, network, "127.0.0.1:0")
		}
		return l, err
	}
}

// Brokers are the addresses to connect to.
func (k *Kafka) Brokers() []string { return k.addrs }

// Stop writes the broker's state to its data folder and ends it. Clients MUST be closed before, since
// what they send meanwhile is refused. It must be called once.
func (k *Kafka) Stop() { k.cluster.Close() }

// kafkaLogger hands on the broker's warnings; all else is its private matter.
type kafkaLogger struct{ log *slog.Logger }

func (l kafkaLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}
