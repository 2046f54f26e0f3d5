package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/sample"
	"audittrail/platform/devstack"
	"audittrail/platform/kafkaserver"
)

// The topics of the benchmark.
const (
	topicAll     = "bench-orders"
	topicRepeats = "bench-orders-repeated"
)

// fakeBrokerVariable makes this program a simulated broker: in a process of its own, so that its work
// is not taken for that of the ingest process.
const fakeBrokerVariable = "BENCH_FAKE_BROKER"

// broker is the Kafka that events wait in.
type broker struct {
	kind    string
	brokers []string
	pid     int // 0 where it is not ours
	stop    func() error
}

func openBroker(ctx context.Context, opts options, dir string) (*broker, error) {
	switch {
	case opts.brokers != "":
		return &broker{kind: "a Kafka that was running", brokers: strings.Split(opts.brokers, ","),
			stop: func() error { return nil }}, nil
	case opts.libs != "":
		server, err := kafkaserver.New(ctx, kafkaserver.Options{Libs: opts.libs, Dir: filepath.Join(dir, "kafka")})
		if err != nil {
			return nil, err
		}
		if err := server.Start(ctx); err != nil {
			return nil, err
		}
		return &broker{kind: "Apache Kafka, a process beside", brokers: []string{server.Plain}, pid: server.PID(), stop: server.Kill}, nil
	default:
		return startFakeBroker(ctx)
	}
}

func startFakeBroker(ctx context.Context) (*broker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), fakeBrokerVariable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end is the child's signal to end
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error { return errors.Join(stdin.Close(), cmd.Wait()) }
	var address string
	if _, err := fmt.Fscanln(stdout, &address); err != nil {
		return nil, errors.Join(fmt.Errorf("simulated broker: %w", err), stop())
	}
	return &broker{kind: "simulated, a process beside", brokers: []string{address}, pid: cmd.Process.Pid, stop: stop}, nil
}

// serveFakeBroker is the child's side of startFakeBroker.
func serveFakeBroker() error {
	kafka, err := devstack.StartKafka(context.Background(), devstack.KafkaOptions{})
	if err != nil {
		return err
	}
	defer kafka.Stop()
	fmt.Fprintln(os.Stdout, kafka.Brokers()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func (k *broker) close() error { return k.stop() }

// load makes the topics and fills them. In a Kafka that was running they are made anew.
func (k *broker) load(ctx context.Context, w *workload, partitions int32) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.brokers...), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ProducerLinger(10*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	_, _ = admin.DeleteTopics(ctx, topicAll, topicRepeats) // mostly there are none
	for topic, records := range map[string][]sample.Record{topicAll: w.records, topicRepeats: w.halfDuplicates()} {
		if _, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
		progress("publishing %d records to %s", len(records), topic)
		for _, r := range records {
			// Failures are told by Flush's results below.
			client.Produce(ctx, &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: r.At}, nil)
		}
		if err := client.Flush(ctx); err != nil {
			return err
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		var waiting int64
		ends.Each(func(o kadm.ListedOffset) { waiting += o.Offset })
		if waiting != int64(len(records)) {
			return fmt.Errorf("%s holds %d of %d records", topic, waiting, len(records))
		}
	}
	return nil
}
