// Package kafka makes franz-go clients out of configuration, and asks a cluster the few questions that
// the program has: which id has a topic, where does a partition's log begin and end.
//
// It knows nothing of events, of consumer groups' use or of dead letters. Nothing in here logs a
// record's key, value or headers.
package kafka

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// metadataMinAge bounds how often a client asks for metadata, e.g. while a topic is being made.
const metadataMinAge = time.Second

// NewClient makes a client that reaches the cluster of o. It dials nothing yet. The name is the
// client's id in the broker's logs (audittrail-<name>) and part of its metrics' names; two clients that
// live at the same time in one registry need different names. Metrics are left out where reg is nil.
//
// The caller MUST close the client.
func NewClient(o Options, name string, log *slog.Logger, reg prometheus.Registerer, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := o.clientOptions(name, log)
	if err != nil {
		return nil, fmt.Errorf("kafka client %s: %w", name, err)
	}
	if reg != nil {
		opts = append(opts, kgo.WithHooks(kprom.NewMetrics("audittrail",
			kprom.Subsystem("kafka_"+name), kprom.Registerer(reg))))
	}
	client, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client %s: %w", name, err)
	}
	return client, nil
}

func (o Options) clientOptions(name string, log *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID("audittrail-" + name),
		kgo.SoftwareNameAndVersion("audittrail", "1"),
		kgo.MetadataMaxAge(o.MetadataMaxAge),
		kgo.MetadataMinAge(min(metadataMinAge, o.MetadataMaxAge)),
		kgo.DialTimeout(5 * time.Second),
		kgo.DisableClientMetrics(), // what a broker may ask for is in Prometheus
		kgo.WithLogger(bridge{log.With("client", name)}),
	}
	if o.TLS.Enabled {
		config, err := o.TLS.config()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	}
	if o.SASL.Mechanism != "" {
		mechanism, err := o.SASL.mechanism()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(mechanism))
		if !o.TLS.Enabled {
			log.Warn("kafka.sasl is used without kafka.tls: whoever reads the network reads every event, "+
				"and can try passwords offline", "mechanism", o.SASL.Mechanism)
		}
	}
	return opts, nil
}
