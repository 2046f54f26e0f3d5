package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"audittrail/cmd/app"
	"audittrail/modules/migrate"
	"audittrail/modules/sample"
	"audittrail/platform/devstack"
)

const (
	devDatabase   = "audittrail"
	devPartitions = 3
	// devMetadataAge is how soon a topic that somebody makes is ingested. Asking costs nothing here.
	devMetadataAge = time.Second
	devStop        = 15 * time.Second // for PostgreSQL, after all else has stopped
)

// dev is one run of `audittrail dev`.
type dev struct {
	options devOptions
	cfg     app.Config
	folder  *devstack.Folder
	embeds  bool // a PostgreSQL of its own
	log     *slog.Logger
	out     io.Writer

	terminal bool // out is a screen

	kafka    *devstack.Kafka    // nil where another one is used
	postgres *devstack.Postgres // likewise
	token    string             // "" where somebody else issues them
	head     int64              // the last position before this start
}

// run starts what is needed, runs until ctx ends or something fails, and stops all of it again.
func (d *dev) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.stop(ctx)) }()
	if err := d.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // it was asked to stop before it was up
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	listening := make(chan listener, 2)
	group.Go(func() error {
		err := app.Run(ctx, app.Options{Config: d.cfg, Log: d.log, Listening: func(name string, addr net.Addr) {
			listening <- listener{name, addr}
		}})
		if err == nil && ctx.Err() == nil {
			return errors.New("the roles ended by themselves")
		}
		return err
	})
	group.Go(func() error { return d.welcome(ctx, listening) })
	if d.options.sample {
		group.Go(func() error { return d.traffic(ctx) })
	}
	if d.postgres != nil {
		group.Go(func() error { return d.watchPostgres(ctx) })
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
func (d *dev) start(ctx context.Context) error {
	if err := d.checkFolder(); err != nil {
		return err
	}
	if err := d.checkPorts(ctx); err != nil {
		return err
	}
	if err := d.startAll(ctx); err != nil {
		return err
	}
	return d.recordParts()
}

func (d *dev) startAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.startKafka(ctx) })
	group.Go(func() error { return d.startPostgres(ctx) })
	group.Go(d.issueToken)
	group.Go(d.openLedger)
	return group.Wait()
}

func (d *dev) startKafka(ctx context.Context) (err error) {
	if d.cfg.IsSet("kafka.brokers") {
		if !d.cfg.IsSet("kafka.topics") && d.options.sample {
			d.cfg.Kafka.Topics = sample.Topics()
		}
		return d.makeTopics(ctx)
	}
	// kafka.brokers' default port, so that the other commands find the broker without being told.
	d.kafka, err = devstack.StartKafka(ctx, devstack.KafkaOptions{DataDir: d.folder.Path(partKafka), Port: 9092, Log: d.log})
	if err != nil {
		return err
	}
	d.cfg.Kafka.Brokers = d.kafka.Brokers()
	d.cfg.Kafka.TLS.Enabled, d.cfg.Kafka.SASL.Mechanism = false, ""
	if !d.cfg.IsSet("kafka.topics") {
		d.cfg.Kafka.Topics = []string{"^.+"}
	}
	if !d.cfg.IsSet("kafka.metadata_max_age") {
		d.cfg.Kafka.MetadataMaxAge = devMetadataAge
	}
	return d.makeTopics(ctx)
}

// startPostgres brings the database up to the present schema.
func (d *dev) startPostgres(ctx context.Context) (err error) {
	if d.embeds {
		d.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{DataDir: d.folder.Path(partPostgres), Log: d.log})
		if err != nil {
			return err
		}
		d.cfg.Postgres.URL = d.postgres.URL(devDatabase)
		if err := makeDatabase(ctx, d.postgres.URL("postgres")); err != nil {
			return err
		}
	}
	if err := migrate.Up(ctx, migrate.Options{URL: d.cfg.Postgres.URL, Log: d.log}); err != nil {
		return err
	}
	return d.readHead(ctx)
}

// makeDatabase makes dev's database if it is not there.
func makeDatabase(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // what was done is committed
	var there bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, devDatabase).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{devDatabase}.Sanitize())
	}
	if err != nil {
		return fmt.Errorf("make database: %w", err)
	}
	return nil
}

// watchPostgres ends the run when the database does: its data are ours, so nobody else will start it.
func (d *dev) watchPostgres(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.postgres.Exited():
		return fmt.Errorf("PostgreSQL has ended by itself; start again to go on from its data: %w", d.postgres.Failure())
	}
}

// stop ends what start began, the database last.
func (d *dev) stop(ctx context.Context) error {
	if d.kafka != nil {
		d.kafka.Stop()
	}
	if d.postgres == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), devStop)
	defer cancel()
	return d.postgres.Stop(ctx)
}
