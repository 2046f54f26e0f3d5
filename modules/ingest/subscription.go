package ingest

import (
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/config"
	"audittrail/platform/kafka"
)

// internalTopics are Kafka's own, and by convention those of schema registries and the like.
const internalTopics = "__"

// subscription is which topics to consume: the names and patterns of kafka.topics.
//
// A pattern never takes in internal topics, nor dead-letter topics: a dead letter that came back would
// be rejected again, for ever. Naming one outright is refused for the same reason.
func subscription(topics []string, dlqSuffix string) ([]kgo.Opt, error) {
	if len(topics) == 0 {
		return nil, config.Invalid("kafka.topics", "must name at least one topic to ingest")
	}
	patterns := false
	for _, topic := range topics {
		switch {
		case kafka.IsPattern(topic):
			patterns = true
		case strings.HasSuffix(topic, dlqSuffix):
			return nil, config.Invalid("kafka.topics", "must not name %q: it is a dead-letter topic (ingest.dlq_suffix)", topic)
		case strings.HasPrefix(topic, internalTopics):
			return nil, config.Invalid("kafka.topics", "must not name %q: it is an internal topic", topic)
		}
	}
	if !patterns {
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
