package ingest

import (
	"regexp"
	"strings"

	"audittrail/platform/kafka"
)

// Subscribes returns a function that reports whether ingest reads the topic of a name: the names and patterns are
// those of kafka.topics, which were checked before.
func Subscribes(topics []string, dlqSuffix string) func(name string) bool {
	names := map[string]bool{}
	var patterns []*regexp.Regexp
	for _, topic := range topics {
		if !kafka.IsPattern(topic) {
			names[topic] = true
		} else if pattern, err := regexp.Compile(topic); err == nil {
			patterns = append(patterns, pattern)
		}
	}
	return func(name string) bool {
		if names[name] {
			return true
		}
		if strings.HasPrefix(name, internalTopics) || strings.HasSuffix(name, dlqSuffix) {
			return false
		}
		for _, pattern := range patterns {
			if pattern.MatchString(name) {
				return true
			}
		}
		return false
	}
}
