package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/verify"
)

func TestRemovedRows(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int64{"the first": 0, "one in the middle": 217, "the last signed": 629, "the last": 649} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, fmt.Sprintf(`DELETE FROM events WHERE event_id = '%s'`, id(n)))
			names(t, report, verify.EventRemoved, n)
			require.EqualValues(t, 1, report.Counts[verify.EventRemoved], show(report))
			require.Zero(t, report.Counts[verify.EventAltered]+report.Counts[verify.KeyWithoutEvent], show(report))
		})
	}
	t.Run("with its key", func(t *testing.T) {
		t.Parallel()
		h := standard(t)
		h.tamper(t, fmt.Sprintf(`DELETE FROM events WHERE event_id = '%s'`, id(5)), fmt.Sprintf(`DELETE FROM event_keys WHERE event_id = '%s'`, id(5)))
		removed := found(h.verify(t), verify.EventRemoved)
		require.Len(t, removed, 1)
		require.EqualValues(t, 5, *removed[0].Position)
	})
	t.Run("two of one batch", func(t *testing.T) {
		t.Parallel()
		report := tampered(t, fmt.Sprintf(`DELETE FROM events WHERE event_id IN ('%s', '%s')`, id(120), id(130)))
		removed := found(report, verify.EventRemoved)
		require.Len(t, removed, 2, show(report))
		for i, n := range []int64{120, 130} {
			require.Equal(t, id(n), removed[i].EventID)
			require.Equal(t, []int64{120, 131}, []int64{*removed[i].Position, *removed[i].End})
		}
	})
	t.Run("a whole batch with all that belongs to it", func(t *testing.T) {
		t.Parallel()
		report := tampered(t, `DELETE FROM events WHERE id >> 14 = 2`, `DELETE FROM event_keys WHERE batch = 2`, `DELETE FROM ingest_ranges WHERE batch = 2`,
			`DELETE FROM ledger_batches WHERE batch = 2`)
		gap := found(report, verify.LedgerGap)
		require.Len(t, gap, 1, show(report))
		require.Equal(t, []int64{100, 300}, []int64{*gap[0].Position, *gap[0].End})
		require.EqualValues(t, 100, report.Logs[0].Signed)
		altered := found(report, verify.LogAltered)
		require.Len(t, altered, 1, show(report))
		require.Equal(t, []int64{100, 300}, []int64{*altered[0].Position, *altered[0].End})
	})
}

const copyRow = `INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
	SELECT %s, timestamp + interval '%s', created_at, kafka_offset, kafka_partition, version, %s, event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata
	FROM events WHERE event_id = '%s'`

func TestInsertedRows(t *testing.T) {
	t.Parallel()
	const forged = "ffffffff-0000-4000-8000-000000000000"
	forgedID := "'" + forged + "'::uuid"
	key := fmt.Sprintf(`INSERT INTO event_keys SELECT '%s', batch, timestamp, digest FROM event_keys WHERE event_id = '%s'`, forged, id(10))
	for name, statements := range map[string][]string{
		"behind a batch":            {fmt.Sprintf(copyRow, "id + 5000", "0", forgedID, id(10)), key},
		"under an unknown batch":    {fmt.Sprintf(copyRow, "id + (999 << 14)", "0", forgedID, id(10))},
		"under a negative batch":    {fmt.Sprintf(copyRow, "-id", "0", forgedID, id(10))},
		"beside an event, another":  {fmt.Sprintf(copyRow, "id", "1 s", forgedID, id(10))},
		"in an event's place again": {fmt.Sprintf(copyRow, "id", "1 year", forgedID, id(10)), key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, statements...)
			inserted := found(report, verify.EventInserted)
			require.Len(t, inserted, 1, show(report))
			require.Equal(t, forged, inserted[0].EventID)
			require.Zero(t, report.Counts[verify.EventRemoved]+report.Counts[verify.EventAltered]+report.Counts[verify.EventMoved], show(report))
		})
	}
	t.Run("a copy of a row under the next id", func(t *testing.T) {
		t.Parallel()
		report := tampered(t, fmt.Sprintf(copyRow, "id + 5000", "0", "event_id", id(10)))
		require.Equal(t, id(10), found(report, verify.EventInserted)[0].EventID, show(report))
	})
}

