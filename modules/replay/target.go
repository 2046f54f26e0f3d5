package replay

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"audittrail/modules/httpapi"
	"audittrail/platform/config"
	"audittrail/platform/errs"
)

// Options are the keys below `replay`.
type Options struct {
	Targets []TargetOptions `key:"targets" help:"where replays may write to: a list of {type: kafka, topic}, {type: webhook, url, secret_file, allow_private, ca} and {type: file, folder}, each with maxPerSecond where wanted, and with pii: true where sealed values may go in plain text; secret_file holds what requests are signed with (Standard Webhooks), a secret a line; without the list, any Kafka topic that exists and is neither ingested, nor internal, nor a dead-letter topic"`
}

// TargetOptions are one place to write to.
type TargetOptions struct {
	Type         string  `key:"type"`
	Topic        string  `key:"topic"`
	URL          string  `key:"url"`
	SecretFile   string  `key:"secret_file"`
	AllowPrivate bool    `key:"allow_private"`
	CA           string  `key:"ca"`
	Folder       string  `key:"folder"`
	MaxPerSecond float64 `key:"maxPerSecond"`
	PII          bool    `key:"pii"`
}

// The types of targets.
const (
	typeKafka   = string(httpapi.KafkaTarget)
	typeWebhook = string(httpapi.WebhookTarget)
	typeFile    = string(httpapi.FileTarget)
)

func targetTypes() []string { return []string{typeKafka, typeWebhook, typeFile} }

// Validate reports every key that can't work.
func (o Options) Validate() error {
	var errs []error
	folders := 0
	for i, t := range o.Targets {
		invalid := func(key, text string, args ...any) {
			errs = append(errs, config.Invalid(fmt.Sprintf("targets[%d].%s", i, key), text, args...))
		}
		wanted := map[string]string{typeKafka: t.Topic, typeWebhook: t.URL, typeFile: t.Folder}
		name := map[string]string{typeKafka: "topic", typeWebhook: "url", typeFile: "folder"}
		if _, known := wanted[t.Type]; !known {
			invalid("type", "must be one of: %s", strings.Join(targetTypes(), ", "))
			continue
		}
		if wanted[t.Type] == "" {
			invalid(name[t.Type], "must be given for type %s", t.Type)
		}
		if t.Type == typeFile {
			folders++
		}
		if folders > 1 {
			invalid("type", "must not be file a second time: there is one folder")
		}
		if t.Type == typeWebhook {
			if u, err := url.Parse(t.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
				invalid("url", "must be an https URL without a user and a fragment")
			}
			if t.SecretFile == "" {
				invalid("secret_file", "must be given: requests are signed")
			}
		}
		if t.MaxPerSecond < 0 {
			invalid("maxPerSecond", "must not be negative; 0 is no bound")
		}
	}
	return errors.Join(errs...)
}

// Targets say where replays may write to.
type Targets struct {
	listed   []TargetOptions
	ingested func(topic string) bool
	dlq      string
}

// NewTargets makes Targets of valid options. ingested reports whether ingest reads a topic, by the configuration.
func NewTargets(o Options, ingested func(topic string) bool, dlqSuffix string) *Targets {
	return &Targets{o.Targets, ingested, dlqSuffix}
}

// destination is a target that a replay may write to.
type destination struct {
	kind         string
	topic        string // of Kafka
	folder, file string
	webhook      TargetOptions // its own
	batch        int           // events that a request to it carries at most
	maxPerSecond float64       // 0: no bound
	pii          bool          // sealed values may go there in plain text
}

// key is equal for destinations that are one place.
func (d destination) key() string { return d.kind + ":" + cmp.Or(d.topic, d.file, d.webhook.URL) }

// together is how many events are sent before the progress is stored.
func (d destination) together() int {
	if d.kind == typeWebhook {
		return 4 * lanes * d.batch
	}
	return maxChunk
}

func refused(field, why string) error {
	return errs.New(errs.Unprocessable, "target_refused", "%s", why).InField("target." + field)
}

func refusedIngested() error {
	return refused("topic", "is being ingested: what is sent there would come back as duplicates")
}

func invalid(field, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "invalid_parameter", format, args...).InField(field)
}

// resolve returns the destination of a target, or why a replay must not write there.
func (t *Targets) resolve(target httpapi.ReplayTarget) (destination, error) {
	topic, name, address := textOf(target.Topic), textOf(target.Name), textOf(target.Url)
	wanted := map[string]string{typeKafka: "topic", typeWebhook: "url", typeFile: "name"}[string(target.Type)]
	for _, given := range []struct{ field, text string }{{"topic", topic}, {"name", name}, {"url", address}} {
		if (given.field == wanted) != (given.text != "") {
			return destination{}, invalid("target."+given.field, "a target of type %s has the member %s", target.Type, wanted)
		}
	}
	if target.Batch != nil && string(target.Type) != typeWebhook {
		return destination{}, invalid("target.batch", "is of a target of type %s", typeWebhook)
	}
	switch string(target.Type) {
	case typeFile:
		return t.file(name)
	case typeWebhook:
		return t.webhook(address, target.Batch)
	default:
		return t.kafka(topic)
	}
}

func (t *Targets) kafka(topic string) (destination, error) {
	d := destination{kind: typeKafka, topic: topic}
	switch {
	case strings.HasPrefix(topic, "__"):
		return d, refused("topic", "is internal to Kafka")
	case strings.HasSuffix(topic, t.dlq):
		return d, refused("topic", "is a dead-letter topic")
	case t.ingested(topic):
		return d, refusedIngested()
	case t.listed == nil && strings.HasPrefix(topic, "_"):
		return d, refused("topic", "begins with an underscore, as topics of Kafka's tools do (_schemas): add it to replay.targets if it is none of them")
	case t.listed == nil:
		return d, nil
	}
	for _, l := range t.listed {
		if l.Type == typeKafka && l.Topic == topic {
			d.maxPerSecond, d.pii = l.MaxPerSecond, l.PII
			return d, nil
		}
	}
	return d, refused("topic", "is not allowed: add it to replay.targets")
}

func (t *Targets) webhook(address string, batch *int32) (destination, error) {
	d := destination{kind: typeWebhook, batch: 1}
	if batch != nil {
		d.batch = int(*batch)
	}
	for _, l := range t.listed {
		if l.Type == typeWebhook && l.URL == address {
			d.webhook, d.maxPerSecond, d.pii = l, l.MaxPerSecond, l.PII
			return d, nil
		}
	}
	return d, refused("url", "is not allowed: add it to replay.targets")
}

func (t *Targets) file(name string) (destination, error) {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return destination{}, refused("name", "must be the name of a file, without a folder and without a dot at its beginning")
	}
	for _, l := range t.listed {
		if l.Type == typeFile {
			return destination{kind: typeFile, folder: l.Folder, file: name, maxPerSecond: l.MaxPerSecond, pii: l.PII}, nil
		}
	}
	return destination{}, refused("name", "is not allowed: replay.targets has no target of type file, which says in which folder files are")
}

func textOf(given *string) string {
	if given == nil {
		return ""
	}
	return *given
}
