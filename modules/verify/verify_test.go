package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/verify"
)

func TestAnUntouchedStoreIsClean(t *testing.T) {
	t.Parallel()
	h := standard(t)
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	require.EqualValues(t, 650, report.Events)
	require.NotEmpty(t, report.Logs[0].UnsignedSince)
	report.Logs[0].UnsignedSince = ""
	require.Equal(t, []verify.LogReport{
		{Log: ledger.Events, Size: 650, Signed: 630, NotYetSigned: 20, Checkpoints: 3, Complete: true},
		{Log: ledger.Access, Complete: true},
	}, report.Logs)
}

func TestAnEmptyStoreIsClean(t *testing.T) {
	t.Parallel()
	report := newHistory(t).verify(t)
	require.True(t, report.Intact, show(report))
}

func TestAlteredRows(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"payload value":     `UPDATE events SET payload = jsonb_set(payload, '{total}', '999999') WHERE event_id = $1`,
		"event type":        `UPDATE events SET event_type = 'OrderCancelled' WHERE event_id = $1`,
		"aggregate":         `UPDATE events SET aggregate_id = 'order-0' WHERE event_id = $1`,
		"user":              `UPDATE events SET metadata = metadata || '{"userId": "u-2"}' WHERE event_id = $1`,
		"version":           `UPDATE events SET version = 2 WHERE event_id = $1`,
		"timestamp":         `UPDATE events SET timestamp = timestamp + interval '1 us' WHERE event_id = $1`,
		"timestamp's month": `UPDATE events SET timestamp = timestamp - interval '1 year' WHERE event_id = $1`,
		"infinitely early":  `UPDATE events SET timestamp = '-infinity' WHERE event_id = $1`,
		"recorded time":     `UPDATE events SET created_at = created_at - interval '1 day' WHERE event_id = $1`,
		"Kafka offset":      `UPDATE events SET kafka_offset = kafka_offset + 1 WHERE event_id = $1`,
		"Kafka partition":   `UPDATE events SET kafka_partition = 5 WHERE event_id = $1`,
		"Kafka topic":       `UPDATE events SET kafka_topic = 'payments' WHERE event_id = $1`,
		"salt":              `UPDATE events SET salt = decode('00112233445566778899aabbccddeeff', 'hex') WHERE event_id = $1`,
		"times both":        `UPDATE events SET created_at = now(), timestamp = timestamp + interval '1 s' WHERE event_id = $1`,
		"time and content":  `UPDATE events SET created_at = now(), version = 3 WHERE event_id = $1`,
	}
	for name, sql := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := standard(t)
			h.tamper(t)
			tag, err := h.admin.Exec(t.Context(), sql, id(217))
			require.NoError(t, err)
			require.EqualValues(t, 1, tag.RowsAffected())
			report := h.verify(t)
			names(t, report, verify.EventAltered, 217)
			require.EqualValues(t, 1, report.Counts[verify.EventAltered], show(report))
			require.Zero(t, report.Counts[verify.EventRemoved], show(report))
			require.Zero(t, report.Counts[verify.LogAltered], "the log is what was signed")
			require.EqualValues(t, 630, report.Logs[0].Signed)
		})
	}
}
