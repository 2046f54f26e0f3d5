package app

import (
	"context"
	"log/slog"
	"strings"

	"audittrail/platform/config"
)

// The keys in this file are accepted, so that a configuration may be written for the whole design, and
// do nothing yet: their features come later, and take the structs along into their own modules. A key
// that is set all the same is never silently without effect: see warnUnused.

// notYet begins the help of every key that nothing reads yet, in this package and others.
const notYet = "not in effect yet"

// unused are the keys that nothing reads yet. The schema registry's say it of their section.
func unused(schema *config.Schema) []string {
	var keys []string
	for _, k := range schema.Keys() {
		if strings.HasPrefix(k.Help, notYet) || strings.HasPrefix(k.Name, "kafka.schema_registry.") {
			keys = append(keys, k.Name)
		}
	}
	return keys
}

// warnUnused says once, at start, which of the keys that were given do nothing yet.
func warnUnused(ctx context.Context, c Config, log *slog.Logger) error {
	schema, err := NewSchema()
	if err != nil {
		return err
	}
	for _, key := range unused(schema) {
		if c.IsSet(key) {
			log.WarnContext(ctx, "this key is set, and has no effect in this version", "key", key, "from", c.loaded.Origin(key).String())
		}
	}
	return nil
}