func TestSwappedRows(t *testing.T) {
	t.Parallel()
	exchange := func(columns string, a, b int64) string {
		var set []string
		for _, c := range strings.Split(columns, ", ") {
			set = append(set, c+" = other."+c)
		}
		return fmt.Sprintf(`UPDATE events SET %s FROM (SELECT * FROM events WHERE event_id IN ('%s', '%s')) AS other
			WHERE events.event_id IN ('%[2]s', '%[3]s') AND other.event_id <> events.event_id`, strings.Join(set, ", "), id(a), id(b))
	}
	for name, pair := range map[string][2]int64{"of one batch": {110, 215}, "of two batches": {3, 603}} {
		t.Run("ids "+name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, exchange("id", pair[0], pair[1]))
			namesAs(t, report, verify.EventAltered, id(pair[1]), pair[0])
			namesAs(t, report, verify.EventAltered, id(pair[0]), pair[1])
			require.EqualValues(t, 2, report.Counts[verify.EventAltered], show(report))
			require.Zero(t, report.Counts[verify.EventRemoved], show(report))
		})
		t.Run("contents "+name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, exchange("payload, metadata, aggregate_id", pair[0], pair[1]))
			names(t, report, verify.EventAltered, pair[0])
			names(t, report, verify.EventAltered, pair[1])
			require.EqualValues(t, 2, report.Counts[verify.EventAltered], show(report))
		})
	}
	t.Run("into a gap", func(t *testing.T) {
		t.Parallel()
		report := tampered(t, fmt.Sprintf(`UPDATE events SET id = id + 4000 WHERE event_id = '%s'`, id(40)))
		names(t, report, verify.EventRemoved, 40)
		require.Equal(t, id(40), found(report, verify.EventInserted)[0].EventID, show(report))
		require.EqualValues(t, 2, report.Total-report.Counts[verify.Accounting], show(report))
	})
	for name, pair := range map[string][2]int64{"of one batch": {110, 215}, "of neighbours": {110, 111}, "in one partition": {110, 115}, "of two batches": {3, 603}} {
		t.Run("event ids "+name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, fmt.Sprintf(`UPDATE events SET event_id = CASE WHEN event_id = '%s' THEN '%s'::uuid ELSE '%[1]s'::uuid END WHERE event_id IN ('%[1]s', '%[2]s')`, id(pair[0]), id(pair[1])))
			// Rows are named by the ids that they have.
			namesAs(t, report, verify.EventAltered, id(pair[1]), pair[0])
			namesAs(t, report, verify.EventAltered, id(pair[0]), pair[1])
			require.EqualValues(t, 2, report.Counts[verify.EventAltered], show(report))
			require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyMissing], show(report))
			orphans := found(report, verify.KeyWithoutEvent)
			if name != "of two batches" {
				require.Empty(t, orphans, show(report))
				return
			}
			require.Len(t, orphans, 2, show(report))
			for i, batch := range [][]int64{{0, 100}, {300, 630}} {
				require.Equal(t, id(pair[i]), orphans[i].EventID)
				require.Equal(t, []int64{*orphans[i].Position, *orphans[i].End}, batch)
			}
		})
	}
}

const freshID = "ffffffff-0000-4000-8000-000000000000"

// rename gives an event another id and another content.
func rename(n int64, to string) string {
	return fmt.Sprintf(`UPDATE events SET event_id = '%s', version = 9 WHERE event_id = '%s'`, to, id(n))
}

func remove(n int64) string { return fmt.Sprintf(`DELETE FROM events WHERE event_id = '%s'`, id(n)) }

