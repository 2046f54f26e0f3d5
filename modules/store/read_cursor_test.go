package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawKey(t *rapid.T) key {
	return key{
		timestamp: time.UnixMicro(rapid.Int64Range(-62_000_000_000_000_000, 253_000_000_000_000_000).Draw(t, "timestamp")).UTC(),
		id:        rapid.Int64().Draw(t, "id"),
	}
}

func TestCursorsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k, print := drawKey(t), rapid.SliceOf(rapid.Byte()).Draw(t, "fingerprint")
		got, err := parseCursor(cursor(k, Ascending, print), Ascending, print)
		if err != nil || got != k {
			t.Fatalf("%v came back as %v, %v", k, got, err)
		}
	})
}

func TestCursorsThatWereMangledAreRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(cursor(drawKey(t), Ascending, []byte("search")))
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		before := text[at]
		text[at] = rapid.SampledFrom([]byte("ABCxyz019-_=%")).Draw(t, "with")
		if _, err := parseCursor(string(text), Ascending, []byte("search")); err == nil && text[at] != before {
			t.Fatal("taken all the same")
		}
		if _, err := parseCursor(string(text[:at]), Ascending, []byte("search")); err == nil {
			t.Fatal("a part was taken")
		}
	})
}

func TestForgedCursorsOfNoTimeAreRefused(t *testing.T) {
	t.Parallel()
	for _, micros := range []int64{-1 << 63, 1<<63 - 1, 253_402_300_800_000_000} {
		_, err := parseCursor(cursor(key{time.UnixMicro(micros), 1}, Ascending, nil), Ascending, nil)
		require.ErrorIs(t, err, errCursor)
	}
}

// Filters that mean the same have one fingerprint, and others another.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	same := []Filter{
		{EventTypes: []string{"a", "b"}, From: at}, {EventTypes: []string{"b", "a", "b"}, From: at.In(time.FixedZone("", 3600))},
	}
	require.Equal(t, same[0].fingerprint(), same[1].fingerprint())
	seen := map[string]Filter{}
	for _, f := range []Filter{
		{}, {EventTypes: []string{"a"}}, {EventTypes: []string{"a", "b"}}, {EventTypes: []string{"ab"}}, {EventTypes: []string{"a\x00b"}},
		{AggregateType: "a"}, {AggregateID: "a"}, {AggregateType: "a", AggregateID: "b"}, {AggregateType: "ab"},
		{From: at}, {To: at}, {From: at.Add(time.Microsecond)},
		{CorrelationID: "a"}, {CausationID: "a"}, {UserID: "a"}, {Source: "a"}, {Payload: []byte("1")}, {Payload: []byte("{}")},
	} {
		other, twice := seen[string(f.fingerprint())]
		require.False(t, twice, "%v and %v", f, other)
		seen[string(f.fingerprint())] = f
	}
}
