package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"audittrail/modules/ledger"
	"audittrail/modules/notary"
	"audittrail/modules/verify"
	"audittrail/platform/console"
)

// verifyDatabaseHelp is the part of verify's help about --database.
const verifyDatabaseHelp = `With --database it verifies the event store at postgres.url instead of files. It computes the fingerprint
of every row again and compares it with the ledger. It compares the root at each signed size with the
signed one, and event keys, tiles and the accounting of offsets with the rows. It names every event that
was altered, removed, inserted or moved. It needs only the right to read, and ingest may run meanwhile.
A replica that lacks something that was signed is behind its primary or was restored. It is not
verified (exit status 1): wait, or verify the primary.

The database alone can't show that the whole of it was restored to an earlier state. So the notary's
state file (notary.state_file) is compared too if it exists, and so is each signed checkpoint that
--checkpoint names (a file with the answer of GET /v1/ledger/events/checkpoint).

A notary signs within seconds. Somebody who deletes the last checkpoints may rewrite what they covered.
So it is a finding if the entries after the last signature span more than --max-unsigned, from the
oldest to the newest. If a store has no checkpoint and its entries span less, it is not signed yet (exit
status 1). Whoever rewrites entries can rewrite their times too; then only the notary's state file or
a --checkpoint shows it.

Give all keys that the ledger ever had. If only unknown keys have signed a checkpoint, that is a notice
if a later checkpoint covers it, and a finding otherwise. All checkpoints must be of one ledger: that of
the notary's state file; else that of --checkpoint; else that of the keys.

With --output json, --database answers
  {"intact", "complete", "events", "workers", "seconds", "total", "counts": {KIND: N},
   "origin", "stateFile": "compared" | "absent" | "other_origin" | "refused", "outsideCheckpoints": N,
   "logs": [{"log", "size", "signed", "notYetSigned", "unsignedSince", "checkpoints", "complete"}],
   "findings": [{"kind", "log", "eventId", "position", "end", "detail"}],
   "notices": [{"log", "detail"}]}
"complete" is false if the verification ended early, because the connection was lost or it was stopped;
what was found until then is listed. "origin" is the ledger. "stateFile" says whether the notary's state
file was compared ("refused": no given key has signed it). "outsideCheckpoints" is how many checkpoints
from outside the database were compared, including the notary's. "signed" is how many entries a good
checkpoint covers, and "unsignedSince" is when the oldest other entry was recorded. "eventId" is from
the event's row, or from its key if the row is gone. "end" is the position after the last one, if a
finding is about several. KIND is one of log_rolled_back, log_altered, log_unsigned, ledger_gap,
partition_gone, event_altered, event_moved, event_removed, event_inserted, event_unreadable,
key_altered, key_missing, key_without_event, tile_altered, checkpoint_untrusted, checkpoint_gone,
checkpoint_forked, accounting, schema_altered.`

// Flags of verify that only --database uses.
const (
	workersFlag    = "workers"
	findingsFlag   = "findings"
	checkpointFlag = "checkpoint"
	unsignedFlag   = "max-unsigned"
)

func addVerifyDatabaseFlags(c *cobra.Command) {
	c.Flags().Int(workersFlag, 0, "with --database: number of connections that read at once; 0 means one per core")
	c.Flags().Int(findingsFlag, 100, "with --database: how many findings of each kind are listed; all are counted")
	c.Flags().Duration(unsignedFlag, verify.DefaultMaxUnsigned, "with --database: how much time the entries after the last signature may span")
	c.Flags().StringArray(checkpointFlag, nil, "with --database: file with a signed checkpoint that was kept outside the database; may be repeated")
}

// runVerifyDatabase checks the event store at postgres.url against its checkpoints.
func runVerifyDatabase(c *cobra.Command, keys []string, output string) error {
	trusted, err := readVerifierKeys(c.Context(), keys)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if err := cfg.Require("postgres.url"); err != nil {
		return err
	}
	opts := verify.Options{Keys: trusted}
	if err := verifyFlags(c, &opts); err != nil {
		return err
	}
	// The state file is read before the database: a notary that runs may sign meanwhile, so a file read later
	// could be ahead of the snapshot.
	memory, words, err := notaryMemory(cfg.Notary.StateFile, trusted, &opts)
	if err != nil {
		return err
	}
	if memory == memoryAbsent && c.Flags().Changed("notary.state_file") {
		return wrongUsage("--notary.state_file: there is no file %s; leave the flag out to verify without it", cfg.Notary.StateFile)
	}
	db, err := openStore(c, cfg, "verify", readingRole)
	if err != nil {
		return err
	}
	defer db.Close()
	opts.Connect = connecting(db)
	report, failed := verifyWithProgress(c, opts)
	var several *verify.OriginError
	if errors.As(failed, &several) {
		return wrongUsage("--key: %w", failed)
	}
	if report == nil {
		return failed
	}
	if memory == memoryCompared && remembered(opts) && !slices.Contains(report.Outside, stateFileSource) {
		memory, words = memoryRefused, "What the notary's state file ("+cfg.Notary.StateFile+") remembers could not be compared."
	}
	if output == "json" {
		err = console.PrintJSON(c.OutOrStdout(), struct {
			*verify.Report
			StateFile string `json:"stateFile"`
		}{report, memory})
	} else {
		err = printVerification(c.OutOrStdout(), report, words)
	}
	if err != nil {
		err = fmt.Errorf("the report can't be written: %w", err)
	}
	return alsoSaying(err, outcomeOfDatabase(report, failed))
}

