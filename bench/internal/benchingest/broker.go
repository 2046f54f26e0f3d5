package benchingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/sample"
	"audittrail/platform/devstack"
	"audittrail/platform/kafkaserver"
)

// brokerVariable makes a benchmark a simulated broker: in a process of its own, so that its work is not
// taken for that of the ingest process.
const brokerVariable = "BENCH_FAKE_BROKER"

// Broker is the Kafka that events wait in: one that was running, Apache Kafka from its jars, or, where
// the options name neither, a simulated one.
type Broker struct {
	Kind    string // for the report
	brokers []string
	pid     int // 0 where it is not ours
	stop    func() error
}

// StartBroker gives the stage its broker.
func (s *Stage) StartBroker(ctx context.Context) (err error) {
	s.Broker, err = openBroker(ctx, s.opts, s.Dir)
	return err
}

func openBroker(ctx context.Context, opts Options, dir string) (*Broker, error) {
	switch {
	case opts.Brokers != "":
		return &Broker{Kind: "a Kafka that was running", brokers: strings.Split(opts.Brokers, ","),
			stop: func() error { return nil }}, nil
	case opts.Libs != "":
		server, err := kafkaserver.New(ctx, kafkaserver.Options{Libs: opts.Libs, Dir: filepath.Join(dir, "kafka")})
		if err != nil {
			return nil, err
		}
		if err := server.Start(ctx); err != nil {
			return nil, err
		}
		return &Broker{Kind: "Apache Kafka, a process beside", brokers: []string{server.Plain}, pid: server.PID(), stop: server.Kill}, nil
	default:
		return startSimulated(ctx)
	}
}

func startSimulated(ctx context.Context) (*Broker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), brokerVariable+"=1")
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
	return &Broker{Kind: "simulated, a process beside", brokers: []string{address}, pid: cmd.Process.Pid, stop: stop}, nil
}

// ServedBroker is the child's side of a simulated broker. Where this process was started as one it
// serves until its standard input ends and answers the exit status; elsewhere it does nothing. Main
// calls it; TestMain must, since a test's binary stands in for the benchmark's own.
func ServedBroker() (status int, is bool) {
	if os.Getenv(brokerVariable) == "" {
		return 0, false
	}
	if err := serveSimulated(); err != nil {
		fmt.Fprintln(os.Stderr, "simulated broker:", err)
		return 1, true
	}
	return 0, true
}

func serveSimulated() error {
	kafka, err := devstack.StartKafka(context.Background(), devstack.KafkaOptions{})
	if err != nil {
		return err
	}
	defer kafka.Stop()
	fmt.Fprintln(os.Stdout, kafka.Brokers()[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Load makes the topics and fills them. In a Kafka that was running they are made anew.
func (s *Stage) Load(ctx context.Context, topics map[string][]sample.Record) error {
	return s.LoadWith(ctx, topics, func(int) []kgo.RecordHeader { return nil })
}

// LoadWith is Load with headers, by the number of a record in its topic.
func (s *Stage) LoadWith(ctx context.Context, topics map[string][]sample.Record, headers func(i int) []kgo.RecordHeader) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Broker.brokers...), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ProducerLinger(10*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for topic := range topics {
		_, _ = admin.DeleteTopics(ctx, topic) // mostly there is none
	}
	for topic, records := range topics {
		if _, err := admin.CreateTopic(ctx, int32(s.opts.Partitions), 1, nil, topic); err != nil {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
		Progress("publishing %d records to %s", len(records), topic)
		for i, r := range records {
			// Failures are told by Flush's results below.
			client.Produce(ctx, &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: r.At, Headers: headers(i)}, nil)
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

// Unload deletes a topic that is ingested, so that its records take no more memory.
func (s *Stage) Unload(ctx context.Context, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Broker.brokers...))
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kadm.NewClient(client).DeleteTopic(ctx, topic)
	return err
}

// Kafka is how a process is told to ingest a topic of the broker.
func (s *Stage) Kafka(topic string) []string {
	return []string{"--kafka.brokers", strings.Join(s.Broker.brokers, ","), "--kafka.topics", topic, "--kafka.group", "bench-" + strconv.Itoa(s.Server.Made)}
}
