package benchingest

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"

	"audittrail/modules/sample"
)

// Machine is what a report's numbers were taken on, without which they say little.
type Machine struct {
	Cores      int    `json:"cores"`
	OS         string `json:"os"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	Kafka      string `json:"kafka"`
	Events     int    `json:"events"`
	MeanBytes  int64  `json:"meanBytes"` // of a record's value
	Roles      string `json:"roles"`
}

// Describe tells the stage, the records that wait on it, and the roles of the ingest process.
func (s *Stage) Describe(records []sample.Record, roles string) Machine {
	m := Machine{
		Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		PostgreSQL: s.Server.Postgres.Version(), Kafka: "none", Events: len(records), Roles: roles,
	}
	if s.Broker != nil {
		m.Kafka = s.Broker.Kind
	}
	for _, r := range records {
		m.MeanBytes += int64(len(r.Value))
	}
	m.MeanBytes /= int64(len(records))
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%d events of %d bytes; %d cores, %s, %s; PostgreSQL %s, durable; Kafka: %s; roles: %s",
		m.Events, m.MeanBytes, m.Cores, m.OS, m.Go, m.PostgreSQL, m.Kafka, m.Roles)
}

// PrintJSON writes a report for programs.
func PrintJSON(w io.Writer, report any) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(report)
}
