package ingest

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/config"
	"audittrail/platform/kafka"
)

// internalTopics are Kafka's own, and by convention those of schema registries and the like.
const internalTopics = "__"

// CheckTopics reports, as config.Invalid and joined, the entries of kafka.topics that ingest refuses: where
// there are none, internal topics, and dead-letter topics, whose names end in the suffix.
//
// A dead letter that came back would be rejected again, for ever. A pattern takes in neither kind.
func CheckTopics(topics []string, dlqSuffix string) error {
	if len(topics) == 0 {
		return config.Invalid("kafka.topics", "must name at least one topic to ingest")
	}
	var errs []error
	for _, topic := range topics {
		switch {
		case kafka.IsPattern(topic):
		case strings.HasSuffix(topic, dlqSuffix):
			errs = append(errs, config.Invalid("kafka.topics", "must not name %q: it is a dead-letter topic (ingest.dlq_suffix)", topic))
		case strings.HasPrefix(topic, internalTopics):
			errs = append(errs, config.Invalid("kafka.topics", "must not name %q: it is an internal topic", topic))
		}
	}
	return errors.Join(errs...)
}

// subscription is which topics to consume: the names and patterns of kafka.topics.
func subscription(topics []string, dlqSuffix string) ([]kgo.Opt, error) {
	if err := CheckTopics(topics, dlqSuffix); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(topics, kafka.IsPattern) {
		return []kgo.Opt{kgo.ConsumeTopics(topics...)}, nil
	}
	// The client takes either names or patterns, so a name becomes a pattern that matches nothing else.
	all := make([]string, len(topics))
	for i, topic := range topics {
		if all[i] = topic; !kafka.IsPattern(topic) {
			all[i] = "^" + regexp.QuoteMeta(topic) + "$"
		}
	}
	return []kgo.Opt{
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics(all...),
		kgo.ConsumeExcludeTopics("^"+internalTopics, regexp.QuoteMeta(dlqSuffix)+"$"),
	}, nil
}
