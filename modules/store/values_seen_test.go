package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
)

// Events whose values are all known, but were never seen together, are looked at once too.
func TestEventsAreRememberedWithoutNewValues(t *testing.T) {
	t.Parallel()
	sealed := func(eventType, source string) protect.Sealed {
		decoded, rejected := event.Decode(event.Raw{Value: []byte(`{"eventId":"00000000-0000-4000-8000-000000000001","eventType":"` + eventType +
			`","aggregateId":"a","aggregateType":"A","timestamp":"2026-01-01T00:00:00Z","version":1,"payload":1,"metadata":{"source":"` + source + `"}}`)})
		require.Nil(t, rejected)
		valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
		require.Nil(t, rejected)
		return protecttest.Seal(valid)
	}
	seen := &seenValues{values: map[value]bool{}, events: map[string]bool{}, open: map[string]bool{}}
	values, keys := seen.missing([]protect.Sealed{sealed("X", "s"), sealed("Y", "t"), sealed("X", "s")})
	require.Len(t, values, 5)
	require.Len(t, keys, 2)
	seen.add(values, keys)

	mixed := []protect.Sealed{sealed("X", "t")}
	values, keys = seen.missing(mixed)
	require.Empty(t, values)
	require.Len(t, keys, 1)
	seen.add(values, keys)
	_, keys = seen.missing(mixed)
	require.Empty(t, keys)
}
