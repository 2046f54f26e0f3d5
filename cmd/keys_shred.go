package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/erase"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/console"
	"audittrail/platform/logging"
)

func newKeysShredCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "shred --subject S --reason TICKET",
		Short: "Erase a person's sealed values by destroying their key",
		Long: `Shred destroys the key of a subject. Every value that is sealed under it reads {"$erased":true} from then
on, and every proof still holds. It can't be undone. It does what POST /v1/subjects/shred does, by the
databases at postgres.url and encryption.keys_url, and waits until it is done: about 20 seconds, at most
a minute or so. The database login is the principal in the access log. That log's entry is the
certificate.

The subject is what the rule's subject path leads to, such as a customer id, or aggregateType/aggregateId
where the rule names none. It is stored nowhere. The reason is kept for ever, and must not hold it.

--dry-run says what would be reached, and what no erasure reaches, and changes nothing.

--journal carries out what other processes have noted in their encryption.journal, in databases that a
backup has replaced. What is known already is left as it is. It may be repeated.

The login needs the roles audittrail_api, audittrail_maintain and audittrail_owner.`,
		Example: `  audittrail keys shred --subject c-7 --reason DPO-118 --dry-run
  audittrail keys shred --subject c-7 --reason DPO-118
  audittrail keys shred --journal /backup/erasures.journal`,
		Args: cobra.NoArgs,
	}
	f := shredFlags{}
	flags := c.Flags()
	flags.StringVar(&f.subject, "subject", "", "whose values are erased")
	flags.StringVar(&f.reason, "reason", "", "why, such as a ticket")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would be reached, and change nothing")
	flags.StringArrayVar(&f.journals, "journal", nil, "carry out the erasures of this journal; may be repeated")
	f.output = addOutput(c, "text", "json")
	c.MarkFlagsRequiredTogether("subject", "reason")
	c.MarkFlagsOneRequired("subject", "journal")
	c.MarkFlagsMutuallyExclusive("subject", "journal")
	c.MarkFlagsMutuallyExclusive("dry-run", "journal")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.run(c) }
	return c
}

// shredFlags say what is erased.
type shredFlags struct {
	subject, reason string
	dryRun          bool
	journals        []string
	output          *outputFormat
}

func (f *shredFlags) run(c *cobra.Command) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if f.subject != "" {
		if err := cfg.Require("encryption.kek_url"); err != nil {
			return err
		}
	}
	eraser, err := app.NewEraser(c.Context(), cfg, logging.New(c.ErrOrStderr(), cfg.Log))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.Context())
	defer eraser.Close()
	defer cancel() // before Close, which waits
	if f.subject == "" {
		return f.restore(ctx, c, eraser)
	}
	asked := erase.Asked{Subject: f.subject, Reason: f.reason, Principal: eraser.Login}
	if f.dryRun {
		found, err := eraser.Requester.Preview(ctx, asked)
		if err != nil {
			return err
		}
		return f.print(c, erase.PreviewReport(found), printShredPreview)
	}
	id, found, err := eraser.Requester.Request(ctx, asked)
	if err != nil {
		return err
	}
	if found.Key == nil {
		fmt.Fprintln(c.ErrOrStderr(), "the subject has no key: nothing is sealed under it now; records from before this moment will stay closed")
	}
	return f.finish(ctx, c, eraser, id)
}

// finish waits for an erasure, and prints its report.
func (f *shredFlags) finish(ctx context.Context, c *cobra.Command, eraser *app.Eraser, id event.ID) error {
	shred, err := eraser.Service.Finish(ctx, id, func(state store.ShredState) {
		said := map[store.ShredState]string{
			store.ShredRequested: "requested", store.ShredErased: "the key is destroyed; batches that were under way are waited for", store.ShredDone: "done",
		}
		fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", id, said[state])
	})
	if err != nil {
		return fmt.Errorf("erasure %s is not done, and a process with the role maintain goes on with it: %w", id, err)
	}
	report, err := erase.Report(shred)
	if err != nil {
		return err
	}
	return f.print(c, report, printShred)
}

