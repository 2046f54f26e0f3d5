package audit

import (
	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// It reads the pages of one partition of access_log. It leaves out documents that no entry can have; see
// verifyDocuments.
const accessPagesSQL = `SELECT coalesce(id, -1), CASE WHEN isfinite(time) THEN time ELSE '0001-01-01Z' END,
		CASE WHEN octet_length(sent) <= 16777216 THEN sent END
	FROM %s, LATERAL (SELECT jsonb_send(entry) AS sent OFFSET 0) AS document WHERE %s`

// scanEntry reads and hashes a row of access_log. A row without an entry, or whose time is not that of its entry,
// gives no leaf: searches by time would miss the entry.
func scanEntry(rows pgx.Rows) (row Row, err error) {
	var entry []byte
	if err := rows.Scan(&row.ID, &row.Timestamp, &entry); err != nil || len(entry) == 0 {
		return row, err
	}
	row.Timestamp = spellable(row.Timestamp.UTC())
	canonical, err := event.Canonicalize(nil, entry[1:]) // behind jsonb's version
	if err == nil && timeOf(canonical) == event.FormatTime(row.Timestamp) {
		row.Leaf = ledger.LeafHash(canonical)
	}
	return row, nil
}

// timeOf returns an entry's own time as it is written; "" if it has none.
func timeOf(canonical []byte) string {
	if canonical[0] != '{' {
		return ""
	}
	for name, value := range event.Members(canonical) {
		if string(name) == "time" && len(value) > 2 {
			return string(value[1 : len(value)-1])
		}
	}
	return ""
}
