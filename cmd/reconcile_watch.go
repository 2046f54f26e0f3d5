package cmd

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/spf13/cobra"

	"audittrail/modules/store/audit"
	"audittrail/platform/console"
)

// reconcileWatch reconciles again and again.
type reconcileWatch struct {
	c     *cobra.Command
	json  bool
	every time.Duration
	check func() (*audit.Reconciliation, *kafkaSide, error)

	shown []audit.Discrepancy // that were printed last
}

// run goes on until the command is interrupted, and returns the last verdict. What can't be read is told, and tried
// again: a database that is away is no reason to stop watching it.
func (w *reconcileWatch) run() error {
	var last error
	for {
		began := time.Now()
		report, cluster, err := w.check()
		if w.c.Context().Err() != nil {
			return last
		}
		if last = err; err == nil {
			last = imbalance(report, cluster)
			if err := w.print(began, report, cluster); err != nil {
				return err
			}
		} else if _, err := fmt.Fprintf(w.c.ErrOrStderr(), "%s not checked: %s\n", began.UTC().Format(time.RFC3339), console.Visible(err.Error())); err != nil {
			return err
		}
		select {
		case <-w.c.Context().Done():
			return last
		case <-time.After(max(w.every, time.Since(began))):
		}
	}
}

func (w *reconcileWatch) print(at time.Time, report *audit.Reconciliation, cluster *kafkaSide) error {
	out := w.c.OutOrStdout()
	if w.json {
		line, err := json.Marshal(struct {
			Time     string `json:"time"`
			Balanced bool   `json:"balanced"`
			*audit.Reconciliation
			Kafka *kafkaSide `json:"kafka"`
		}{at.UTC().Format(time.RFC3339), report.Balanced(), report, cluster})
		if err == nil {
			_, err = out.Write(append(console.AppendVisibleJSON(nil, line), '\n'))
		}
		return err
	}
	state := "balanced"
	if n := int64(len(report.Discrepancies)) + report.Unlisted; n > 0 {
		state = console.Paint(out, console.Red, console.Grouped(n)+" discrepancies")
	}
	toRead := console.Grouped(report.ToRead) + " to be read"
	if !cluster.Checked {
		toRead = "Kafka was not checked, or not all of it: " + console.Visible(cluster.Why)
	}
	if _, err := fmt.Fprintf(out, "%s %s: %s offsets, %s stored, %s duplicates, %s dead-lettered, %s absent; %s\n", at.UTC().Format(time.RFC3339), state,
		console.Grouped(report.Total.Offsets), console.Grouped(report.Total.Stored), console.Grouped(report.Total.Duplicates),
		console.Grouped(report.Total.DeadLettered), console.Grouped(report.Total.Absent), toRead); err != nil {
		return err
	}
	if reflect.DeepEqual(w.shown, report.Discrepancies) || len(w.shown)+len(report.Discrepancies) == 0 {
		return nil
	}
	w.shown = report.Discrepancies
	if len(w.shown) == 0 {
		return nil
	}
	return printDiscrepancies(out, report)
}