// TestAnEventUnderAnotherID: the row is named by the id that it has, at its position. The event's own id is
// that of a key without a row.
func TestAnEventUnderAnotherID(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		also []string
		to   string
		keys int64 // findings of keys without a row
	}{
		"fresh":                               {nil, freshID, 1},
		"of the batch before":                 {nil, id(40), 1},
		"of the batch behind":                 {nil, id(400), 1},
		"of a neighbour":                      {nil, id(218), 1},
		"another was removed":                 {[]string{remove(230)}, freshID, 2},
		"another was removed with its key":    {[]string{remove(230), `DELETE FROM event_keys WHERE event_id = '` + id(230) + `'`}, freshID, 1},
		"one of another batch was removed":    {[]string{remove(330)}, freshID, 1},
		"another was altered without its key": {[]string{`UPDATE events SET version = 9 WHERE event_id = '` + id(220) + `'`, `DELETE FROM event_keys WHERE event_id = '` + id(220) + `'`}, freshID, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, append([]string{rename(217, test.to)}, test.also...)...)
			namesAs(t, report, verify.EventAltered, test.to, 217)
			require.Equal(t, test.keys, report.Counts[verify.KeyWithoutEvent], show(report))
			require.Equal(t, id(217), found(report, verify.KeyWithoutEvent)[0].EventID)
			require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyMissing], show(report))
		})
	}
	t.Run("removed, beside an added key", func(t *testing.T) {
		t.Parallel()
		report := tampered(t, remove(217), fmt.Sprintf(`INSERT INTO event_keys SELECT '%s', batch, timestamp, digest FROM event_keys WHERE event_id = '%s'`, freshID, id(217)))
		namesAs(t, report, verify.EventRemoved, "", 217)
		require.EqualValues(t, 2, report.Counts[verify.KeyWithoutEvent], show(report))
	})
}

// TestAFloodOfRows: rows that were added anywhere do not hide the one that was altered.
func TestAFloodOfRows(t *testing.T) {
	t.Parallel()
	report := tampered(t, fmt.Sprintf(`INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT (999 << 14) + n, timestamp, created_at, kafka_offset, kafka_partition, version, gen_random_uuid(), event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata
		FROM events, generate_series(1, 1200) AS n WHERE event_id = '%s'`, id(10)),
		fmt.Sprintf(`UPDATE events SET version = 7 WHERE event_id = '%s'`, id(217)))
	names(t, report, verify.EventAltered, 217)
	require.EqualValues(t, 1, report.Counts[verify.EventAltered])
	require.EqualValues(t, 1200, report.Counts[verify.EventInserted])
}

func TestDroppedPartition(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"dropped":  `DROP TABLE events_2020`,
		"detached": `ALTER TABLE events DETACH PARTITION events_2020`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := standard(t)
			h.tamper(t, statement)
			report := h.verify(t, func(o *verify.Options) { o.Findings = 1000 })
			var lost []string
			for n := range int64(650) {
				if at(n).Year() == 2020 {
					lost = append(lost, id(n))
				}
			}
			require.NotEmpty(t, lost)
			for _, kind := range []verify.Kind{verify.PartitionGone, verify.EventRemoved} {
				var named []string
				for _, f := range found(report, kind) {
					named = append(named, f.EventID)
				}
				slices.Sort(named)
				require.Equal(t, lost, named)
			}
		})
	}
}

func TestEditedKeys(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql   string
		kind  verify.Kind
		named bool
	}{
		"digest":            {`UPDATE event_keys SET digest = set_byte(digest, 5, 255 - get_byte(digest, 5)) WHERE event_id = '%s'`, verify.KeyAltered, true},
		"scheme":            {`UPDATE event_keys SET digest = set_byte(digest, 0, 9) WHERE event_id = '%s'`, verify.KeyAltered, true},
		"timestamp":         {`UPDATE event_keys SET timestamp = timestamp + interval '1 us' WHERE event_id = '%s'`, verify.KeyAltered, true},
		"batch":             {`UPDATE event_keys SET batch = 1 WHERE event_id = '%s'`, verify.KeyMissing, true},
		"batch, to nowhere": {`UPDATE event_keys SET batch = 77 WHERE event_id = '%s'`, verify.KeyMissing, true},
		"deleted":           {`DELETE FROM event_keys WHERE event_id = '%s'`, verify.KeyMissing, true},
		"added":             {`INSERT INTO event_keys SELECT 'ffffffff-0000-4000-8000-000000000000', batch, timestamp, digest FROM event_keys WHERE event_id = '%s'`, verify.KeyWithoutEvent, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, fmt.Sprintf(test.sql, id(217)))
			if test.named {
				names(t, report, test.kind, 217)
			} else {
				require.Equal(t, "ffffffff-0000-4000-8000-000000000000", found(report, test.kind)[0].EventID)
			}
			require.EqualValues(t, 1, report.Counts[test.kind], show(report))
			require.Zero(t, report.Counts[verify.EventAltered], show(report))
		})
	}
}

