package cmd

import (
	"fmt"
	"strings"

	"audittrail/modules/ingest/reconcile"
	"audittrail/modules/store/audit"
	"audittrail/platform/console"
)

// kafkaSide is what Kafka says beside the accounting.
type kafkaSide struct {
	*reconcile.Comparison
	given bool // somebody gave kafka.brokers: that they do not answer is a failure
}

// err is not nil where Kafka was to be asked and could not be.
func (k *kafkaSide) err() error {
	if !k.given {
		return nil
	}
	return k.Err()
}

// words say what was found in Kafka, or that it was not looked at.
func (k *kafkaSide) words(r *audit.Reconciliation) string {
	var b strings.Builder
	if k.Checked {
		fmt.Fprintf(&b, "Kafka has %s offsets that are still to be read.\n", console.Grouped(r.ToRead))
	} else {
		fmt.Fprintf(&b, "Kafka was not checked, or not all of it (kafka.brokers): %s\n", k.Why)
	}
	for _, topic := range k.Gone {
		fmt.Fprintf(&b, "Topic %s is not in Kafka any more; its accounting stays as it is.\n", topic)
	}
	for _, topic := range k.Missing {
		fmt.Fprintf(&b, "Topic %s, which kafka.topics names, does not exist in Kafka: is its name right?\n", topic)
	}
	return b.String()
}
