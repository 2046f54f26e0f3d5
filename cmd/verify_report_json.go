package cmd

import (
	"io"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/platform/console"
)

// filesJSON tells it to programs, as one document.
type filesJSON struct {
	w      io.Writer
	Passed bool       `json:"passed"` // every file is proven or, where it is an export, complete
	Proven bool       `json:"proven"` // every file is proven
	Files  []fileJSON `json:"files"`
}

// fileJSON is one file of the report.
type fileJSON struct {
	File       string          `json:"file"`
	Status     evidence.Status `json:"status"`
	Form       evidence.Form   `json:"form,omitzero"`
	Error      string          `json:"error,omitzero"` // why it could not be read, or not to its end
	Log        ledger.Log      `json:"log,omitzero"`
	Checkpoint *checkpointJSON `json:"checkpoint,omitzero"`
	GrewFrom   *checkpointJSON `json:"grewFrom,omitzero"` // of --since: shown to be the same log, at an earlier time
	Entries    int64           `json:"entries"`
	Proven     int64           `json:"proven"`
	Distinct   bool            `json:"distinct"` // no entry stands in it twice
	FaultCount int64           `json:"faultCount"`
	Faults     []faultJSON     `json:"faults"` // the first hundred
}

type checkpointJSON struct {
	Origin   string   `json:"origin"`
	Size     int64    `json:"size"`
	Root     string   `json:"root"`
	SignedBy []string `json:"signedBy,omitempty"`
}

type faultJSON struct {
	Kind    evidence.FaultKind `json:"kind"`
	Entry   int64              `json:"entry,omitzero"`   // which of the file, from 1; missing for the whole
	Index   *int64             `json:"index,omitzero"`   // its position in the log, as the file has it
	EventID string             `json:"eventId,omitzero"` // as far as it could be read
	Detail  string             `json:"detail"`
	KeyIDs  []string           `json:"keyIds,omitzero"` // of unknown_key: who is said to have signed
}

func (j *filesJSON) file(v *verdict) error {
	r := v.Report
	f := fileJSON{
		File: v.name, Status: v.Status(), Form: r.Form, Log: r.Log, Entries: r.Entries, Proven: r.Proven, Distinct: r.Distinct,
		FaultCount: v.Count, Faults: []faultJSON{},
	}
	if v.Err != nil {
		f.Error = v.Err.Error()
	}
	j.Passed = j.Passed && f.Status.Passed()
	j.Proven = j.Proven && f.Status == evidence.StatusProven
	if c := r.Checkpoint; c.Origin != "" {
		f.Checkpoint = &checkpointJSON{c.Origin, c.Size, c.Root.String(), c.Keys}
	}
	if c := v.GrewFrom; c != nil {
		f.GrewFrom = &checkpointJSON{Origin: c.Origin, Size: c.Size, Root: c.Root.String()}
	}
	for _, fault := range v.Faults {
		shown := faultJSON{Kind: fault.Kind, Entry: fault.Entry, EventID: fault.ID, Detail: fault.Detail, KeyIDs: fault.Keys}
		if fault.Entry > 0 && fault.Index >= 0 {
			shown.Index = &fault.Index
		}
		f.Faults = append(f.Faults, shown)
	}
	j.Files = append(j.Files, f)
	return nil
}

func (j *filesJSON) end() error { return console.PrintJSON(j.w, j) }
