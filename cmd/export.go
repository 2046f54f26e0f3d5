package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"audittrail/modules/client"
	"audittrail/platform/console"
)

// exportFlags are the flags of `audittrail export`.
type exportFlags struct {
	filterFlags
	format  *outputFormat
	columns string
	out     string
}

func newExportCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write all events that fit, with or without their evidence, into one file",
		Long: `Export asks the API at client.url for all matching events, with the token of client.token, and writes
them as one file. Events must match all filters; without filters it is the whole history.

A bundle is an evidence bundle: each event with the proof that it is in the log, all for one signed
checkpoint. 'audittrail verify' or any other verifier can check it. It is the history up to that
checkpoint: events that are stored while the export runs are not in it.

NDJSON has the same events without proofs, one per line, for other programs to read. Its last line is no
event: {"complete":true,"count":N,"sha256":"…","checkpoint":"…"} shows whether the file is complete and
undamaged. It proves nothing, since nobody signs it.

CSV has the same events as a table for spreadsheets. --columns picks its columns: members of an event, such as
eventType, or paths into them, such as payload.total. Without it all members but the salt are columns. The last
row is one cell: "# " and what NDJSON has as its last line. A text that a spreadsheet could take for a
formula has a ' before it. In pandas: read_csv(FILE, skipfooter=1, engine="python").

If an export of NDJSON or CSV is cut, by a restart of the API or by the network, it continues after the last
event that arrived, and the file is the same as one that was never cut. It gives up if the API sends nothing
more for over two minutes. CSV needs the column eventId for that.

FILE appears under its name when it is complete, and replaces a file of that name. If the name is a link,
it replaces the link's target. A file that may not be written is not changed. Until then there is only a
hidden file beside it that ends in .partial. That is removed if the export fails, or the answer is
incomplete or of another form. If the name ends in .gz, the file is compressed. Standard output gets what
arrives as it arrives: look at the exit status.

Export needs no key and verifies nothing: the server at client.url may answer anything of the right form.
Use 'audittrail verify'.`,
		Example: `  audittrail export --out history.json.gz
  audittrail export --aggregate-type Order --aggregate-id SO-1001 --out SO-1001.json
  audittrail export --event-type PaymentRefunded --from 720h | audittrail verify - --key keys.txt
  audittrail export --format ndjson --from 24h | jq -c 'select(.complete | not) | .payload'
  audittrail export --format csv --columns eventId,timestamp,payload.total,metadata.userId --out orders.csv`,
		Args: cobra.NoArgs,
	}
	var f exportFlags
	f.format = &outputFormat{value: "bundle", formats: []string{"bundle", "ndjson", "csv"}}
	c.Flags().Var(f.format, "format", "form of the file: bundle, ndjson, csv")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(f.format.formats, cobra.ShellCompDirectiveNoFileComp))
	f.add(c, "asc", "asc, or desc for the newest first")
	c.Flags().StringVar(&f.columns, "columns", "", "columns of csv, with commas between them, as eventId,payload.total")
	c.Flags().StringVar(&f.out, "out", "", "file to write; standard output without it, or with -")
	c.RunE = func(c *cobra.Command, _ []string) error { return runExport(c, f) }
	return c
}

func runExport(c *cobra.Command, f exportFlags) error {
	if err := f.checkEmpty(c); err != nil {
		return err
	}
	query, err := f.values(time.Now())
	if err != nil {
		return err
	}
	query.Set("format", f.format.value)
	if f.columns != "" {
		if f.format.value != "csv" {
			return wrongUsage("--columns needs --format csv")
		}
		query.Set("columns", f.columns)
	}
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	api, err := openAPI(c, cfg)
	if err != nil {
		return err
	}
	if f.out == "" || f.out == "-" {
		out := c.OutOrStdout()
		if console.IsTerminal(out) {
			out = &console.JSONWriter{Out: out}
		}
		_, err := download(c, api, query, out)
		return err
	}
	file, err := createExport(f.out)
	if err != nil {
		return err
	}
	got, err := download(c, api, query, file)
	if err != nil {
		return errors.Join(err, file.abort())
	}
	size, err := file.commit()
	if err != nil {
		return err
	}
	holds, isProof := "events", f.format.value == "bundle"
	if isProof {
		holds = "events with their evidence"
	}
	text := fmt.Sprintf("%s %s are in %s (%s)%s\n", console.Grouped(got.events.Load()), holds, console.Visible(f.out), mebibytes(size), got.cuts())
	if isProof {
		text += "Nothing in it was verified yet: audittrail verify " + console.Visible(f.out) + " --key K\n"
	}
	_, err = io.WriteString(c.ErrOrStderr(), text)
	return err
}

// downloaded is how far an export has come.
type downloaded struct{ events, bytes, continued atomic.Int64 }

// cuts says how often it was cut; "" where it never was.
func (d *downloaded) cuts() string {
	n := d.continued.Load()
	if n == 0 {
		return ""
	}
	return "; cut off and continued " + console.Counted(n, "time", "times")
}

// download writes what the API streams, and answers how much that was.
func download(c *cobra.Command, api *client.Client, query url.Values, to io.Writer) (*downloaded, error) {
	var (
		d      downloaded
		events atomic.Int64 // when it was cut last
	)
	events.Store(-1)
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		n := d.events.Load()
		text := fmt.Sprintf("%s events, %s%s", console.Grouped(n), mebibytes(d.bytes.Load()), d.cuts())
		if n == events.Load() {
			text += ", waiting to go on"
		}
		return text
	})
	err := api.Export(c.Context(), query, counting{to, &d.bytes}, client.Watch{
		Each: func() { d.events.Add(1) },
		Again: func(error, time.Duration) {
			d.continued.Add(1)
			events.Store(d.events.Load())
		},
	})
	telling.Stop()
	return &d, ended(c.Context(), err)
}

// ended tells an interrupted export from one that failed.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// counting counts what passes.
type counting struct {
	io.Writer
	bytes *atomic.Int64
}

func (w counting) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.bytes.Add(int64(n))
	return n, err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