func TestEditedAccounting(t *testing.T) {
	t.Parallel()
	report := tampered(t, `UPDATE ingest_ranges SET stored = stored - 1, absent = absent + 1 WHERE batch = 2`)
	require.Positive(t, report.Counts[verify.Accounting], show(report))
	require.Equal(t, report.Total, report.Counts[verify.Accounting])
}

func TestEditedLeaves(t *testing.T) {
	t.Parallel()
	report := tampered(t, `UPDATE ledger_batches SET leaves = set_byte(leaves, 32 * 117, 255 - get_byte(leaves, 32 * 117)) WHERE batch = 2`)
	names(t, report, verify.EventAltered, 217)
	altered := found(report, verify.LogAltered)
	require.Len(t, altered, 1)
	require.Equal(t, []int64{100, 300}, []int64{*altered[0].Position, *altered[0].End})
}

// TestEditedLeavesBesideAlteredEvents: none hides the other.
func TestEditedLeavesBesideAlteredEvents(t *testing.T) {
	t.Parallel()
	for _, change := range []string{"version = 7", "salt = substring(sha256(salt) FOR 16)"} {
		report := tampered(t, `UPDATE ledger_batches SET leaves = set_byte(leaves, 32 * 117, 255 - get_byte(leaves, 32 * 117)) WHERE batch = 2`,
			fmt.Sprintf(`UPDATE events SET %s WHERE event_id IN ('%s', '%s')`, change, id(110), id(220)), fmt.Sprintf(`UPDATE event_keys SET digest = '\x00' WHERE event_id = '%s'`, id(217)))
		for _, n := range []int64{110, 217, 220} {
			names(t, report, verify.EventAltered, n)
		}
		require.EqualValues(t, 1, report.Counts[verify.LogAltered], show(report))
	}
}