// restore carries out what journals say was done.
func (f *shredFlags) restore(ctx context.Context, c *cobra.Command, eraser *app.Eraser) error {
	var entries []erase.Entry
	for _, path := range f.journals {
		read, err := erase.ReadJournal(path)
		if err != nil {
			return err
		}
		entries = append(entries, read...)
	}
	again, err := eraser.Service.Restore(ctx, entries)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s in the journals, %d of them unknown to the databases and carried out\n",
		console.Counted(int64(len(entries)), "erasure", "erasures"), len(again))
	for _, id := range again {
		if err := f.finish(ctx, c, eraser, id); err != nil {
			return err
		}
	}
	return nil
}

func (f *shredFlags) print(c *cobra.Command, report any, text func(*strings.Builder, any)) error {
	if f.output.value == "json" {
		return console.PrintJSON(c.OutOrStdout(), report)
	}
	var b strings.Builder
	text(&b, report)
	_, err := io.WriteString(c.OutOrStdout(), b.String())
	return err
}

func printShredPreview(b *strings.Builder, report any) {
	p := report.(httpapi.ShredPreview)
	fmt.Fprintf(b, "subject          %s\n", p.Subject)
	if p.KeySince == nil {
		fmt.Fprintln(b, "key              none: nothing is sealed under one")
	} else {
		fmt.Fprintf(b, "key              since %s, for %s\n", *p.KeySince, console.Counted(p.Events, "event", "events"))
	}
	if p.EarlierAt != nil {
		fmt.Fprintf(b, "erased before    %s\n", *p.EarlierAt)
	}
	printBeyond(b, p.Beyond)
}

func printShred(b *strings.Builder, report any) {
	s := report.(httpapi.Shred)
	fmt.Fprintf(b, "erasure          %s\nsubject          %s\n", s.Id, s.Subject)
	if s.ErasedAt != nil {
		fmt.Fprintf(b, "erased           %s\n", *s.ErasedAt)
	}
	if s.EarlierAt != nil {
		fmt.Fprintf(b, "erased before    %s\n", *s.EarlierAt)
	}
	fmt.Fprintf(b, "keys destroyed   %d\nevents           %s\n", len(s.Keys), console.Grouped(s.Events))
	if s.Certificate != nil {
		fmt.Fprintf(b, "certificate      access log, position %d\n", s.Certificate.Position)
	} else {
		fmt.Fprintln(b, "certificate      an entry of the access log, which has no position yet")
	}
	printBeyond(b, s.Beyond)
}

// printBeyond says what no erasure reaches.
func printBeyond(b *strings.Builder, f httpapi.ShredBeyond) {
	fmt.Fprintln(b, "\nNot reached:")
	since := "the keys were made"
	if f.WrappingKeySince != nil {
		since = *f.WrappingKeySince
	}
	fmt.Fprintf(b, "- backups of the keys since %s, until 'audittrail keys rotate --kek' was run and the old key-encryption key is destroyed\n", since)
	if len(f.Topics) > 0 {
		fmt.Fprintf(b, "- records in Kafka, for as long as it keeps them: %s\n", console.Visible(strings.Join(f.Topics, ", ")))
	}
	for _, one := range []struct {
		n    int64
		says string
	}{
		{f.Replays, "replays that sent events elsewhere since"},
		{f.DeadLetters, "dead letters with their value: nobody can tell whose they are; encryption.dead_letter_days ends them"},
		{f.AggregateIds, "events whose aggregateId is the subject itself"},
		{f.UserIds, "events whose userId is the subject itself"},
		{f.Unsealed, "values that were stored open, before there was a rule for them"},
	} {
		if one.n > 0 {
			fmt.Fprintf(b, "- %s %s\n", console.Grouped(one.n), one.says)
		}
	}
	if !f.Complete {
		fmt.Fprintln(b, "- values that were stored open were not all counted: there are many events, or a rule's subject can't be searched")
	}
}
