package store_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// long is a record whose value is too large.
func long(offset int64) (event.Raw, string) {
	value := strings.Repeat(" ", rules.MaxRecordBytes) + `{}`
	r := raw(0, offset, value[:event.OversizeKept])
	r.Oversize = &event.Oversize{Length: int64(len(value)), SHA256: sha256.Sum256([]byte(value)), Detail: "the value is too long"}
	return r, value
}

func TestADeadLetterKeepsLengthAndHashOfItsValue(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	large, value := long(0)
	tombstone := raw(0, 1, "")
	tombstone.Value = nil
	_, err := s.Append(t.Context(), one(t, 0, large, tombstone, raw(0, 2, ""), raw(0, 3, "nonsense")))
	require.NoError(t, err)
	require.Equal(t, event.OversizeKept, s.count(t, `SELECT octet_length(value) FROM dead_letters WHERE "offset" = 0`))

	sum := func(text string) []byte { b := sha256.Sum256([]byte(text)); return b[:] }
	wants := []struct {
		length int64
		sum    []byte
	}{{int64(len(value)), sum(value)}, {-1, nil}, {0, sum("")}, {8, sum("nonsense")}}
	list, err := s.reader(t).DeadLetters(t.Context(), store.DeadLetterFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	published, err := store.NewOutbox(s.pool).Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	for i, want := range wants {
		for _, d := range []store.DeadLetter{list.Items[3-i], published[i]} {
			require.EqualValues(t, i, d.Raw.Offset)
			require.Equal(t, want.length, d.ValueLength)
			require.Equal(t, want.sum, d.ValueSHA256)
		}
	}
	require.Equal(t, large.Value, list.Items[3].Raw.Value)
	for _, d := range []store.DeadLetter{list.Items[3], published[0]} {
		require.NotNil(t, d.Raw.Oversize)
		require.Equal(t, event.Oversize{Length: int64(len(value)), SHA256: large.Oversize.SHA256}, *d.Raw.Oversize)
	}
	require.Nil(t, published[0].Raw.Value, "what is too large is published without a value")
	require.Equal(t, []byte("nonsense"), published[3].Raw.Value)
}

// Rows of before keep what was too large whole. Of these, too, the outbox answers no value: they may be of
// any size.
func TestOutboxLeavesOutWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	value := bytes.Repeat([]byte("x"), 20<<20)
	_, err := s.owner.Exec(t.Context(), `WITH letter AS (
			INSERT INTO dead_letters ("offset", received_at, topic_id, partition, topic, reason, field, detail, value, header_keys, header_values)
			SELECT n, now(), $1, 0, 'orders', 'too_large', '', '', $2, '{}', '{}' FROM generate_series(1, 2) AS n RETURNING id)
		INSERT INTO dead_letter_outbox (dead_letter_id) SELECT id FROM letter`, [16]byte(topicID), value)
	require.NoError(t, err)
	letters, err := store.NewOutbox(s.pool).Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	require.Len(t, letters, 2, "they count for nothing")
	want := sha256.Sum256(value)
	for _, d := range letters {
		require.Nil(t, d.Raw.Value)
		require.EqualValues(t, len(value), d.ValueLength)
		require.Equal(t, want[:], d.ValueSHA256)
	}
}

// Headers that compress well are as long in memory as those that do not.
func TestOutboxCountsHeadersAsTheyAre(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	var records []event.Raw
	for offset := range int64(3) {
		r := raw(0, offset, "nonsense")
		r.Headers = []event.Header{{Key: "h", Value: bytes.Repeat([]byte("x"), 5<<20)}}
		records = append(records, r)
	}
	_, err := s.Append(t.Context(), one(t, 0, records...))
	require.NoError(t, err)
	letters, err := store.NewOutbox(s.pool).Next(t.Context(), 0, nil, 10)
	require.NoError(t, err)
	require.Len(t, letters, 1, "two would be more than 8 MiB")
}
