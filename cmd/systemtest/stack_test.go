package systemtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/devstack"
	"audittrail/platform/kafkatest"
)

// partitions of the topic that most tests use.
const partitions = 6

// stack is what one test has of its own: a migrated database and a topic.
type stack struct {
	t       *testing.T
	url     string // of the database, as superuser
	db      *pgxpool.Pool
	brokers []string
	client  *kgo.Client
	topic   string
	group   string
}

// newStack makes a database on the server that all tests share, and a topic.
func newStack(t *testing.T) *stack {
	t.Helper()
	return stackOn(t, migratetest.Database(t))
}

// stackOn makes a topic beside an existing database.
func stackOn(t *testing.T, databaseURL string) *stack {
	t.Helper()
	s := &stack{t: t, url: databaseURL, brokers: brokers(t)}
	var err error
	if s.db, err = pgxpool.New(t.Context(), databaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.db.Close)
	kafka := kafkatest.At(t, s.brokers...)
	s.client = kafka.Client(kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(4<<20))
	s.topic = "orders-" + strings.ToLower(rand.Text()[:8])
	s.group = s.topic
	// A record longer than ingest takes must get through to it.
	longest := strconv.Itoa(4 << 20)
	kafka.CreateTopic(s.topic, partitions, map[string]*string{"max.message.bytes": &longest})
	return s
}

// brokers is a real Kafka, or a simulated one where there is none and this is not CI.
func brokers(t *testing.T) []string {
	t.Helper()
	real := os.Getenv(kafkatest.LibsVariable) != "" || os.Getenv(kafkatest.BrokersVariable) != ""
	if real || os.Getenv("CI") != "" {
		return kafkatest.Shared(t).Brokers
	}
	kafka, err := devstack.StartKafka(t.Context(), devstack.KafkaOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Stop)
	return kafka.Brokers()
}

// ingest starts a process with the ingest role. Flags are put behind the stack's own and win.
func (s *stack) ingest(name string, flags ...string) *program {
	s.t.Helper()
	return s.serve(os.Args[0], name, flags...)
}

// serve is ingest for another binary of the program.
func (s *stack) serve(binary, name string, flags ...string) *program {
	s.t.Helper()
	args := []string{
		"serve", "--roles=ingest", "--postgres.url", s.url, "--kafka.brokers", strings.Join(s.brokers, ","),
		"--kafka.topics", s.topic, "--kafka.group", s.group, "--log.format", "json",
	}
	return startOf(s.t, binary, "", nil, name, append(args, flags...)...)
}

// through gives the database's URL by way of a proxy's address.
func through(t *testing.T, databaseURL, address string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

// next is the sum of the partitions' next offsets: how many records are accounted for.
func (s *stack) next(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest_offsets WHERE topic = $1`, s.topic).Scan(&n)
	return n, err
}

// end is the sum of the topic's end offsets: how many records (and markers) there are.
func (s *stack) end(ctx context.Context) (n int64, err error) {
	offsets, err := kadm.NewClient(s.client).ListEndOffsets(ctx, s.topic)
	if err != nil {
		return 0, err
	}
	offsets.Each(func(o kadm.ListedOffset) {
		n += o.Offset
		if o.Err != nil {
			err = o.Err
		}
	})
	return n, err
}

// caughtUp waits until everything that the topic holds is accounted for.
func (s *stack) caughtUp(within time.Duration, running ...*program) {
	s.t.Helper()
	eventually(s.t, within, "every record is accounted for", func(ctx context.Context) error {
		for _, p := range running {
			p.alive()
		}
		end, err := s.end(ctx)
		if err != nil {
			return err
		}
		next, err := s.next(ctx)
		if err == nil && next != end {
			err = fmt.Errorf("%d of %d records", next, end)
		}
		return err
	})
}

// beyond waits until more records than n are accounted for.
func (s *stack) beyond(n int64, within time.Duration) {
	s.t.Helper()
	eventually(s.t, within, "ingest goes on", func(ctx context.Context) error {
		next, err := s.next(ctx)
		if err == nil && next <= n {
			err = fmt.Errorf("at %d, not beyond %d", next, n)
		}
		return err
	})
}

// one asks the database for one value.
func one[T any](s *stack, sql string, args ...any) T {
	s.t.Helper()
	rows, err := s.db.Query(s.t.Context(), sql, args...)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, sql)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[T])
	if err != nil {
		s.t.Fatalf("%v\n%s", err, sql)
	}
	return value
}

// everyPartitionMoves waits until each partition is further than now.
func (s *stack) everyPartitionMoves(within time.Duration) {
	s.t.Helper()
	now, err := s.perPartition(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, within, "every partition goes on", func(ctx context.Context) error {
		next, err := s.perPartition(ctx)
		if err != nil {
			return err
		}
		for partition := range int32(partitions) {
			if next[partition] <= now[partition] {
				return fmt.Errorf("partition %d stands at %d", partition, next[partition])
			}
		}
		return nil
	})
}

// perPartition is where each partition stands.
func (s *stack) perPartition(ctx context.Context) (map[int32]int64, error) {
	rows, err := s.db.Query(ctx, "SELECT partition, next_offset FROM ingest_offsets WHERE topic = $1", s.topic)
	if err != nil {
		return nil, err
	}
	next := map[int32]int64{}
	var partition int32
	var offset int64
	_, err = pgx.ForEachRow(rows, []any{&partition, &offset}, func() error {
		next[partition] = offset
		return nil
	})
	return next, err
}
