// Command replay measures how fast the role replay sends stored events to a Kafka topic, against a plain program that
// consumes the same records from one topic and produces them into another, on the same machine and broker. It also
// replays at a bounded rate, and says how well the rate is kept. bench/README.md has the method.
//
//	TEST_KAFKA_LIBS=$(.ci/kafka/libs) go run ./bench/replay
//
// It belongs to no release.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/event"
	"audittrail/modules/migrate"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/replay"
	"audittrail/modules/sample"
	"audittrail/modules/store"
	"audittrail/platform/devstack"
	"audittrail/platform/kafka"
	"audittrail/platform/kafkaserver"
)

type options struct {
	events, rounds int
	file, libs     string
	rate           float64
	lasts          time.Duration
	profile        string
}

func main() { os.Exit(benchingest.Main("bench/replay", parse, run)) }

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench/replay", flag.ContinueOnError)
	flags.IntVar(&o.events, "events", 166_193, "how many events, where --file names none")
	flags.StringVar(&o.file, "file", "", "NDJSON of events, plain or gzip")
	flags.IntVar(&o.rounds, "rounds", 3, "how often both sides are measured, in turns")
	flags.StringVar(&o.libs, "kafka-libs", os.Getenv("TEST_KAFKA_LIBS"), "folder of Apache Kafka's jars; a simulated broker where it is empty")
	flags.Float64Var(&o.rate, "rate", 500, "events a second of the bounded replay")
	flags.DurationVar(&o.lasts, "time", time.Minute, "how long the bounded replay takes")
	flags.StringVar(&o.profile, "cpuprofile", "", "file for a CPU profile of the last unbounded replay")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.events < 1 || o.rounds < 1 || o.rate <= 0 || o.lasts <= 0 {
		return o, errors.New("--events, --rounds, --rate and --time must be more than 0")
	}
	return o, nil
}

// bench is what all measurements share.
type bench struct {
	records []sample.Record
	brokers []string
	url     string // of the database
	pool    *pgxpool.Pool
	role    *replay.Role
	jobs    *store.Replays
	head    int64
}

const (
	partitions = 3
	source     = "source"
)

func run(ctx context.Context, o options, out io.Writer) (err error) {
	b := &bench{}
	if o.file != "" {
		b.records, err = benchdb.File(o.file)
	} else {
		b.records = benchdb.Orders(o.events)
	}
	if err != nil {
		return err
	}
	kind, stop, err := b.startKafka(ctx, o.libs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	server, err := benchdb.Start(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if b.url, _, err = server.Fresh(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	defer b.pool.Close()
	_, _ = fmt.Fprintf(out, "%d events, %s, %d rounds\n", b.head+1, kind, o.rounds)
	var whole, steady []float64
	for round := range o.rounds {
		plain, err := b.copy(ctx, fmt.Sprint("copy-", round))
		if err != nil {
			return err
		}
		stop, err := profile(o.profile)
		if err != nil {
			return err
		}
		ours, err := b.replay(ctx, fmt.Sprint("replay-", round), b.head, `{}`)
		if err = errors.Join(err, stop()); err != nil {
			return err
		}
		whole, steady = append(whole, ours.whole/plain.whole), append(steady, ours.steady/plain.steady)
		_, _ = fmt.Fprintf(out, "round %d: plain copy %v, replay %v, ratio %.2f (%.2f)\n", round+1, plain, ours, ours.whole/plain.whole, ours.steady/plain.steady)
	}
	_, _ = fmt.Fprintf(out, "median: ratio %.2f of the whole, %.2f without the start (goal: 0.7)\n", benchdb.Median(whole), benchdb.Median(steady))
	until := min(b.head, int64(o.rate*o.lasts.Seconds())-1)
	bounded, err := b.replay(ctx, "bounded", until, fmt.Sprintf(`{"maxPerSecond":%v}`, o.rate))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "bounded: %v where %.2f were wanted, %.2f %% off without the start (goal: 2 %%)\n", bounded, o.rate, 100*math.Abs(bounded.steady-o.rate)/o.rate)
	return nil
}

// startKafka starts a broker, and loads the source topic.
func (b *bench) startKafka(ctx context.Context, libs string) (kind string, stop func() error, err error) {
	if libs == "" {
		simulated, err := devstack.StartKafka(ctx, devstack.KafkaOptions{})
		if err != nil {
			return "", nil, err
		}
		b.brokers = simulated.Brokers()
		return "a simulated Kafka in the same process", func() error { simulated.Stop(); return nil }, b.load(ctx)
	}
	dir, err := os.MkdirTemp("", "bench-replay-")
	if err != nil {
		return "", nil, err
	}
	server, err := kafkaserver.New(ctx, kafkaserver.Options{Libs: libs, Dir: dir})
	if err == nil {
		err = server.Start(ctx)
	}
	if err != nil {
		return "", nil, err
	}
	b.brokers = []string{server.Plain}
	return "Apache Kafka, a process beside", func() error { return errors.Join(server.Kill(), os.RemoveAll(dir)) }, b.load(ctx)
}

func (b *bench) client(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.brokers...), kgo.MetadataMinAge(100 * time.Millisecond)}, more...)...)
}

func (b *bench) makeTopic(ctx context.Context, name string) error {
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = kafka.CreateTopic(ctx, client, name, partitions, nil)
	return err
}

