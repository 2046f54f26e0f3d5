package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"audittrail/cmd/app"
	"audittrail/modules/migrate"
	"audittrail/modules/replay"
	"audittrail/modules/sample"
	"audittrail/modules/store"
	"audittrail/platform/devstack"
	"audittrail/platform/postgres"
)

const (
	databaseName = "audittrail"
	// metadataAge is how soon a topic that somebody makes is ingested. Asking costs nothing here.
	metadataAge = time.Second
	stopLimit   = 15 * time.Second // for PostgreSQL, after all else has stopped
)

// stack is one run of `audittrail dev`.
type stack struct {
	Options
	folder *devstack.Folder
	embeds bool // a PostgreSQL of its own
	log    *slog.Logger

	observed app.Options // with the log, and what is sent by OTLP

	terminal bool // Out is a screen

	kafka    *devstack.Kafka    // nil where another one is used
	postgres *devstack.Postgres // likewise
	db       *pgxpool.Pool      // nil before the database is up
	token    string             // "" where somebody else issues them
	head     int64              // the last position before this start
}

// run starts what is needed, runs until ctx ends or something fails, and stops all of it again.
func (s *stack) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.stop(ctx)) }()
	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it was asked to stop before it was up
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	listening := make(chan listener, 2)
	group.Go(func() error {
		o := s.observed
		o.Config, o.Listening = s.Config, func(name string, addr net.Addr) { listening <- listener{name, addr} }
		err := app.Run(ctx, o)
		if err == nil && ctx.Err() == nil {
			return errors.New("the roles ended by themselves")
		}
		return err
	})
	group.Go(func() error { return s.welcome(ctx, listening) })
	if s.Sample {
		group.Go(func() error { return s.traffic(ctx) })
	}
	if s.postgres != nil {
		group.Go(func() error { return s.watchPostgres(ctx) })
	}
	return group.Wait()
}

// listener is an address that is up.
type listener struct {
	name string
	addr net.Addr
}

// start brings up broker and database side by side, and makes the configuration whole. What can be found
// out at once comes before.
func (s *stack) start(ctx context.Context) error {
	if err := s.checkFolder(); err != nil {
		return err
	}
	if err := s.checkPorts(ctx); err != nil {
		return err
	}
	if err := s.startAll(ctx); err != nil {
		return err
	}
	return s.recordParts()
}

func (s *stack) startAll(ctx context.Context) error {
	if err := s.allowFiles(); err != nil {
		return err
	}
	if !s.Config.IsSet("encryption.journal") {
		s.Config.Encryption.Journal = s.folder.Path(partJournal)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.startKafka(ctx) })
	group.Go(func() error { return s.startPostgres(ctx) })
	group.Go(s.issueToken)
	group.Go(s.openLedger)
	return group.Wait()
}

// allowFiles lets replays write files into the data folder. Every topic of the embedded broker is ingested, so none is a
// target.
func (s *stack) allowFiles() error {
	if s.Config.IsSet("replay.targets") || s.Config.IsSet("kafka.brokers") {
		return nil
	}
	folder := s.folder.Path("replays")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("folder for replays: %w", err)
	}
	s.Config.Replay.Targets = []replay.TargetOptions{{Type: "file", Folder: folder}}
	return nil
}

func (s *stack) startKafka(ctx context.Context) (err error) {
	if s.Config.IsSet("kafka.brokers") {
		if !s.Config.IsSet("kafka.topics") && s.Sample {
			s.Config.Kafka.Topics = sample.Topics()
		}
		return s.makeTopics(ctx)
	}
	// kafka.brokers' default port, so that the other commands find the broker without being told.
	s.kafka, err = devstack.StartKafka(ctx, devstack.KafkaOptions{DataDir: s.folder.Path(partKafka), Port: 9092, Log: s.log})
	if err != nil {
		return err
	}
	s.Config.Kafka.Brokers = s.kafka.Brokers()
	s.Config.Kafka.TLS.Enabled, s.Config.Kafka.SASL.Mechanism = false, ""
	if !s.Config.IsSet("kafka.topics") {
		s.Config.Kafka.Topics = []string{"^.+"}
	}
	if !s.Config.IsSet("kafka.metadata_max_age") {
		s.Config.Kafka.MetadataMaxAge = metadataAge
	}
	return s.makeTopics(ctx)
}

// startPostgres brings the database up to the present schema.
func (s *stack) startPostgres(ctx context.Context) (err error) {
	if s.embeds {
		s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{DataDir: s.folder.Path(partPostgres), Log: s.log})
		if err != nil {
			return err
		}
		s.Config.Postgres.URL = s.postgres.URL(databaseName)
		if err := makeDatabase(ctx, s.postgres.URL("postgres")); err != nil {
			return err
		}
	}
	if err := migrate.Up(ctx, migrate.Options{URL: s.Config.Postgres.URL, Log: s.log}); err != nil {
		return err
	}
	s.db, err = postgres.Open(ctx, postgres.PoolOptions{URL: s.Config.Postgres.URL, Name: "dev", MaxConns: 1})
	if err != nil {
		return err
	}
	s.head, err = store.NewReader(store.ReaderOptions{Pool: s.db}).Head(ctx) // the first new event is behind it
	return err
}

// makeDatabase makes dev's database if it is not there.
func makeDatabase(ctx context.Context, url string) error {
	conn, err := postgres.Connect(ctx, postgres.PoolOptions{URL: url, Name: "dev"})
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // what was done is committed
	var there bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, databaseName).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{databaseName}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	return nil
}

// watchPostgres ends the run when the database does: its data are ours, so nobody else will start it.
func (s *stack) watchPostgres(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.postgres.Exited():
		return fmt.Errorf("PostgreSQL has ended by itself; start again to go on from its data: %w", s.postgres.Failure())
	}
}

// stop ends what start began, the database last.
func (s *stack) stop(ctx context.Context) error {
	if s.kafka != nil {
		s.kafka.Stop()
	}
	if s.db != nil {
		s.db.Close()
	}
	if s.postgres == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return s.postgres.Stop(ctx)
}