func TestEditedTiles(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"a hash":      `UPDATE ledger_tiles SET hashes = set_byte(hashes, 0, 255 - get_byte(hashes, 0)) WHERE first = 1`,
		"a part gone": `DELETE FROM ledger_tiles WHERE first = 0`,
		"one too far": `INSERT INTO ledger_tiles (log, level, tile, first, hashes) SELECT log, level, 9, 0, hashes FROM ledger_tiles LIMIT 1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, sql)
			require.EqualValues(t, 1, report.Counts[verify.TileAltered], show(report))
			require.EqualValues(t, 1, report.Total, show(report))
		})
	}
}

// TestAllRecomputed: somebody changes an event, and makes its leaf, the tiles and a new checkpoint fit.
func TestAllRecomputed(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.tamper(t, fmt.Sprintf(`UPDATE events SET payload = jsonb_set(payload, '{total}', '1') WHERE event_id = '%s'`, id(217)))
	h.refit(t, 217)
	h.tamper(t, `DELETE FROM ledger_tiles`)
	t.Run("leaf and tiles", func(t *testing.T) {
		report := h.verify(t)
		names(t, report, verify.EventAltered, 217) // event_keys still knows
		altered := found(report, verify.LogAltered)
		require.Len(t, altered, 1, show(report))
		require.Equal(t, []int64{100, 300}, []int64{*altered[0].Position, *altered[0].End})
	})
	h.tamper(t, fmt.Sprintf(`UPDATE event_keys SET digest = '\x01%x' WHERE event_id = '%s'`, h.digest(t, 217)[1:], id(217)))
	t.Run("and the key", func(t *testing.T) {
		report := h.verify(t)
		require.EqualValues(t, 100, report.Logs[0].Signed)
		require.EqualValues(t, 1, report.Total, show(report))
		require.Len(t, found(report, verify.LogAltered), 1)
	})
	t.Run("and new checkpoints by another key", func(t *testing.T) {
		h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size > 100`)
		h.sign(t, newKey(t))
		report := h.verify(t)
		require.EqualValues(t, 100, report.Logs[0].Signed)
		untrusted := found(report, verify.CheckpointUntrusted)
		require.Len(t, untrusted, 1, show(report))
		require.Contains(t, untrusted[0].Detail, "size 650")
	})
	t.Run("and none but these", func(t *testing.T) {
		h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size = 100`)
		report := h.verify(t)
		require.Len(t, found(report, verify.LogUnsigned), 1, show(report))
	})
}

func TestEditedCheckpoints(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"the note's":     `UPDATE ledger_checkpoints SET note = replace(note, E'\n300\n', E'\n301\n') WHERE size = 300`,
		"the root's":     `UPDATE ledger_checkpoints SET root = set_byte(root, 0, 255 - get_byte(root, 0)) WHERE size = 300`,
		"the size's":     `UPDATE ledger_checkpoints SET size = 301 WHERE size = 300`,
		"another's note": `UPDATE ledger_checkpoints SET note = (SELECT note FROM ledger_checkpoints WHERE size = 100) WHERE size = 300`,
		"nothing":        `UPDATE ledger_checkpoints SET note = '' WHERE size = 300`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, sql)
			require.EqualValues(t, 1, report.Counts[verify.CheckpointUntrusted], show(report))
			require.EqualValues(t, 1, report.Total, show(report))
			require.EqualValues(t, 630, report.Logs[0].Signed)
		})
	}
	t.Run("signed for another history", func(t *testing.T) {
		t.Parallel()
		h := standard(t)
		h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size = 300`)
		root := ledger.LeafHash([]byte("another"))
		signed := noteOf(t, ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: 300, Root: root}, h.key)
		h.tamper(t, fmt.Sprintf(`INSERT INTO ledger_checkpoints (log, size, root, note, signed_at) VALUES ('events', 300, '\x%x', $n$%s$n$, now())`, root[:], signed))
		report := h.verify(t)
		require.EqualValues(t, 1, report.Counts[verify.CheckpointForked], show(report))
		require.EqualValues(t, 1, report.Total, show(report))
	})
}

func TestRotatedKeys(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.grow(t, 10)
	h.sign(t)
	second := newKey(t)
	h.grow(t, 10)
	h.sign(t, h.key, second)
	h.grow(t, 10)
	h.sign(t, second)
	with := func(keys ...ledger.SigningKey) func(*verify.Options) {
		return func(o *verify.Options) { o.Keys = keysOf(t, keys...) }
	}
	require.True(t, h.verify(t, with(h.key, second)).Intact)
	report := h.verify(t, with(h.key))
	require.EqualValues(t, 20, report.Logs[0].Signed)
	require.Len(t, found(report, verify.CheckpointUntrusted), 1)
	report = h.verify(t, with(second))
	require.EqualValues(t, 30, report.Logs[0].Signed)
	require.True(t, report.Intact, "all before is covered: "+show(report))
	require.Len(t, report.Notices, 1)
	require.Contains(t, report.Notices[0].Detail, "one checkpoint, of size 10, is signed by "+h.keys.IDs()[1]+" only, which was not given.")
	report = h.verify(t, with(newKey(t)))
	require.Len(t, found(report, verify.LogUnsigned), 1)
	require.Len(t, found(report, verify.CheckpointUntrusted), 3, "by the first, by both, by the second: "+show(report))
}