// remembered reports whether the notary's state file has checkpoints to compare.
func remembered(opts verify.Options) bool {
	return slices.ContainsFunc(opts.Outside, func(o verify.Outside) bool { return o.Source == stateFileSource })
}

// outcomeOfDatabase returns the error that decides the exit status. Findings outweigh a failure.
func outcomeOfDatabase(report *verify.Report, failed error) error {
	found := console.Counted(report.Total, "finding", "findings")
	switch {
	case report.Total == 0 && failed == nil && report.NotSigned():
		return errors.New("the event store is not signed yet: verify again once a notary has signed it")
	case report.Total == 0:
		return failed
	case failed != nil:
		return &statusError{statusTampering, fmt.Errorf("the event store is not what was signed: %s before the verification ended early: %w", found, failed)}
	}
	return &statusError{statusTampering, fmt.Errorf("the event store is not what was signed: %s", found)}
}

func verifyFlags(c *cobra.Command, opts *verify.Options) (err error) {
	flags := c.Flags()
	if opts.Workers, err = flags.GetInt(workersFlag); err != nil {
		return err
	}
	if opts.Findings, err = flags.GetInt(findingsFlag); err != nil {
		return err
	}
	if opts.Workers < 0 || opts.Workers > 64 {
		return wrongUsage("--workers must be from 0 to 64")
	}
	if opts.Findings < 1 || opts.Findings > 100_000 {
		return wrongUsage("--findings must be from 1 to 100000")
	}
	if opts.MaxUnsigned, err = flags.GetDuration(unsignedFlag); err != nil {
		return err
	}
	if opts.MaxUnsigned <= 0 {
		return wrongUsage("--max-unsigned must be more than 0, as 10m is")
	}
	files, err := flags.GetStringArray(checkpointFlag)
	if err != nil {
		return err
	}
	for _, name := range files {
		text, err := readCheckpointFile(c.Context(), name)
		if err != nil {
			return wrongUsage("--checkpoint: %w", err)
		}
		opts.Outside = append(opts.Outside, verify.Outside{Source: name, Note: text})
	}
	return nil
}

// readCheckpointFile reads a signed checkpoint. A file that is none is wrong usage, and no finding.
func readCheckpointFile(ctx context.Context, name string) ([]byte, error) {
	f, err := console.OpenFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, ledger.MaxCheckpoint+1))
	if err != nil {
		return nil, err
	}
	body, _, signed := bytes.Cut(text, []byte("\n\n"))
	if _, err := ledger.ParseCheckpoint(string(body) + "\n"); err != nil || !signed {
		return nil, fmt.Errorf("%s is no checkpoint: save the answer of GET /v1/ledger/{log}/checkpoint", name)
	}
	return text, nil
}

// Whether the notary's state file was compared.
const (
	memoryCompared = "compared"
	memoryAbsent   = "absent"
	memoryOther    = "other_origin"
	memoryRefused  = "refused"
)

// stateFileSource names the notary's state file in findings.
const stateFileSource = "the notary's state file"

// notaryMemory adds the checkpoints of the notary's state file to opts. It returns whether they are compared, and
// a sentence about that.
func notaryMemory(path string, keys ledger.Keys, opts *verify.Options) (what, words string, err error) {
	const without = "so this can't show whether the whole database was restored to an earlier state"
	state, err := notary.ReadState(path)
	if errors.Is(err, fs.ErrNotExist) {
		if len(opts.Outside) > 0 {
			return memoryAbsent, "The notary's state file is not here (" + path + ").", nil
		}
		return memoryAbsent, "The notary's state file is not here (" + path + "), " + without + ".", nil
	}
	if err != nil {
		return "", "", err
	}
	named := slices.ContainsFunc(keys.IDs(), func(id string) bool {
		return strings.HasPrefix(id, ledger.Events.Origin(state.Origin)+"+") || strings.HasPrefix(id, ledger.Access.Origin(state.Origin)+"+")
	})
	if !named {
		return memoryOther, fmt.Sprintf("The notary's state file (%s) is that of %s, for which no key was given. It was not compared, %s.", path, state.Origin, without), nil
	}
	opts.Origin = state.Origin
	for _, l := range state.Logs {
		if l.Checkpoint != "" {
			opts.Outside = append(opts.Outside, verify.Outside{Source: stateFileSource, Note: []byte(l.Checkpoint), Previous: l.Previous})
		}
	}
	return memoryCompared, "The notary's state file (" + path + ") was compared too.", nil
}

// connecting takes connections out of a pool: they are verify's own, which closes them.
func connecting(db *pgxpool.Pool) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := db.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("connect to postgres.url: %w", err)
		}
		return conn.Hijack(), nil
	}
}

// verifyWithProgress runs a verification and shows its progress on stderr.
func verifyWithProgress(c *cobra.Command, opts verify.Options) (*verify.Report, error) {
	began := time.Now()
	opts.Progress = &verify.Progress{}
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		events := opts.Progress.Events.Load()
		return fmt.Sprintf("%3d %%  verifying: %s events, %s a second", 100*opts.Progress.Done.Load()/max(1, opts.Progress.Tasks.Load()),
			console.Grouped(events), console.Grouped(int64(float64(events)/time.Since(began).Seconds())))
	})
	defer telling.Stop()
	return verify.Run(c.Context(), opts)
}
