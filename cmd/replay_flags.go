package cmd

import (
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// replayFlags say what is sent, where, and how fast.
type replayFlags struct {
	filterFlags
	topic, webhook, file, reason string
	sealed                       string
	batch                        int
	maxPerSecond, timeScale      float64
	until, confirm               int64
	output                       *outputFormat
}

func (f *replayFlags) add(c *cobra.Command) {
	f.filterFlags.add(c, "asc", "")
	flags := c.Flags()
	_ = flags.MarkHidden("order") // events are sent in the order of their positions
	flags.StringVar(&f.topic, "to-topic", "", "send to this Kafka topic")
	flags.StringVar(&f.webhook, "to-webhook", "", "send to this URL, one of replay.targets")
	flags.StringVar(&f.file, "to-file", "", "write a file of this name, on the machine of the role replay; .gz compresses it")
	flags.IntVar(&f.batch, "batch", 0, "events that a request to the webhook carries at most")
	flags.Float64Var(&f.maxPerSecond, "max-per-second", 0, "at most so many events a second")
	flags.Float64Var(&f.timeScale, "time-scale", 0, "the rhythm of the events' timestamps, so many times as fast")
	flags.Int64Var(&f.until, "until", 0, "the last position; without it, the log's end now")
	flags.StringVar(&f.sealed, "sealed", "", "placeholder: send placeholders in place of sealed values; without it they are sent open, or the replay is refused")
	c.MarkFlagsMutuallyExclusive("to-topic", "to-webhook", "to-file")
	c.MarkFlagsOneRequired("to-topic", "to-webhook", "to-file")
	c.MarkFlagsMutuallyExclusive("max-per-second", "time-scale")
	f.output = addOutput(c, "text", "json")
}

// body is the request.
func (f *replayFlags) body(c *cobra.Command, dryRun bool) (jsontext.Value, error) {
	if err := f.checkEmpty(c); err != nil {
		return nil, err
	}
	if f.sealed != "" && f.sealed != "placeholder" {
		return nil, wrongUsage("--sealed must be placeholder")
	}
	query, err := f.values(time.Now())
	if err != nil {
		return nil, err
	}
	query.Del("order")
	body := map[string]any{"reason": f.reason, "target": f.target(), "dryRun": dryRun}
	if len(query) > 0 {
		if body["filter"], err = filterBody(query); err != nil {
			return nil, err
		}
	}
	if f.maxPerSecond > 0 {
		body["speed"] = map[string]any{"maxPerSecond": f.maxPerSecond}
	}
	if f.timeScale > 0 {
		body["speed"] = map[string]any{"timeScale": f.timeScale}
	}
	if f.sealed != "" {
		body["sealed"] = f.sealed
	}
	if c.Flags().Changed("until") {
		body["until"] = f.until
	}
	if c.Flags().Changed("confirm") {
		body["confirmCount"] = f.confirm
	}
	return json.Marshal(body, json.Deterministic(true))
}

func (f *replayFlags) target() map[string]any {
	switch {
	case f.topic != "":
		return map[string]any{"type": "kafka", "topic": f.topic}
	case f.file != "":
		return map[string]any{"type": "file", "name": f.file}
	}
	target := map[string]any{"type": "webhook", "url": f.webhook}
	if f.batch > 0 {
		target["batch"] = f.batch
	}
	return target
}

// filterBody is a search's parameters as a body has them.
func filterBody(query url.Values) (map[string]any, error) {
	filter := map[string]any{}
	for name, values := range query {
		switch name {
		case "eventType":
			filter[name] = values
		case "payload":
			payload := jsontext.Value(values[0])
			if !payload.IsValid() {
				return nil, wrongUsage("--payload must be JSON")
			}
			filter[name] = payload
		default:
			filter[name] = values[0]
		}
	}
	return filter, nil
}