// TestCheckpointsOfUnknownKeys: hundreds of them are one finding, and only those that change nothing are none.
func TestCheckpointsOfUnknownKeys(t *testing.T) {
	t.Parallel()
	first := newHistory(t)
	for range 20 {
		first.grow(t, 2)
		first.sign(t)
	}
	old, id := first.key, first.keys.IDs()[1]
	first.key = newKey(t)
	first.keys = keysOf(t, first.key)
	report := first.verify(t)
	untrusted := found(report, verify.CheckpointUntrusted)
	require.Len(t, untrusted, 1, show(report))
	require.Contains(t, untrusted[0].Detail, "20 checkpoints of sizes from 2 to 40 are signed by "+id+" only, which was not given: give it with --key")
	require.Empty(t, report.Notices)

	first.grow(t, 2)
	first.sign(t)
	report = first.verify(t)
	require.True(t, report.Intact, show(report))
	require.Contains(t, report.Notices[0].Detail, "20 checkpoints of sizes from 2 to 40 are signed by "+id+" only")

	first.grow(t, 2)
	first.sign(t, old)
	first.tamper(t, `UPDATE ledger_checkpoints SET note = (SELECT note FROM ledger_checkpoints WHERE size = 6) WHERE size = 8`)
	report = first.verify(t)
	require.EqualValues(t, 2, report.Counts[verify.CheckpointUntrusted], "what is not covered, and what was changed: "+show(report))
	require.Contains(t, show(report), "20 checkpoints of sizes from 2 to 44 are signed by "+id)
	require.Contains(t, show(report), "covers what is above 42 entries")
	require.Contains(t, show(report), "the checkpoint of size 8 can't be trusted: its row says another size or root")

	// Signed by that key for another history.
	root := ledger.LeafHash([]byte("another"))
	signed := noteOf(t, ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: 8, Root: root}, old)
	first.tamper(t, fmt.Sprintf(`UPDATE ledger_checkpoints SET root = '\x%x', note = $n$%s$n$ WHERE size = 8`, root[:], signed))
	require.Contains(t, show(first.verify(t)), "the checkpoint of size 8 is signed by "+id+" only, which was not given, and its root is not this log's")
}

