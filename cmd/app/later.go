package app

import (
	"context"
	"log/slog"
	"strings"

	"audittrail/platform/config"
)

// The keys in this file are accepted, so that a configuration may be written for the whole design, and
// do nothing yet: their features come later, and take the structs along into their own modules. A key
// that is set all the same is never silently without effect: see warnUnused and refuseUnsealed.

type encryptionLater struct {
	Rules   []encryptionRule `key:"rules" help:"not in effect yet, serve refuses to start with it. Fields whose values are sealed"`
	KEKURL  string           `key:"kek_url" secret:"true" help:"not in effect yet, serve refuses to start with it. Key-encryption key, a gocloud secrets URL"`
	KeysURL string           `key:"keys_url" secret:"url" help:"not in effect yet. Database of the subjects' data keys; default: postgres.url"`
}

type encryptionRule struct {
	EventType string `key:"eventType"`
	Path      string `key:"path"`
	Subject   string `key:"subject"`
	Search    bool   `key:"search"`
}

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

// refuseUnsealed fails where fields are meant to be sealed: this version would store them readable.
func refuseUnsealed(c Config) error {
	const text = "is set, but this version does not seal fields yet; it refuses to store them unsealed. Remove the key to go on without"
	var errs []error
	if len(c.Encryption.Rules) > 0 {
		errs = append(errs, config.Invalid("encryption.rules", text))
	}
	if c.Encryption.KEKURL != "" {
		errs = append(errs, config.Invalid("encryption.kek_url", text))
	}
	if len(errs) == 0 {
		return nil
	}
	return &config.Error{Problems: errs}
}
