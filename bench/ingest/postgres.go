package main

import (
	"context"
	_ "embed"
	"fmt"
	"os/exec"

	"audittrail/bench/internal/benchdb"
)

// briefSchema is the table that the brief asks for, with its indexes.
//
//go:embed brief.sql
var briefSchema string

// database is the server that everything is measured on, and the client that ingest is measured against.
type database struct {
	*benchdb.Server
	psql string
}

func startPostgres(ctx context.Context) (*database, error) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		return nil, fmt.Errorf("psql is what ingest is measured against: %w", err)
	}
	server, err := benchdb.Start(ctx)
	if err != nil {
		return nil, err
	}
	return &database{server, psql}, nil
}