func (b *bench) load(ctx context.Context) error {
	if err := b.makeTopic(ctx, source); err != nil {
		return err
	}
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.Close()
	var failed error
	for _, r := range b.records {
		client.Produce(ctx, &kgo.Record{Topic: source, Key: r.Key, Value: r.Value}, func(_ *kgo.Record, err error) { failed = errors.Join(failed, err) })
	}
	return errors.Join(client.Flush(ctx), failed)
}

// fill stores the events.
func (b *bench) fill(ctx context.Context) error {
	if err := migrate.Up(ctx, migrate.Options{URL: b.url}); err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(b.url)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["jit"], config.ConnConfig.RuntimeParams["max_parallel_workers_per_gather"] = "off", "0"
	if b.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	appender := store.NewAppender(store.AppenderOptions{Pool: b.pool})
	at := store.Partition{TopicID: event.TopicID{1}, Topic: source}
	if _, err := appender.EnsureOffsets(ctx, []store.PartitionStart{{Partition: at}}); err != nil {
		return err
	}
	const together = 4000
	for first := 0; first < len(b.records); first += together {
		part := b.records[first:min(first+together, len(b.records))]
		batch := store.Batch{Ranges: []store.Range{{Partition: at, From: int64(first), To: int64(first + len(part)), LeaderEpoch: -1}}}
		for i, r := range part {
			decoded, rejected := event.Decode(event.Raw{Coordinates: event.Coordinates{TopicID: at.TopicID, Topic: source, Offset: int64(first + i)}, Key: r.Key, Value: r.Value})
			var valid event.Valid
			if rejected == nil {
				valid, rejected = decoded.Validate(event.DefaultRules(), time.Now())
			}
			if rejected != nil {
				batch.Rejected = append(batch.Rejected, *rejected)
				continue
			}
			batch.Events = append(batch.Events, protecttest.Seal(valid))
		}
		if _, err := appender.Append(ctx, batch); err != nil {
			return err
		}
	}
	reader := store.NewReader(store.ReaderOptions{Pool: b.pool})
	if b.head, err = reader.Head(ctx); err != nil {
		return err
	}
	b.jobs = store.NewReplays(b.pool)
	b.role, err = replay.New(replay.Dependencies{
		Jobs: store.NewReplayWork(b.pool, replay.Lease), Reader: reader,
		Targets: replay.NewTargets(replay.Options{}, func(string) bool { return false }, ".dlq"),
		Kafka:   kafka.Options{Brokers: b.brokers, MetadataMaxAge: time.Minute}, MaxRecordBytes: 1 << 20, Log: slog.New(slog.DiscardHandler),
	})
	return err
}

// speed is events a second.
type speed struct {
	whole  float64 // from the start of the program to its end
	steady float64 // from when the first events were sent
}

func (s speed) String() string {
	return fmt.Sprintf("%.1f events/s (%.1f without the start)", s.whole, s.steady)
}

// speedOf is that of n events since begun, of which some were sent at a time.
func speedOf(n int64, begun time.Time, some int64, at time.Time) speed {
	return speed{float64(n) / time.Since(begun).Seconds(), float64(n-some) / time.Since(at).Seconds()}
}

// profile records where the CPU's time goes until stop is called, if there is a file for that.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return func() error { pprof.StopCPUProfile(); return file.Close() }, pprof.StartCPUProfile(file)
}

// copy consumes the source and produces into a topic as a plain program does.
func (b *bench) copy(ctx context.Context, topic string) (speed, error) {
	if err := b.makeTopic(ctx, topic); err != nil {
		return speed{}, err
	}
	begun := time.Now()
	client, err := b.client(kgo.ConsumeTopics(source), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return speed{}, err
	}
	defer client.Close()
	var (
		failed error
		first  time.Time
	)
	for n := 0; n < len(b.records); {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return speed{}, err
		}
		if first.IsZero() {
			first = time.Now()
		}
		for _, r := range fetches.Records() {
			n++
			client.Produce(ctx, &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}, func(_ *kgo.Record, err error) { failed = errors.Join(failed, err) })
		}
	}
	err = errors.Join(client.Flush(ctx), failed)
	return speedOf(int64(len(b.records)), begun, 0, first), err
}

// replay runs one job to its end, from the start of the role on.
func (b *bench) replay(ctx context.Context, topic string, until int64, asked string) (speed, error) {
	if err := b.makeTopic(ctx, topic); err != nil {
		return speed{}, err
	}
	ctx = store.WithScope(ctx, store.Everything())
	made, err := b.jobs.Create(ctx, store.NewReplay{
		CreatedBy: "bench", Reason: "bench", Filter: []byte("{}"), Target: fmt.Appendf(nil, `{"type":"kafka","topic":%q}`, topic), TargetKey: topic,
		Speed: []byte(asked), Until: until, Total: until + 1,
	})
	if err != nil {
		return speed{}, err
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	begun := time.Now()
	go func() { ended <- b.role.Run(running, func() {}) }()
	defer func() {
		cancel()
		<-ended //nolint:errcheck // the role ends without an error when it is stopped
	}()
	var (
		some int64
		at   time.Time
	)
	for look := time.NewTicker(5 * time.Millisecond); ; <-look.C {
		now, err := b.jobs.Get(ctx, made.ID)
		switch {
		case err != nil:
			return speed{}, err
		case now.State == store.ReplayCompleted:
			return speedOf(now.Sent, begun, some, at), nil
		case now.State == store.ReplayFailed:
			return speed{}, errors.New("the replay failed: " + now.Error)
		case at.IsZero() && now.Sent > 0:
			some, at = now.Sent, time.Now()
		}
	}
}