// TestRolledBackDatabase: all tables agree with each other, as they did some time ago.
func TestRolledBackDatabase(t *testing.T) {
	t.Parallel()
	h := standard(t)
	known := h.sign(t)
	for _, after := range []int{3, 2} { // a batch's number
		h.tamper(t, fmt.Sprintf(`DELETE FROM events WHERE id >> 14 > %d`, after), fmt.Sprintf(`DELETE FROM event_keys WHERE batch > %d`, after),
			fmt.Sprintf(`DELETE FROM ingest_ranges WHERE batch > %d`, after), fmt.Sprintf(`DELETE FROM ledger_batches WHERE batch > %d`, after),
			`UPDATE ingest_offsets SET next_offset = (SELECT max(to_offset) FROM ingest_ranges)`,
			`DELETE FROM ledger_checkpoints WHERE size > (SELECT max(first_position + count) FROM ledger_batches)`,
			`DELETE FROM ledger_tiles WHERE 256 * (first + length(hashes) / 32) > (SELECT max(first_position + count) FROM ledger_batches)`)
		require.True(t, h.verify(t).Intact, "nothing within the database tells")
		report := h.verify(t, func(o *verify.Options) { o.Outside = []verify.Outside{{Source: "my drawer", Note: known}} })
		rolledBack := found(report, verify.LogRolledBack)
		require.Len(t, rolledBack, 1, show(report))
		require.Contains(t, rolledBack[0].Detail, "my drawer")
	}
	// And went on from there with other events.
	h.next = 300
	h.grow(t, 400)
	h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size > 300`)
	h.sign(t)
	require.True(t, h.verify(t).Intact)
	report := h.verify(t, func(o *verify.Options) { o.Outside = []verify.Outside{{Source: "my drawer", Note: known}} })
	require.EqualValues(t, 1, report.Total, show(report))
	require.Len(t, found(report, verify.CheckpointForked), 1, "the key has signed two histories")
}

// TestDeletedCheckpoints: the last ones are missed where somebody remembers them; one that is remembered and
// was not kept yet, as by a notary that runs, is not.
func TestDeletedCheckpoints(t *testing.T) {
	t.Parallel()
	h := standard(t)
	known := h.sign(t)
	remembers := func(previous int64) func(*verify.Options) {
		return func(o *verify.Options) {
			o.Outside = []verify.Outside{{Source: "the notary's state file", Note: known, Previous: previous}}
		}
	}
	h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size = 650`)
	require.True(t, h.verify(t, remembers(630)).Intact)
	h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size = 630`)
	report := h.verify(t, remembers(630))
	require.EqualValues(t, 1, report.Total, show(report))
	gone := found(report, verify.CheckpointGone)
	require.Len(t, gone, 1, show(report))
	require.Contains(t, gone[0].Detail, "remembers checkpoints of 630 and 650 entries, but the database keeps none above 300")
	h.tamper(t, `DELETE FROM ledger_checkpoints`)
	require.Len(t, found(h.verify(t, remembers(630)), verify.CheckpointGone), 1)
}

// TestRowsThatNoAppendWrites: what a superuser can write and no event has is named, not tripped over.
func TestRowsThatNoAppendWrites(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  string
		kind verify.Kind
	}{
		"a short salt":      {`UPDATE events SET salt = '\x01' WHERE event_id = '%s'`, verify.EventUnreadable},
		"an endless number": {`UPDATE events SET payload = ('1' || repeat('0', 2000))::jsonb WHERE event_id = '%s'`, verify.EventUnreadable},
		"year 100000":       {`UPDATE events SET created_at = '100000-01-01' WHERE event_id = '%s'`, verify.EventAltered},
		"recorded never":    {`UPDATE events SET created_at = 'infinity' WHERE event_id = '%s'`, verify.EventAltered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, fmt.Sprintf(test.sql, id(217)))
			require.EqualValues(t, 1, report.Counts[test.kind], show(report))
			require.Equal(t, id(217), found(report, test.kind)[0].EventID)
			require.Zero(t, report.Counts[verify.EventRemoved], show(report))
		})
	}
	for name, sql := range map[string]string{
		"leaves cut":           `UPDATE ledger_batches SET leaves = substring(leaves FOR 100) WHERE batch = 2`,
		"leaves too long":      `UPDATE ledger_batches SET leaves = leaves || '\x00' WHERE batch = 2`,
		"a batch far away":     `UPDATE ledger_batches SET first_position = 4611686018427387904 WHERE batch = 4`,
		"batches that overlap": `UPDATE ledger_batches SET first_position = 299 WHERE batch = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, `ALTER TABLE ledger_batches DROP CONSTRAINT ledger_batches_check`, sql)
			require.Positive(t, report.Counts[verify.LedgerGap], show(report))
		})
	}
}

// TestAccessLog: its leaves and checkpoints are verified as those of events are.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.accesses(t, 3, 100, 3)
	h.signLog(t, ledger.Access, h.key)
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	require.Equal(t, verify.LogReport{Log: ledger.Access, Size: 300, Signed: 300, Checkpoints: 1, Complete: true}, report.Logs[1])

	h.tamper(t, `UPDATE ledger_batches SET leaves = set_byte(leaves, 77, get_byte(leaves, 77) # 1) WHERE batch = 2 AND log = 'access'`)
	report = h.verify(t)
	altered := found(report, verify.LogAltered)
	require.Len(t, altered, 1, show(report))
	require.Equal(t, ledger.Access, altered[0].Log)
	require.EqualValues(t, 1, report.Counts[verify.TileAltered], show(report))
	report = h.verify(t, func(o *verify.Options) {
		var err error
		o.Keys, err = ledger.ParseKeys(h.key.VerifierKey(ledger.Events))
		require.NoError(t, err)
	})
	require.Len(t, found(report, verify.LogUnsigned), 1, "the key of one log is not the other's")
}
