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
	"strconv"
	"strings"
	"time"

	"audittrail/bench/internal/benchingest"
)

// mostScripts is how many scripts one pgbench takes.
const mostScripts = 128

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without initial connection time\)`)

// pgbench runs the statements of requests, a transaction a request, with so many clients, under the settings of the
// API's connections. server is PostgreSQL's first process. The protocol is the extended one: statements are planned each time, as the reader's are.
func pgbench(ctx context.Context, dir, database string, server int, scripts []string, clients int, lasts time.Duration) (reading, error) {
	args := []string{
		"--no-vacuum", "--protocol=extended", "--client", strconv.Itoa(clients), "--jobs", strconv.Itoa(min(clients, 2)),
		"--time", strconv.Itoa(int(max(lasts, time.Second) / time.Second)), "--log", "--log-prefix", "transactions",
	}
	for _, script := range scripts {
		args = append(args, "--file", script)
	}
	logs, err := os.MkdirTemp(dir, "pgbench-")
	if err != nil {
		return reading{}, err
	}
	defer os.RemoveAll(logs) //nolint:errcheck // goes with the folder above
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, "pgbench", append(args, database)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = logs, &out, &problems
	options := "-c role=audittrail_api -c search_path=public,pg_temp"
	for name, value := range parameters() {
		options += " -c " + name + "=" + value
	}
	cmd.Env = append(os.Environ(), "PGOPTIONS="+options)
	before := benchingest.FamilyTime(server)
	if err := cmd.Run(); err != nil {
		return reading{}, fmt.Errorf("pgbench: %w\n%s", err, problems.Bytes())
	}
	spent := benchingest.FamilyTime(server) - before
	found := tps.FindSubmatch(out.Bytes())
	if found == nil {
		return reading{}, fmt.Errorf("pgbench tells no rate: %s", out.Bytes())
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		return reading{}, err
	}
	took, err := transactions(logs)
	if err != nil {
		return reading{}, err
	}
	got := readingOf(rate, took)
	got.spent((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), spent, len(took))
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

// writeScripts writes a script for each request, and answers their names.
func writeScripts(dir, name string, requests [][]string) ([]string, error) {
	var files []string
	for i, statements := range requests[:min(len(requests), mostScripts)] {
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.sql", name, i))
		if err := os.WriteFile(file, []byte(strings.Join(statements, ";\n")+";\n"), 0o600); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
