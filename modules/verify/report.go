package verify

import (
	"fmt"
	"strings"
	"sync"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// Report is the outcome of a verification.
type Report struct {
	Intact bool `json:"intact"` // all was looked at, nothing found, and something signed unless the store is empty
	// Complete is false where the verification could not be finished: nothing is said then of what it did
	// not come to.
	Complete bool   `json:"complete"`
	Origin   string `json:"origin,omitzero"` // the ledger whose checkpoints were trusted
	// OutsideCheckpoints is how many checkpoints from outside of the database were compared; Outside names
	// where they were from, without those that could not be trusted.
	OutsideCheckpoints int            `json:"outsideCheckpoints"`
	Outside            []string       `json:"-"`
	Events             int64          `json:"events"` // rows that were read and hashed
	Logs               []LogReport    `json:"logs"`
	Findings           []Finding      `json:"findings"` // the first of each kind
	Counts             map[Kind]int64 `json:"counts"`   // of all, also those that are not listed
	Total              int64          `json:"total"`
	Notices            []Notice       `json:"notices"` // nothing is wrong with these, but who reads the report should know
	Workers            int            `json:"workers"`
	Seconds            float64        `json:"seconds"`
}

// LogReport says how far a log is proven.
type LogReport struct {
	Log          ledger.Log `json:"log"`
	Size         int64      `json:"size"`         // entries
	Signed       int64      `json:"signed"`       // of these, from the first on: covered by a checkpoint that fits and is signed
	NotYetSigned int64      `json:"notYetSigned"` // the rest
	// UnsignedSince is when the oldest of the rest was recorded, in RFC 3339; "" where there is none.
	UnsignedSince string `json:"unsignedSince,omitzero"`
	Checkpoints   int64  `json:"checkpoints"` // how many were checked
	Complete      bool   `json:"complete"`    // it was looked at to its end
}

// NotSigned reports whether the event store has entries and no good signature covers any of them.
func (r *Report) NotSigned() bool {
	var size, signed int64
	for _, l := range r.Logs {
		size, signed = size+l.Size, signed+l.Signed
	}
	return size > 0 && signed == 0
}

// Notice is something to know that is no finding.
type Notice struct {
	Log    ledger.Log `json:"log,omitzero"`
	Detail string     `json:"detail"` // for people
}

func (r *run) notice(n Notice) {
	n.Detail = strings.ToValidUTF8(n.Detail, "\uFFFD")
	r.notices = append(r.notices, n)
}

// Kind is what sort of thing was found. Programs match on it.
type Kind string

// The kinds of findings, in the order in which they are listed.
const (
	LogRolledBack       Kind = "log_rolled_back"      // more was signed than the log has
	LogAltered          Kind = "log_altered"          // the log is not what was signed
	LogUnsigned         Kind = "log_unsigned"         // no checkpoint that a given key has signed, or none for long
	LedgerGap           Kind = "ledger_gap"           // positions without a batch, or with two, or a batch without whole leaves
	PartitionGone       Kind = "partition_gone"       // no partition of events holds a time in which events lie
	EventAltered        Kind = "event_altered"        // its row is not what was stored
	EventMoved          Kind = "event_moved"          // its row is as it was stored, but at another position
	EventRemoved        Kind = "event_removed"        // its row is gone
	EventInserted       Kind = "event_inserted"       // its row is none that the ledger has
	EventUnreadable     Kind = "event_unreadable"     // its row holds what no event does
	KeyAltered          Kind = "key_altered"          // the event's row in event_keys is not what was stored
	KeyMissing          Kind = "key_missing"          // the event's row in event_keys is gone
	KeyWithoutEvent     Kind = "key_without_event"    // a row of event_keys for which there is no event
	TileAltered         Kind = "tile_altered"         // a tile of the tree is not what its leaves give
	CheckpointUntrusted Kind = "checkpoint_untrusted" // none of the given keys has signed it, or it was changed
	CheckpointGone      Kind = "checkpoint_gone"      // it was kept, and is not there any more
	CheckpointForked    Kind = "checkpoint_forked"    // signed, but for another history than those before and after it
	Accounting          Kind = "accounting"           // the accounting of Kafka's offsets contradicts itself
	SchemaAltered       Kind = "schema_altered"       // a table is not what the migrations made, so that rows may be hidden
)

// kindWords has all kinds in their order, with words for people.
func kindWords() [][2]string {
	return [][2]string{
		{string(LogRolledBack), "history was cut off"}, {string(LogAltered), "history was changed"},
		{string(LogUnsigned), "entries that nobody signed"}, {string(LedgerGap), "the ledger has a gap"},
		{string(PartitionGone), "a partition is gone"}, {string(EventAltered), "altered event"},
		{string(EventMoved), "moved event"}, {string(EventRemoved), "removed event"},
		{string(EventInserted), "inserted event"}, {string(EventUnreadable), "unreadable event"},
		{string(KeyAltered), "altered key of event"}, {string(KeyMissing), "removed key of event"},
		{string(KeyWithoutEvent), "key without event"}, {string(TileAltered), "altered tile"},
		{string(CheckpointUntrusted), "checkpoint not to be trusted"}, {string(CheckpointGone), "deleted checkpoints"},
		{string(CheckpointForked), "checkpoint of another history"}, {string(Accounting), "accounting"},
		{string(SchemaAltered), "altered table"},
	}
}

// Kinds returns all kinds, in their order.
func Kinds() (kinds []Kind) {
	for _, k := range kindWords() {
		kinds = append(kinds, Kind(k[0]))
	}
	return kinds
}

// Words returns the kind in words.
func (k Kind) Words() string {
	for _, known := range kindWords() {
		if known[0] == string(k) {
			return known[1]
		}
	}
	return string(k)
}

// Finding is one thing that does not fit.
type Finding struct {
	Kind     Kind       `json:"kind"`
	Log      ledger.Log `json:"log"`
	EventID  string     `json:"eventId,omitempty"`
	Position *int64     `json:"position,omitempty"`
	// End is behind the last position, where the finding is of several, or of one of several.
	End    *int64 `json:"end,omitempty"`
	Detail string `json:"detail"` // for people
}

func eventFinding(kind Kind, id, detail string) Finding {
	return Finding{Kind: kind, Log: ledger.Events, EventID: id, Detail: detail}
}

// at gives a finding its position.
func (f Finding) at(position int64) Finding {
	if position >= 0 {
		f.Position = &position
	}
	return f
}

// within gives a finding the positions from one up to another, without it.
func (f Finding) within(from, end int64) Finding {
	f = f.at(from)
	if end > from+1 {
		f.End = &end
	}
	return f
}

// detailMost is how many bytes of a finding's words are kept.
const detailMost = 2000

// findings gathers what was found: all are counted, and some of each kind kept, so that a flood of one
// kind hides no other. It is safe for concurrent use.
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
	// It may quote what somebody wrote into the database.
	f.Detail = strings.ToValidUTF8(f.Detail[:min(len(f.Detail), detailMost)], "\uFFFD")
	if len(l.kept[f.Kind]) < l.most {
		l.kept[f.Kind] = append(l.kept[f.Kind], f)
	}
}

// count adds to a kind what is too much to look at singly.
func (l *findings) count(kind Kind, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > 0 {
		l.counts[kind] += n
	}
}

// all are the findings by kind, in the order in which they were found.
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
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s; expected %v, found %v", d.Check, d.Detail, d.Expected, d.Found)
	if d.Topic != "" && d.Partition != nil {
		fmt.Fprintf(&b, "; %s/%d", d.Topic, *d.Partition)
	}
	if d.From != nil && d.To != nil {
		fmt.Fprintf(&b, " offsets %d to %d", *d.From, *d.To-1)
	}
	if d.Batch != nil {
		fmt.Fprintf(&b, "; batch %d", *d.Batch)
	}
	f := Finding{Kind: Accounting, Log: ledger.Events, Detail: b.String()}
	if d.Position != nil {
		f = f.at(*d.Position)
	}
	return f
}
