package kafka

import (
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"audittrail/platform/config"
)

// Options is the configuration section `kafka`.
type Options struct {
	Brokers        []string              `key:"brokers" default:"127.0.0.1:9092" help:"brokers to start from, as host:port"`
	Topics         []string              `key:"topics" help:"topics to ingest: names, or patterns that begin with ^ (RE2 syntax)"`
	Group          string                `key:"group" default:"audittrail" help:"consumer group of the ingest role; each installation (database) needs one of its own"`
	InstanceID     string                `key:"instance_id" help:"static membership: a name of this process that is unique in the group and survives its restarts"`
	SessionTimeout time.Duration         `key:"session_timeout" default:"6s" help:"how long a member of the group may be silent before others take its partitions over; must be within the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"`
	MetadataMaxAge time.Duration         `key:"metadata_max_age" default:"30s" help:"how long a new topic or partition may stay unseen; nothing is lost meanwhile, since a partition is read from the beginning of its log"`
	TLS            TLSOptions            `key:"tls"`
	SASL           SASLOptions           `key:"sasl"`
	SchemaRegistry SchemaRegistryOptions `key:"schema_registry"`
}

// SchemaRegistryOptions is the configuration section `kafka.schema_registry`. Its keys are accepted so
// that one file serves several versions; nothing reads them yet.
type SchemaRegistryOptions struct {
	URL      string `key:"url" help:"schema registry for records in Confluent's wire format"`
	Username string `key:"username" help:"user at the schema registry"`
	Password string `key:"password" secret:"true" help:"password at the schema registry"`
	CA       string `key:"ca" help:"file with the authority of the schema registry's certificate (PEM)"`
}

// Bounds of the options. Beyond a session of 12 s a process that was killed would hold its partitions for
// longer than the 15 s that are promised; who needs that may have it.
const (
	minSessionTimeout = time.Second
	maxSessionTimeout = 5 * time.Minute
	minMetadataAge    = 100 * time.Millisecond
	maxMetadataAge    = time.Hour
)

// Validate reports every value that breaks a rule, by its key in the section.
func (o Options) Validate() error {
	var errs []error
	if len(o.Brokers) == 0 {
		errs = append(errs, config.Invalid("brokers", "must name at least one broker"))
	}
	for i, broker := range o.Brokers {
		// Not quoted: somebody may have put a password in front of the host.
		if err := checkAddress(broker); err != "" {
			errs = append(errs, config.Invalid("brokers", "entry %d %s", i+1, err))
		}
	}
	for _, topic := range o.Topics {
		if err := checkTopic(topic); err != "" {
			errs = append(errs, config.Invalid("topics", "%q %s", topic, err))
		}
	}
	if o.Group == "" {
		errs = append(errs, config.Invalid("group", "must not be empty"))
	}
	if o.SessionTimeout < minSessionTimeout || o.SessionTimeout > maxSessionTimeout {
		errs = append(errs, config.Invalid("session_timeout", "must be from %v to %v", minSessionTimeout, maxSessionTimeout))
	}
	if o.MetadataMaxAge < minMetadataAge || o.MetadataMaxAge > maxMetadataAge {
		errs = append(errs, config.Invalid("metadata_max_age", "must be from %v to %v", minMetadataAge, maxMetadataAge))
	}
	return errors.Join(append(errs, o.TLS.validate(), o.SASL.validate(o.TLS.Enabled))...)
}

func checkAddress(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return "is not host:port"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "has no port from 1 to 65535"
	}
	return ""
}

// legalTopic is Kafka's own rule for names.
var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func checkTopic(topic string) string {
	if IsPattern(topic) {
		if _, err := regexp.Compile(topic); err != nil {
			return "is not a valid pattern (RE2 syntax)"
		}
		return ""
	}
	if !legalTopic.MatchString(topic) || topic == "." || topic == ".." {
		return "is not a topic's name: 1 to 249 of A-Z, a-z, 0-9, '.', '_', '-' (a pattern begins with ^)"
	}
	return ""
}

// IsPattern tells an entry of kafka.topics that is a regular expression from one that is a name.
func IsPattern(topic string) bool { return strings.HasPrefix(topic, "^") }
