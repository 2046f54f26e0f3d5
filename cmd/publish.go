package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/publish"
	"audittrail/platform/console"
	"audittrail/platform/logging"
)

// publishGrace is how long an interrupted publish waits for what it has sent.
const publishGrace = 10 * time.Second

// maxPartitions bounds --create. A broker takes what it is told and makes each partition, so that a slip of
// the finger could use up its memory; a topic that needs more than this is made with Kafka's own tools.
const maxPartitions = 10_000

func newPublishCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "publish FILE --topic T | --check",
		Short: "Send a file of events to Kafka: NDJSON, plain or gzip",
		Long: `Publish sends each line of FILE as one record to a Kafka topic, keyed by the event's aggregateId, so
that the events of an aggregate stay in order. FILE may be gzip, whatever its name is, and '-' is
standard input. A line that is not a JSON object with an aggregateId is sent unchanged and without a
key. Publish counts such lines; ingest makes them dead letters. Publish skips blank lines.

All in-sync replicas acknowledge each record, and retries neither lose nor double a record. If a line is
longer than the topic's max.message.bytes, or Kafka refuses it, the command ends with an error that
names the line. On Ctrl-C publish waits for the records under way and prints how many lines it sent. You
may publish a file again: ingest counts the events that are stored already as duplicates.

--check sends nothing and needs no Kafka. It checks each line as ingest would, by ingest.max_depth,
ingest.max_record_bytes and ingest.max_future. It prints the field and the reason for each line that
ingest would refuse, and the number of good lines. The exit status is 1 if it refused a line. It does
not check whether an event's id is taken, or whether the topic would take the line.`,
		Example: `  audittrail publish orders.jsonl.gz --topic orders --create 6
  audittrail publish orders.jsonl.gz --check
  zcat *.gz | audittrail publish - --topic orders --kafka.brokers k1:9092`,
		Args: cobra.ExactArgs(1),
	}
	topic := c.Flags().String("topic", "", "topic to send to")
	create := c.Flags().Int32("create", 0, "make the topic with this many partitions if it does not exist")
	check := c.Flags().Bool("check", false, "say which lines are events, and send nothing")
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *topic == "" && !*check {
			return wrongUsage("--topic is missing")
		}
		if c.Flags().Changed("create") && (*create < 1 || *create > maxPartitions) {
			return wrongUsage("--create must be a number of partitions, from 1 to %d", maxPartitions)
		}
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		if *check {
			return checkFile(c, cfg, args[0], output.value == "json")
		}
		p := publication{file: args[0], topic: *topic, create: *create, asJSON: output.value == "json", started: time.Now()}
		return p.run(c, cfg)
	}
	return c
}

// publication is one call of the command.
type publication struct {
	file, topic string
	create      int32
	asJSON      bool
	started     time.Time
	source      *console.Source
}

func (p *publication) run(c *cobra.Command, cfg app.Config) (err error) {
	ctx := c.Context()
	if p.source, err = console.OpenInput(ctx, p.file, c.InOrStdin()); err != nil {
		return err
	}
	defer p.source.Close() //nolint:errcheck // it was only read
	log := logging.New(c.ErrOrStderr(), cfg.Log)
	topic, err := publish.FindTopic(ctx, cfg.Kafka, log, p.topic, p.create)
	if err != nil {
		return err
	}
	client, err := topic.NewClient(cfg.Kafka, log)
	if err != nil {
		return err
	}
	defer client.Close()
	lines := publish.New(client, publish.Options{Topic: p.topic, MaxBytes: topic.MaxLine(), Grace: publishGrace})
	telling := console.StartProgress(c.ErrOrStderr(), func() string { return p.line(lines.Progress()) })
	err = lines.Run(ctx, p.source)
	telling.Stop()
	return errors.Join(p.outcome(err), p.summary(c.OutOrStdout(), lines.Progress(), err))
}

// outcome says in the command's words what went wrong.
func (p *publication) outcome(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", p.file, err)
	}
	return nil
}

// line is the progress in words.
func (p *publication) line(at publish.Progress) string {
	text := fmt.Sprintf("%s records, %s/s", console.Grouped(at.Acknowledged), console.Grouped(int64(p.rate(at))))
	if share := p.source.Share(); share >= 0 {
		return fmt.Sprintf("%3.0f %%  %s", 100*share, text)
	}
	return text
}

func (p *publication) rate(at publish.Progress) float64 {
	return float64(at.Acknowledged) / max(time.Since(p.started).Seconds(), 0.001)
}

// summary prints what was done, also of a run that failed: Acknowledged is certain.
func (p *publication) summary(w io.Writer, at publish.Progress, failed error) error {
	if p.asJSON {
		return console.PrintJSON(w, struct {
			Topic string `json:"topic"`
			publish.Progress
			Seconds  float64 `json:"seconds"`
			Rate     float64 `json:"recordsPerSecond"`
			Complete bool    `json:"complete"`
		}{p.topic, at, time.Since(p.started).Seconds(), p.rate(at), failed == nil})
	}
	text := fmt.Sprintf("%s in topic %s (%s/s)", console.Counted(at.Acknowledged, "record is", "records are"), p.topic, console.Grouped(int64(p.rate(at))))
	if at.Others > 0 {
		text += fmt.Sprintf("; %s sent without a key", console.Counted(at.Others, "line was no event and was", "lines were no events and were"))
	}
	if at.Blank > 0 {
		text += fmt.Sprintf("; %s skipped", console.Counted(at.Blank, "blank line was", "blank lines were"))
	}
	if failed != nil {
		text += fmt.Sprintf("; stopped after line %s", console.Grouped(at.Lines))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
