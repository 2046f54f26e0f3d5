package app

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// sealedValues are what a row's column `sealed` holds: version, key id, nonce and ciphertext of each value.
type sealedValues [][]byte

func (v sealedValues) key(i int) []byte { return v[i][1:17] }

func (v sealedValues) clone() (out sealedValues) {
	for _, value := range v {
		out = append(out, append([]byte{}, value...))
	}
	return out
}

func readSealed(t *testing.T, conn *pgx.Conn, aggregate string, version int) (values sealedValues) {
	t.Helper()
	var column []byte
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT sealed FROM events WHERE aggregate_id = $1 AND version = $2`, aggregate, version).Scan(&column))
	for len(column) > 0 {
		n, size := binary.Uvarint(column)
		values, column = append(values, column[size:size+int(n)]), column[size+int(n):]
	}
	require.Len(t, values, 2)
	return values
}

func writeSealed(t *testing.T, conn *pgx.Conn, aggregate string, version int, values sealedValues) {
	t.Helper()
	var column []byte
	for _, value := range values {
		column = append(binary.AppendUvarint(column, uint64(len(value))), value...)
	}
	tag, err := conn.Exec(t.Context(), `UPDATE events SET sealed = $3 WHERE aggregate_id = $1 AND version = $2`, aggregate, version, column)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
}

// A sealed value that a database administrator copies elsewhere opens nowhere. Readers with pii:read are told so in its
// place, and all else of the answer is as ever.
func TestCopiedValuesDoNotOpen(t *testing.T) {
	t.Parallel()
	database, brokers := migratetest.Database(t), broker(t)
	args := []string{"--postgres.url=" + database, "--kafka.brokers=" + brokers, "--kafka.topics=orders", kekURL, eraseRules}
	p := start(t, append(args, "--roles=ingest,api,notary")...)
	p.until("admin", "/readyz", 200, "")
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), `DO $$ DECLARE r regclass; BEGIN
		FOR r IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
			EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', r);
		END LOOP; END $$`)
	require.NoError(t, err)

	const altered, unknown = `{"$sealed":"altered"}`, `{"$sealed":"key_unknown"}`
	cases := []struct {
		name, reads string
		change      func(mine, later, others sealedValues) sealedValues
	}{
		{"to another event", altered, func(mine, later, _ sealedValues) sealedValues { mine[0] = later[0]; return mine }},
		{"to another path", altered, func(mine, _, _ sealedValues) sealedValues { mine[0] = mine[1]; return mine }},
		{"to another subject", altered, func(mine, _, others sealedValues) sealedValues { mine[0] = others[0]; return mine }},
		{"to another subject, under that one's key", altered, func(mine, _, others sealedValues) sealedValues {
			mine[0] = append(append(append([]byte{}, others[0][:1]...), mine.key(0)...), others[0][17:]...)
			return mine
		}},
		{"under another subject's key", altered, func(mine, _, others sealedValues) sealedValues { copy(mine.key(0), others.key(0)); return mine }},
		{"under a key that there is not", unknown, func(mine, _, _ sealedValues) sealedValues { copy(mine.key(0), "no key of anybody"); return mine }},
	}
	const other = 50
	var records []string
	for n := range len(cases) {
		records = append(records, customer(n, 1), customer(n, 2), customer(other+n, 1))
	}
	produceAt(t, brokers, time.Now(), records...)
	for n := range len(cases) {
		p.until("api", fmt.Sprintf("/v1/aggregates/Account/a-%d/events", other+n), 200, fmt.Sprintf("mark-%d.", other+n))
	}
	for n, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mine, later, others := readSealed(t, conn, fmt.Sprintf("a-%d", n), 1), readSealed(t, conn, fmt.Sprintf("a-%d", n), 2), readSealed(t, conn, fmt.Sprintf("a-%d", other+n), 1)
			writeSealed(t, conn, fmt.Sprintf("a-%d", n), 1, c.change(mine.clone(), later, others))
			for _, path := range append(p.paths(n), fmt.Sprintf("/v1/events/export?format=ndjson&aggregateId=a-%d", n)) {
				status, body := p.get("api", path)
				require.Equal(t, 200, status, "%s: %s", path, body)
				if strings.Contains(path, "/state") || strings.Contains(path, "/diff") { // the second event's values count
					require.Contains(t, body, fmt.Sprintf("mark-%d.", n), path)
					continue
				}
				require.Contains(t, body, `"name":`+c.reads, path)
				require.Contains(t, body, fmt.Sprintf(`"userId":"user-%d."`, n), "%s: the other value opens", path)
				require.NotContains(t, body, fmt.Sprintf("mark-%d.", other+n))
			}
			status, body := p.get("api", fmt.Sprintf("/v1/events/7b1b0c3a-6a5f-4f0e-0001-2f5d1c9a%04d", n))
			require.Equal(t, 200, status)
			require.NotContains(t, body, "mark-")
			p.token = p.issuer.Token(map[string]any{"roles": []string{"viewer"}})
			_, body = p.get("api", fmt.Sprintf("/v1/events?aggregateId=a-%d", n))
			require.Equal(t, 4, strings.Count(body, `{"$sealed":true}`), "who may not see values is told nothing: %s", body)
			p.token = p.issuer.Token(nil)
		})
	}
}

// A subject's key that is copied to another's opens nothing, and keeps nobody from reading other values.
func TestCopiedKeysDoNotOpen(t *testing.T) {
	t.Parallel()
	database, brokers := migratetest.Database(t), broker(t)
	args := []string{"--postgres.url=" + database, kekURL, eraseRules}
	p := start(t, append(args, "--roles=ingest,api", "--kafka.brokers="+brokers, "--kafka.topics=orders")...)
	p.until("admin", "/readyz", 200, "")
	produceAt(t, brokers, time.Now(), customer(1, 1), customer(2, 1), customer(3, 1))
	p.until("api", "/v1/events?aggregateId=a-3", 200, "mark-3.")
	require.NoError(t, p.stop())
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	one, two := readSealed(t, conn, "a-1", 1).key(0), readSealed(t, conn, "a-2", 1).key(0)
	_, err = conn.Exec(t.Context(), `UPDATE subject_keys SET wrapped = (SELECT wrapped FROM subject_keys WHERE id = $2) WHERE id = $1`, [16]byte(one), [16]byte(two))
	require.NoError(t, err)

	p = start(t, append(args, "--roles=api")...)
	p.until("admin", "/readyz", 200, "")
	status, body := p.get("api", "/v1/events?limit=10")
	require.Equal(t, 200, status, body)
	require.Equal(t, 2, strings.Count(body, `{"$sealed":"altered"}`), body)
	require.NotContains(t, body, "mark-1.")
	require.Contains(t, body, "mark-2.")
	require.Contains(t, body, "mark-3.")
	_, body = p.get("api", "/v1/events?aggregateId=a-1")
	require.NotContains(t, body, "$erased")
}
