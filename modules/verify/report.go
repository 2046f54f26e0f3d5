package verify

import (
	"fmt"
	"strings"
	"sync"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// Report is the outcome of a verification.
type Report struct {
	// Intact is true if everything was read, nothing was found, and something is signed unless the store is empty.
	Intact bool `json:"intact"`
	// Complete is false if the verification ended early. The report then says nothing of what was not read.
	Complete bool   `json:"complete"`
	Origin   string `json:"origin,omitzero"` // the ledger whose checkpoints were trusted
	// OutsideCheckpoints is how many checkpoints from outside the database were compared. Outside names their
	// sources, without those that could not be trusted.
	OutsideCheckpoints int            `json:"outsideCheckpoints"`
	Outside            []string       `json:"-"`
	Events             int64          `json:"events"` // rows that were read and hashed
	Logs               []LogReport    `json:"logs"`
	Findings           []Finding      `json:"findings"` // the first of each kind
	Counts             map[Kind]int64 `json:"counts"`   // of all findings, also those that are not listed
	Total              int64          `json:"total"`
	Notices            []Notice       `json:"notices"` // no findings, but worth knowing
	Workers            int            `json:"workers"`
	Seconds            float64        `json:"seconds"`
}

// LogReport says how far a log is proven.
type LogReport struct {
	Log          ledger.Log `json:"log"`
	Size         int64      `json:"size"`         // entries
	Signed       int64      `json:"signed"`       // how many of them, from the first on, a trusted checkpoint covers
	NotYetSigned int64      `json:"notYetSigned"` // how many it does not cover
	// UnsignedSince is when the oldest entry that is not signed was recorded, in RFC 3339; "" if there is none.
	UnsignedSince string `json:"unsignedSince,omitzero"`
	Checkpoints   int64  `json:"checkpoints"` // how many were verified
	Complete      bool   `json:"complete"`    // the log was read to its end
}

// Totals returns how many entries all logs have, and how many of them a good signature covers.
func (r *Report) Totals() (size, signed int64) {
	for _, l := range r.Logs {
		size, signed = size+l.Size, signed+l.Signed
	}
	return size, signed
}

// NotSigned reports whether the event store has entries and no good signature covers any of them.
func (r *Report) NotSigned() bool {
	size, signed := r.Totals()
	return size > 0 && signed == 0
}

// Notice is something worth knowing that is no finding.
type Notice struct {
	Log    ledger.Log `json:"log,omitzero"`
	Detail string     `json:"detail"` // for people
}

func (r *run) notice(n Notice) {
	n.Detail = strings.ToValidUTF8(n.Detail, "\uFFFD")
	r.notices = append(r.notices, n)
}

// Kind is the kind of a finding. Programs match on it.
type Kind string

// The kinds of findings, in the order in which they are listed.
const (
	LogRolledBack       Kind = "log_rolled_back"      // more entries were signed than the log has
	LogAltered          Kind = "log_altered"          // the log is not what was signed
	LogUnsigned         Kind = "log_unsigned"         // no trusted signature covers the log, or a long tail of it
	LedgerGap           Kind = "ledger_gap"           // positions with no batch or with two, or a batch with wrong leaves
	PartitionGone       Kind = "partition_gone"       // no partition of events holds the times of some events
	EventAltered        Kind = "event_altered"        // its row is not what was stored
	EventMoved          Kind = "event_moved"          // its row is what was stored, but in another place
	EventRemoved        Kind = "event_removed"        // its row is gone
	EventInserted       Kind = "event_inserted"       // a row that the ledger does not have
	EventUnreadable     Kind = "event_unreadable"     // its row holds what no event does
	KeyAltered          Kind = "key_altered"          // the event's row in event_keys is not what was stored
	KeyMissing          Kind = "key_missing"          // the event's row in event_keys is gone
	KeyWithoutEvent     Kind = "key_without_event"    // a row of event_keys has no event
	TileAltered         Kind = "tile_altered"         // a tile of the tree is not what its leaves give
	CheckpointUntrusted Kind = "checkpoint_untrusted" // no given key has signed it, or it was changed
	CheckpointGone      Kind = "checkpoint_gone"      // it was in the database and is not there any more
	CheckpointForked    Kind = "checkpoint_forked"    // signed, but for another history than those before and after it
	Accounting          Kind = "accounting"           // the accounting of Kafka's offsets contradicts itself
	SchemaAltered       Kind = "schema_altered"       // a table is not what the migrations made, so rows may be hidden
)

// Kinds returns all kinds, in their order.
func Kinds() []Kind {
	return []Kind{LogRolledBack, LogAltered, LogUnsigned, LedgerGap, PartitionGone, EventAltered, EventMoved, EventRemoved, EventInserted, EventUnreadable,
		KeyAltered, KeyMissing, KeyWithoutEvent, TileAltered, CheckpointUntrusted, CheckpointGone, CheckpointForked, Accounting, SchemaAltered}
}

// Finding is one thing that does not fit.
type Finding struct {
	Kind     Kind       `json:"kind"`
	Log      ledger.Log `json:"log"`
	EventID  string     `json:"eventId,omitempty"`
	Position *int64     `json:"position,omitempty"`
	// End is the position after the last one, if the finding is about several positions or one of several.
	End    *int64 `json:"end,omitempty"`
	Detail string `json:"detail"` // for people
}

func eventFinding(kind Kind, id event.ID, detail string) Finding {
	return Finding{Kind: kind, Log: ledger.Events, EventID: id.String(), Detail: detail}
}

func rowFinding(kind Kind, log ledger.Log, row *audit.Row, detail string) Finding {
	f := eventFinding(kind, row.EventID, detail)
	if log == ledger.Access { // entries have no ids
		f.Log, f.EventID = log, ""
	}
	return f
}

// at returns the finding with a position; a batch that waits for its positions has negative ones, which are not told.
func (f Finding) at(position int64) Finding {
	if position >= 0 {
		f.Position = &position
	}
	return f
}

// within returns the finding with the positions [from, end).
func (f Finding) within(from, end int64) Finding {
	f = f.at(from)
	if f.Position != nil && end > from+1 {
		f.End = &end
	}
	return f
}

// detailMost is how many bytes of a finding's detail are kept.
const detailMost = 2000

// findings collects findings. All are counted, and some of each kind are kept, so that many findings of one
// kind hide no other. It is safe for concurrent use.
type findings struct {
	mu     sync.Mutex
	most   int
	kept   map[Kind][]Finding
	counts map[Kind]int64
}

func newFindings(most int) *findings {
	return &findings{most: most, kept: map[Kind][]Finding{}, counts: map[Kind]int64{}}
}

func (l *findings) add(f Finding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[f.Kind]++
	// It may quote what somebody wrote into the database: of any length, and not UTF-8.
	f.Detail = strings.ToValidUTF8(f.Detail[:min(len(f.Detail), detailMost)], "\uFFFD")
	if len(l.kept[f.Kind]) < l.most {
		l.kept[f.Kind] = append(l.kept[f.Kind], f)
	}
}

// count counts n more findings of a kind that are not listed.
func (l *findings) count(kind Kind, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > 0 {
		l.counts[kind] += n
	}
}

// all returns the findings by kind, and within a kind in the order in which they were found.
func (l *findings) all() (list []Finding, counts map[Kind]int64, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list = []Finding{}
	for _, kind := range Kinds() {
		list = append(list, l.kept[kind]...)
		total += l.counts[kind]
	}
	return list, l.counts, total
}

func accountingFinding(d *audit.Discrepancy) Finding {
	f := Finding{Kind: Accounting, Log: ledger.Events, Detail: fmt.Sprintf("%s: %s; expected %v, found %v", d.Check, d.Detail, d.Expected, d.Found)}
	if place := d.Place(); place != "" {
		f.Detail += "; " + place
	}
	if d.Position != nil {
		f = f.at(*d.Position)
	}
	return f
}
