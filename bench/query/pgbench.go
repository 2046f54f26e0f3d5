package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchingest"
)

// mostScripts is how many scripts one pgbench takes.
const mostScripts = 128

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without initial connection time\)`)

// run runs the statements of requests, a transaction a request, with so many clients, under the settings of the API's
// connections. server is PostgreSQL's first process.
func (p *peer) run(ctx context.Context, dir, database string, server, clients int, lasts time.Duration) (benchapi.Reading, error) {
	args := []string{
		"--no-vacuum", "--client", strconv.Itoa(clients), "--jobs", strconv.Itoa(min(clients, 2)),
		"--time", strconv.Itoa(int(max(lasts, time.Second) / time.Second)), "--log", "--log-prefix", "transactions",
	}
	logs, err := os.MkdirTemp(dir, "pgbench-")
	if err != nil {
		return benchapi.Reading{}, err
	}
	defer os.RemoveAll(logs) //nolint:errcheck // goes with the folder above
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, "pgbench", append(append(args, p.args...), database)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = logs, &out, &problems
	options := "-c role=audittrail_api -c search_path=public,pg_temp"
	for name, value := range benchapi.Parameters() {
		options += " -c " + name + "=" + value
	}
	cmd.Env = append(os.Environ(), "PGOPTIONS="+options)
	before := benchingest.FamilyTime(server)
	if err := cmd.Run(); err != nil {
		return benchapi.Reading{}, fmt.Errorf("pgbench: %w\n%s", err, problems.Bytes())
	}
	spent := benchingest.FamilyTime(server) - before
	found := tps.FindSubmatch(out.Bytes())
	if found == nil {
		return benchapi.Reading{}, fmt.Errorf("pgbench tells no rate: %s", out.Bytes())
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return benchapi.Reading{}, err
	}
	took, err := transactions(logs)
	if err != nil {
		return benchapi.Reading{}, err
	}
	got := benchapi.ReadingOf(rate, took)
	got.Spent(benchapi.Spent{Own: (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), Server: spent}, len(took))
	return got, nil
}

// transactions reads how long each transaction took, by the third column of pgbench's logs, in microseconds.
func transactions(dir string) ([]time.Duration, error) {
	files, err := filepath.Glob(filepath.Join(dir, "transactions.*"))
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 3 {
				continue // the last line may be cut
			}
			n, err := strconv.ParseInt(fields[2], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("pgbench's log: %w", err)
			}
			took = append(took, time.Duration(n)*time.Microsecond)
		}
	}
	if len(took) == 0 {
		return nil, errors.New("pgbench logged no transaction")
	}
	return took, nil
}

// peer is what pgbench runs for a kind of requests: a script each.
type peer struct{ args []string }

// preparedScripts is how many scripts there are at most of statements that are prepared: each client prepares those
// of all, and should spend its time on running them.
const preparedScripts = 10

// newPeer writes the scripts. Statements that the API prepares are prepared here too, where all of the kind's are;
// else their text is read each time, as pgbench can't mix the two.
func newPeer(dir, name string, requests [][]statement) (*peer, error) {
	prepared := !slices.ContainsFunc(requests, func(list []statement) bool {
		return slices.ContainsFunc(list, func(s statement) bool { return !s.prepared })
	})
	p := &peer{args: []string{"--protocol=extended"}}
	if prepared {
		p.args = []string{"--protocol=prepared"}
		requests = requests[:min(len(requests), preparedScripts)]
	}
	for i, statements := range requests {
		var script strings.Builder
		for j, s := range statements {
			sql, err := s.literals()
			if prepared {
				sql, err = s.with(func(n int) string { return fmt.Sprintf(":v%d_%d_%d", i, j, n) })
				for n, v := range s.values {
					p.args = append(p.args, "--define", fmt.Sprintf("v%d_%d_%d=%s", i, j, n, v.text))
				}
			}
			if err != nil {
				return nil, err
			}
			script.WriteString(sql + ";\n")
		}
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.sql", name, i))
		if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
			return nil, err
		}
		p.args = append(p.args, "--file", file)
	}
	return p, nil
}
