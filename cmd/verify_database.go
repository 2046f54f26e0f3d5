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

// verifyDatabaseHelp is what verify's help says of --database.
const verifyDatabaseHelp = `With --database it checks the event store at postgres.url instead of files: it computes the fingerprint
of every row anew, and compares it with the ledger; the roots at all sizes that were ever signed with
the signed ones; event keys, tiles and the accounting of offsets with the rows. It names every event
that was altered, removed, inserted or moved. It may run while ingest does, and needs no more than the
right to read. A replica that lacks what was signed is behind, or put back, and is not verified (exit
status 1): wait, or verify the primary.

Only what is kept outside of the database can tell that the whole of it was put back to an earlier
state: the notary's memory (notary.state_file) is compared too where it exists, and so is each signed
checkpoint that --checkpoint names (as GET /v1/ledger/events/checkpoint gives it).

A notary signs within seconds, and whoever removes the last checkpoints may rewrite what they covered.
So it is a finding if the entries behind the last signature span more than --max-unsigned, from the
oldest of them to the newest. A store without any checkpoint whose entries span less is not signed yet,
which is exit status 1. Who rewrites entries can rewrite their times, too: only the notary's memory
or a --checkpoint tells then.

Give all keys that the ledger ever had: what others alone have signed is a notice where a later
checkpoint covers it, and a finding elsewhere. All checkpoints must be of one ledger: that of the
notary's memory; else that of --checkpoint; else that of the keys.

With --output json, --database answers
  {"intact", "complete", "events", "workers", "seconds", "total", "counts": {KIND: N},
   "origin", "stateFile": "compared" | "absent" | "other_origin" | "refused", "outsideCheckpoints": N,
   "logs": [{"log", "size", "signed", "notYetSigned", "unsignedSince", "checkpoints", "complete"}],
   "findings": [{"kind", "log", "eventId", "position", "end", "detail"}],
   "notices": [{"log", "detail"}]}
where "complete" is false if the verification had to end early (the connection was lost, or it was
stopped; what was found until then is listed), "origin" is the ledger, "stateFile" what became of the
notary's memory ("refused": no given key has signed it), "outsideCheckpoints" how many checkpoints from
outside of the database were compared, the notary's included, "signed" is how many entries a good
checkpoint covers, "unsignedSince" when the oldest other one was recorded, "eventId" is what the event's
row says, or its key where the row is gone, "end" is behind the last position where a finding is of
several, and KIND is one of log_rolled_back, log_altered, log_unsigned, ledger_gap, partition_gone,
event_altered, event_moved, event_removed, event_inserted, event_unreadable, key_altered, key_missing,
key_without_event, tile_altered, checkpoint_untrusted, checkpoint_gone, checkpoint_forked, accounting,
schema_altered.`

// Flags of verify that --database alone has a use for.
const (
	workersFlag    = "workers"
	findingsFlag   = "findings"
	checkpointFlag = "checkpoint"
	unsignedFlag   = "max-unsigned"
)

func addVerifyDatabaseFlags(c *cobra.Command) {
	c.Flags().Int(workersFlag, 0, "with --database: connections that read at once; 0 for as many as there are cores")
	c.Flags().Int(findingsFlag, 100, "with --database: how many findings of each kind are listed; all are counted")
	c.Flags().Duration(unsignedFlag, verify.DefaultMaxUnsigned, "with --database: how much time the entries may span that are not signed yet")
	c.Flags().StringArray(checkpointFlag, nil, "with --database: file with a signed checkpoint that was kept elsewhere; may be repeated")
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
	// Before the database is looked at: a running notary's file may be ahead of what was read before.
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

// remembered says whether the notary's memory has anything to compare.
func remembered(opts verify.Options) bool {
	return slices.ContainsFunc(opts.Outside, func(o verify.Outside) bool { return o.Source == stateFileSource })
}

// outcomeOfDatabase is the exit status. What was found weighs more than that something failed.
func outcomeOfDatabase(report *verify.Report, failed error) error {
	switch {
	case report.Total == 0 && failed == nil && report.NotSigned():
		return errors.New("the event store is not signed yet: verify again once a notary has signed it")
	case report.Total == 0:
		return failed
	case failed != nil:
		return &statusError{statusTampering, fmt.Errorf("the event store is not what was signed: %s before the verification had to end: %w", countedFindings(report.Total), failed)}
	}
	return &statusError{statusTampering, fmt.Errorf("the event store is not what was signed: %s", countedFindings(report.Total))}
}

func countedFindings(n int64) string {
	if n == 1 {
		return "1 finding"
	}
	return console.Grouped(n) + " findings"
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

// readCheckpointFile reads a signed note. Who gives another file has mistaken it, and nothing is found by it.
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
		return nil, fmt.Errorf("%s is no checkpoint as GET /v1/ledger/{log}/checkpoint answers it", name)
	}
	return text, nil
}

// What became of the notary's memory.
const (
	memoryCompared = "compared"
	memoryAbsent   = "absent"
	memoryOther    = "other_origin"
	memoryRefused  = "refused"
)

// stateFileSource is the notary's memory in findings.
const stateFileSource = "the notary's state file"

// notaryMemory adds what the notary remembers, and says what became of that, also in words.
func notaryMemory(path string, keys ledger.Keys, opts *verify.Options) (what, words string, err error) {
	const without = "so it can't be told from the database alone whether all of it was put back to an earlier state"
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
		return memoryOther, fmt.Sprintf("The notary's state file (%s) is that of %s, for which no key was given; it was left aside, %s.", path, state.Origin, without), nil
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

// verifyWithProgress runs it and tells on stderr how far it has come.
func verifyWithProgress(c *cobra.Command, opts verify.Options) (*verify.Report, error) {
	states := make(chan verify.Progress, 1)
	opts.Progress = func(p verify.Progress) {
		select {
		case <-states: // one that nobody has seen is out of date
		default:
		}
		select {
		case states <- p:
		default: // another worker was quicker
		}
	}
	var state verify.Progress
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		select {
		case state = <-states:
		default:
		}
		text := fmt.Sprintf("%3d %%  %s: %s events, %s a second", state.Percent, state.Phase, console.Grouped(state.Events), console.Grouped(int64(state.Rate)))
		if state.Left > 0 {
			text += fmt.Sprintf(", about %s left", state.Left.Round(time.Second))
		}
		return text
	})
	defer telling.Stop()
	return verify.Run(c.Context(), opts)
}
