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
	format *outputFormat
	out    string
}

func newExportCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "export",
		Short: "Write all events that fit, with or without their evidence, into one file",
		Long: `Export asks the API at client.url for all events that fit, with the token of client.token, and writes
them as one file. All filters must fit; without any it is the whole history.

A bundle is an evidence bundle: every event with the proof that it is in the log, all against one signed
checkpoint, for 'audittrail verify' or anybody's own verifier. It is the history as that checkpoint has
it: what is stored while the export runs is not in it.

NDJSON is the same events without their proofs, one a line, for other programs to read. Its last line,
{"complete":true,"count":N,"sha256":"…","checkpoint":"…"}, tells a whole file from a cut or damaged
one; it is no event. It proves nothing: nobody signs it.

FILE appears under its name when it is complete, in place of one that was there; where the name is a
link, in place of what it leads to. A file that may not be written is left alone. Until then there is only
a hidden file beside it that ends in .partial; when the export fails, or what arrived is not whole or of
another form, that is removed. Where the name ends in .gz it is compressed. Standard output gets what
arrives as it arrives: look at the exit status.

Export asks for no key and verifies nothing: whoever answers at client.url may answer anything of the
right form. 'audittrail verify' tells.`,
		Example: `  audittrail export --out history.json.gz
  audittrail export --aggregate-type Order --aggregate-id SO-1001 --out SO-1001.json
  audittrail export --event-type PaymentRefunded --from 720h | audittrail verify - --key keys.txt
  audittrail export --format ndjson --from 24h | jq -c 'select(.complete | not) | .payload'`,
		Args: cobra.NoArgs,
	}
	var f exportFlags
	f.format = &outputFormat{value: "bundle", formats: []string{"bundle", "ndjson"}}
	c.Flags().Var(f.format, "format", "form of the file: bundle, ndjson")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(f.format.formats, cobra.ShellCompDirectiveNoFileComp))
	f.add(c, "asc", "asc, or desc for the newest first")
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
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	api, err := openAPI(c, cfg)
	if err != nil {
		return err
	}
	form := exportForm{client.CopyBundle, "events with their evidence", true}
	if f.format.value == "ndjson" {
		form = exportForm{client.CopyNDJSON, "events", false}
	}
	if f.out == "" || f.out == "-" {
		out := c.OutOrStdout()
		if console.IsTerminal(out) {
			out = &console.JSONWriter{Out: out}
		}
		_, err := download(c, api, query, out, form)
		return err
	}
	file, err := createExport(f.out)
	if err != nil {
		return err
	}
	events, err := download(c, api, query, file, form)
	if err != nil {
		return errors.Join(err, file.abort())
	}
	size, err := file.commit()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s %s are in %s (%s)\n", console.Grouped(events), form.holds, console.Visible(f.out), mebibytes(size))
	if form.proofs {
		text += "Nothing in it was verified yet: audittrail verify " + console.Visible(f.out) + " --key K\n"
	}
	_, err = io.WriteString(c.ErrOrStderr(), text)
	return err
}

// exportForm is how one form of export is told from a part of it.
type exportForm struct {
	copy   func(dst io.Writer, src io.Reader, each func()) error // fails where src is not whole, or not of that form
	holds  string
	proofs bool // there is something to verify
}

// download writes what the API streams, and answers how many events it holds.
func download(c *cobra.Command, api *client.Client, query url.Values, to io.Writer, form exportForm) (int64, error) {
	body, err := api.Open(c.Context(), "/v1/events/export", query)
	if err != nil {
		return 0, ended(c.Context(), err)
	}
	defer body.Close()
	var events, bytes atomic.Int64
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		return fmt.Sprintf("%s events, %s", console.Grouped(events.Load()), mebibytes(bytes.Load()))
	})
	err = form.copy(counting{to, &bytes}, body, func() { events.Add(1) })
	telling.Stop()
	return events.Load(), ended(c.Context(), err)
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
