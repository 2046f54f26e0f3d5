package cmd

import "github.com/spf13/cobra"

func newVerifyCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify FILE… --key K | --database --key K",
		Short: "Check evidence with nothing but a public key, or the whole database against its checkpoints",
		Long: `Verify checks evidence offline: evidence bundles, as 'audittrail export' and the API's /proof give
them, and C2SP tlog-proof texts. It asks no server, reads no configuration and trusts only the keys
given. It verifies the signature of the checkpoint, computes the fingerprint of every event from what
the file shows, and follows the proof from the fingerprint to the checkpoint. An event that passes was
in the log, exactly as shown and at that position, when the checkpoint was signed.

It also verifies a checkpoint alone, the answer of GET /v1/ledger/{log}/checkpoint. With --since it
verifies that history was not rewritten: --since names a checkpoint or evidence that you kept, and
--consistency a file with the answer of GET /v1/ledger/{log}/consistency?from=N&to=M for the sizes of
the two checkpoints. If it passes, it is the same log, which only grew. Of an export its checkpoint is
compared; an export without a checkpoint does not pass.

An NDJSON export has no proofs. Verify checks that it is complete: its last line is there, and the count
and the SHA-256 in it fit the events. It also checks that a given key has signed the checkpoint in it, and
that no event is later than the checkpoint. This shows that the file is undamaged. It does not show that
it is genuine, since nobody signs the last line: for that, export a bundle.

FILE may be gzip, whatever its name is, and '-' is standard input. --key takes a public key as
'audittrail keys generate' prints it, or the name of a file with keys, one per line. Repeat it for more
keys, for example after a rotation. A file of keys has at most 64 KiB, and at most a hundred keys are
accepted; other files may be larger than memory.

` + verifyDatabaseHelp + `

With --output json, the answer about files is
  {"passed", "proven", "files": [{"file", "status", "form", "error", "log", "entries", "proven",
   "distinct", "checkpoint": {"origin", "size", "root", "signedBy"},
   "grewFrom": {"origin", "size", "root"}, "faultCount",
   "faults": [{"kind", "entry", "index", "eventId", "detail", "keyIds"}]}]}
"status" is proven, complete (an export), not_proven or unreadable. "form" is bundle, tlog-proof, checkpoint
or export. "passed" is true with exit status 0. "grewFrom" is there if --since passed. "kind" is one of
malformed, bad_signature, unknown_key ("keyIds" says which key is missing), wrong_log, bad_entry,
wrong_index, not_included, repeated, not_consistent and, for an export, incomplete, count, hash.

Exit status 0 if everything is proven (an export: complete), 3 if something does not prove what it says (it
was changed, an export or a checkpoint was cut, or it belongs to another key), 1 if something can't be read
or is not JSON, for example a bundle that was cut. If a file can't be read to its end, or the report can't
be written, faults that were found before still count.`,
		Example: `  audittrail verify evidence.json --key audit.example.com/shop/events+5ab3c0de+ATNgq1…
  audittrail verify *.json.gz --key keys.txt --output json | jq '.files[].faults'
  curl -sf "$AUDITTRAIL/v1/events/$ID/proof" -H "Authorization: Bearer $TOKEN" | audittrail verify - --key keys.txt
  audittrail verify today.json --since kept.txt --consistency proof.json --key keys.txt
  audittrail verify --database --key keys.txt --postgres.url "$DATABASE_URL"`,
		Args: cobra.ArbitraryArgs,
	}
	keys := c.Flags().StringArray("key", nil, "public key of the log, or a file that holds keys; may be repeated")
	database := c.Flags().Bool("database", false, "check the event store at postgres.url instead of files")
	addVerifyDatabaseFlags(c)
	addVerifyGrowthFlags(c)
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case len(*keys) == 0:
			return wrongUsage("--key is missing: the log's public key, or the name of a file that holds it")
		case *database && len(args) > 0:
			return wrongUsage("--database checks no files: leave them out, or --database")
		case *database && c.Flags().Changed(sinceFlag):
			return wrongUsage("--database compares with earlier checkpoints that --checkpoint names, not with --since")
		case *database:
			return runVerifyDatabase(c, *keys, output.value)
		case len(args) == 0:
			return wrongUsage("give the files to check, '-' for standard input, or --database")
		}
		for _, name := range []string{workersFlag, findingsFlag, checkpointFlag, unsignedFlag} {
			if c.Flags().Changed(name) {
				return wrongUsage("--%s is for --database; of files it would change nothing", name)
			}
		}
		return runVerifyFiles(c, args, *keys, output.value)
	}
	return c
}
