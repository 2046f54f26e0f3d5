// Package dev is `audittrail dev`: all that is needed to look around and to develop against, in one process.
// It starts what the configuration does not name, makes it whole, runs the roles as `serve` does, and says
// what is where.
package dev

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"audittrail/cmd/app"
	"audittrail/platform/console"
	"audittrail/platform/devstack"
)

// Options are what dev is called with.
type Options struct {
	Config  app.Config
	Dir     string // keeps the data between starts
	Fresh   bool   // delete what is kept there first
	Sample  bool   // publish sample traffic
	Started time.Time
	Out     io.Writer // for people
	Log     io.Writer
}

// Run runs until ctx ends or something fails. It leaves no process behind.
func Run(ctx context.Context, opts Options) (err error) {
	setDefaults(&opts.Config)
	folder, err := takeFolder(opts.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	embeds := embedsPostgres(&opts.Config, folder)
	if opts.Fresh {
		if err := folder.Reset(); err != nil {
			return err
		}
	}
	observed, err := app.Observe(ctx, opts.Log, app.Options{Config: opts.Config})
	if err != nil {
		return err
	}
	s := &stack{
		Options: opts, folder: folder, embeds: embeds,
		log: observed.Log, observed: observed, terminal: console.IsTerminal(opts.Out),
	}
	return s.run(ctx)
}

// MakeKeys makes what the folder does not have yet of the issuer's key, the ledger's signing key and their public
// parts, and a key-encryption key; and a new token. A serve that is given these files runs as dev does.
func MakeKeys(opts Options) (err error) {
	folder, err := takeFolder(opts.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	if opts.Fresh {
		if err := folder.Reset(); err != nil {
			return err
		}
	}
	s := &stack{Options: opts, folder: folder}
	return errors.Join(s.issueToken(), s.openLedger(), makeKEK(folder.Path(partKEK)))
}

// takeFolder opens the data folder for this process alone.
func takeFolder(dir string) (*devstack.Folder, error) {
	folder, err := openFolder(dir)
	if errors.Is(err, devstack.ErrFolderInUse) {
		err = errors.Join(err, errors.New("stop it first, or give this one another folder with --data"))
	}
	return folder, err
}

// setDefaults sets what nobody has set: dev listens on this machine only, stops at once, and logs for
// people.
func setDefaults(cfg *app.Config) {
	if !cfg.IsSet("http.addr") {
		cfg.HTTP.Addr = "127.0.0.1:8080"
	}
	if !cfg.IsSet("admin.addr") {
		cfg.Admin.Addr = "127.0.0.1:9090"
	}
	if !cfg.IsSet("shutdown.delay") {
		cfg.Shutdown.Delay = 0 // nobody routes requests here
	}
	if !cfg.IsSet("log.format") {
		cfg.Log.Format = "console"
	}
}

// embedsPostgres says whether the database is to be dev's own: none was given, or the own one of an earlier
// start, as in a shell that was prepared for the commands beside dev.
func embedsPostgres(cfg *app.Config, folder *devstack.Folder) bool {
	if !cfg.IsSet("postgres.url") {
		return true
	}
	own, err := os.ReadFile(folder.Path(partPostgresURL))
	return err == nil && strings.TrimSpace(string(own)) == cfg.Postgres.URL
}
