package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/event"
)

func drawRow(t *rapid.T) row {
	text := rapid.String()
	micros := rapid.Int64Range(-1e15, 1e15)
	r := row{id: rapid.Int64().Draw(t, "id"), sealed: rapid.Bool().Draw(t, "sealed")}
	e := &r.stored
	copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "eventId"))
	copy(e.Salt[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "salt"))
	e.Type, e.AggregateType, e.AggregateID = text.Draw(t, "type"), text.Draw(t, "aggregateType"), text.Draw(t, "aggregateId")
	e.Payload, e.Metadata = []byte(text.Draw(t, "payload")), []byte(text.Draw(t, "metadata"))
	e.Timestamp, e.RecordedAt = time.UnixMicro(micros.Draw(t, "timestamp")).UTC(), time.UnixMicro(micros.Draw(t, "recordedAt")).UTC()
	e.Version, e.Position = rapid.Int32().Draw(t, "version"), rapid.Int64().Draw(t, "position")
	e.Kafka = event.Coordinates{Topic: text.Draw(t, "topic"), Partition: rapid.Int32().Draw(t, "partition"), Offset: rapid.Int64().Draw(t, "offset")}
	return r
}

// A row comes back from the cache as it was, and nothing else comes from there.
func TestRowsInACache(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, secret := drawRow(t), []byte("of this installation")
		value := sealRow(secret, "key", &r)
		got, ok := openRow(secret, "key", value)
		require.True(t, ok)
		require.Equal(t, r, got)

		plain := rowBytes(&r)
		_, ok = parseRow(append(plain, 0))
		require.False(t, ok, "more than a row")
		_, ok = parseRow(plain[:rapid.IntRange(0, len(plain)-1).Draw(t, "cut")])
		require.False(t, ok, "less than a row")
		for _, bad := range [][]byte{nil, value[:11], value[:len(value)-1], flipped(value, rapid.IntRange(0, len(value)-1).Draw(t, "bit"))} {
			_, ok = openRow(secret, "key", bad)
			require.False(t, ok)
		}
		_, ok = openRow(secret, "another key", value)
		require.False(t, ok)
		_, ok = openRow([]byte("of another one"), "key", value)
		require.False(t, ok)
	})
}

func FuzzParseRow(f *testing.F) {
	f.Add(rowBytes(&row{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := parseRow(b); ok {
			again, ok := parseRow(rowBytes(&r))
			require.True(t, ok)
			require.Equal(t, r, again)
		}
	})
}
