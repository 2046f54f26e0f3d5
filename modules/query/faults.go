package query

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/ledger"
)

// evidenceFaults counts evidence that did not verify before it was handed out, and was not. Whoever asked
// gets a 500 that says nothing; the log line of the request names event and position.
type evidenceFaults struct{ total prometheus.Counter }

func newEvidenceFaults(registry prometheus.Registerer) (evidenceFaults, error) {
	f := evidenceFaults{prometheus.NewCounter(prometheus.CounterOpts{
		Name: "audittrail_evidence_faults_total",
		Help: "Answers with evidence that were refused or cut off, because a proof would not have verified: rows or hashes are not what was signed. More than zero is an alarm.",
	})}
	if registry == nil {
		return f, nil
	}
	if err := registry.Register(f.total); err != nil {
		return f, fmt.Errorf("api: %w", err)
	}
	return f, nil
}

// counted answers err, and counts it if the store holds other events or hashes than were signed.
func (f evidenceFaults) counted(err error) error {
	var fault *ledger.EvidenceError
	if errors.As(err, &fault) || errors.Is(err, ledger.ErrIncomplete) {
		f.total.Inc()
	}
	return err
}
