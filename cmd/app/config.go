// Package app is the composition root: the program's configuration, the ordered table of its roles and
// what each of them needs, and the function that runs them together.
//
// It decides what is wired to what and holds no logic of its own: what a role does is its module's
// matter, what a command prints is cmd's.
package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"audittrail/modules/access"
	"audittrail/modules/analytics"
	"audittrail/modules/client"
	"audittrail/modules/ingest"
	"audittrail/modules/notary"
	"audittrail/modules/protect"
	"audittrail/modules/query/fold"
	"audittrail/modules/replay"
	"audittrail/platform/auth"
	"audittrail/platform/cache"
	"audittrail/platform/config"
	"audittrail/platform/httpserver"
	"audittrail/platform/kafka"
	"audittrail/platform/logging"
)

// Config is every key of the program. A module's keys stand in its own options struct, nested here
// under the section's name. It is loaded once and then passed on by value.
type Config struct {
	Roles    []string        `key:"roles" default:"ingest,api,replay,analytics,maintain,notary" help:"what this process does: ingest, api, replay, analytics, maintain, notary; each may run in any number of processes"`
	Shutdown ShutdownOptions `key:"shutdown"`
	Log      logging.Options `key:"log"`

	Postgres PostgresOptions         `key:"postgres"`
	Kafka    kafka.Options           `key:"kafka"`
	Ingest   ingest.Options          `key:"ingest"`
	HTTP     httpserver.Options      `key:"http"`
	Auth     auth.Options            `key:"auth"`
	Admin    httpserver.AdminOptions `key:"admin"`
	Client   ClientOptions           `key:"client"`
	Ledger   LedgerOptions           `key:"ledger"`
	Notary   notary.Options          `key:"notary"`
	State    fold.Options            `key:"state"`

	Analytics analytics.Options `key:"analytics"`

	Access   access.Options  `key:"access"`
	Replay   replay.Options  `key:"replay"`
	Security SecurityOptions `key:"security"`

	Encryption protect.Options    `key:"encryption"`
	Redis      cache.RedisOptions `key:"redis"`

	loaded *config.Loaded
}

// ShutdownOptions are the keys below `shutdown`.
type ShutdownOptions struct {
	// Both defaults together are less than the 30 s after which Kubernetes kills.
	Delay time.Duration `key:"delay" default:"5s" help:"how long a process that was sent SIGTERM still serves, while /readyz says 503, before the roles stop; 0 for dev where nobody sets it"`
	Grace time.Duration `key:"grace" default:"20s" help:"how long the roles have to stop, all together, after shutdown.delay; then the program ends with status 1"`
}

// Validate reports every key that can't work.
func (o ShutdownOptions) Validate() error {
	var errs []error
	if o.Delay < 0 {
		errs = append(errs, config.Invalid("delay", "must not be negative; 0 stops at once"))
	}
	if o.Grace <= 0 {
		errs = append(errs, config.Invalid("grace", "must be more than 0"))
	}
	return errors.Join(errs...)
}

// ClientOptions are the keys below `client`: of the commands that ask a running API.
type ClientOptions struct {
	URL   string `key:"url" default:"http://127.0.0.1:8080" help:"where the API is, for the commands that are its clients"`
	Token string `key:"token" secret:"true" help:"bearer token that those commands show"`
}

// Validate reports every key that can't work.
func (o ClientOptions) Validate() error {
	if _, err := client.New(o.URL, o.Token); err != nil {
		return config.Invalid("url", "must be an http or https URL, such as http://127.0.0.1:8080")
	}
	return nil
}

// NewSchema is the schema of Config.
func NewSchema() (*config.Schema, error) { return config.NewSchema("AUDITTRAIL", Config{}) }

// Load reads the configuration. Values of the wrong type and unknown keys are errors, and so are
// values that break a rule, whichever section they are in. What is missing is an error where it is
// needed: see Run and Config.Require.
func Load(src config.Sources) (Config, error) {
	schema, err := NewSchema()
	if err != nil {
		return Config{}, err
	}
	c := new(Config)
	if c.loaded, err = schema.Load(c, src); err != nil {
		return Config{}, err
	}
	now := *c
	c.Kafka.SASL.Fresh = func(key, otherwise string) string { return now.fresh("kafka.sasl."+key, otherwise) }
	return *c, c.loaded.Check()
}

// IsSet tells whether somebody gave the key a value, in a flag, the environment or the file.
//
// By pointer: it looks at no value, so that it may be asked while others fill values in.
func (c *Config) IsSet(key string) bool { return c.loaded != nil && c.loaded.IsSet(key) }

// Values lists every key with its value and origin, secrets masked.
func (c Config) Values() []config.Value { return c.loaded.Values() }

// Require reports the keys among those given that have no value, as a *config.Error. A key may be
// given as alternatives: "auth.jwks_url|auth.jwks_file".
func (c Config) Require(keys ...string) error {
	schema, err := NewSchema()
	if err != nil {
		return err
	}
	return schema.Require(&c, keys...)
}

// Validate reports what no section can see by itself.
func (c Config) Validate() error {
	for i, name := range c.Roles {
		if !slices.Contains(roleNames(), name) {
			return config.Invalid(fmt.Sprintf("roles[%d]", i), "must be one of %s%s", strings.Join(roleNames(), ", "), suggestRole(name))
		}
	}
	known := c.Access.RoleNames()
	for i, principal := range c.HTTP.TLS.ClientPrincipals {
		for j, name := range principal.Roles {
			if !slices.Contains(known, name) {
				return config.Invalid(fmt.Sprintf("http.tls.client_principals[%d].roles[%d]", i, j), "must be one of %s: others allow nothing", strings.Join(known, ", "))
			}
		}
	}
	return nil
}

// fresh returns what the file of a secret holds now, or otherwise where the key has none.
func (c Config) fresh(key, otherwise string) string {
	if c.loaded != nil {
		if text, ok := c.loaded.Reread(key); ok {
			return text
		}
	}
	return otherwise
}
