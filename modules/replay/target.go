package replay

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"audittrail/modules/httpapi"
	"audittrail/platform/config"
	"audittrail/platform/errs"
)

// Options are the keys below `replay`.
type Options struct {
	Targets []TargetOptions `key:"targets" help:"where replays may write to: a list of {type: kafka, topic} and {type: file, folder}, each with maxPerSecond where wanted; without it, any Kafka topic that exists and is neither ingested, nor internal, nor a dead-letter topic"`
}

// TargetOptions are one place to write to.
type TargetOptions struct {
	Type         string  `key:"type"`
	Topic        string  `key:"topic"`
	Folder       string  `key:"folder"`
	MaxPerSecond float64 `key:"maxPerSecond"`
}

// The types of targets.
const (
	typeKafka = string(httpapi.KafkaTarget)
	typeFile  = string(httpapi.FileTarget)
)

func targetTypes() []string { return []string{typeKafka, typeFile} }

// Validate reports every key that can't work.
func (o Options) Validate() error {
	var errs []error
	folders := 0
	for i, t := range o.Targets {
		invalid := func(key, text string, args ...any) {
			errs = append(errs, config.Invalid(fmt.Sprintf("targets[%d].%s", i, key), text, args...))
		}
		wanted := map[string]string{typeKafka: t.Topic, typeFile: t.Folder}
		name := map[string]string{typeKafka: "topic", typeFile: "folder"}
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
	maxPerSecond float64 // 0: no bound
}

// key is equal for destinations that are one place.
func (d destination) key() string { return d.kind + ":" + cmp.Or(d.topic, d.file) }

func refused(field, format string, args ...any) error {
	return errs.New(errs.Unprocessable, "target_refused", format, args...).InField("target." + field)
}

func refusedIngested() error {
	return refused("topic", "is being ingested: what is sent there would come back as duplicates")
}

func invalid(field, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "invalid_parameter", format, args...).InField(field)
}

// resolve returns the destination of a target, or why a replay must not write there.
func (t *Targets) resolve(target httpapi.ReplayTarget) (destination, error) {
	topic, name := textOf(target.Topic), textOf(target.Name)
	for field, text := range map[string]string{"topic": topic, "name": name} {
		if wanted := map[string]string{typeKafka: "topic", typeFile: "name"}[string(target.Type)]; (field == wanted) != (text != "") {
			return destination{}, invalid("target."+field, "a target of type %s has the member %s", target.Type, wanted)
		}
	}
	if string(target.Type) == typeFile {
		return t.file(name)
	}
	return t.kafka(topic)
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
	case t.listed == nil:
		return d, nil
	}
	for _, l := range t.listed {
		if l.Type == typeKafka && l.Topic == topic {
			d.maxPerSecond = l.MaxPerSecond
			return d, nil
		}
	}
	return d, refused("topic", "is not allowed: add it to replay.targets")
}

func (t *Targets) file(name string) (destination, error) {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return destination{}, refused("name", "must be the name of a file, without a folder and without a dot at its beginning")
	}
	for _, l := range t.listed {
		if l.Type == typeFile {
			return destination{kind: typeFile, folder: l.Folder, file: name, maxPerSecond: l.MaxPerSecond}, nil
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
