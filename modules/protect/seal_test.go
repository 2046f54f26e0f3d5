package protect

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

func testEvent(t testing.TB, n int, payload, metadata string) event.Valid {
	t.Helper()
	decoded, rejected := event.Decode(event.Raw{Value: []byte(fmt.Sprintf(`{"eventId":"00000000-0000-4000-8000-%012d","eventType":"A","aggregateId":"a%d",
		"aggregateType":"T","timestamp":"2026-01-01T00:00:00Z","version":1,"payload":%s,"metadata":%s}`, n, n, payload, metadata))})
	require.Nil(t, rejected)
	valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
	require.Nil(t, rejected)
	return valid
}

// Values of several subjects and places of one event, sealed in two batches one after the other: the second batch uses
// the spaces of the first again, and must leave alone what the first returned.
func TestSealedValuesKeepTheirSubjectsAndPlaces(t *testing.T) {
	t.Parallel()
	rules, err := NewRules([]RuleOptions{
		{EventType: "*", Path: "$.payload.customer.name", Subject: "$.payload.customer.id", Search: true},
		{EventType: "*", Path: "$.payload.customer.born", Subject: "$.payload.customer.id"},
		{EventType: "*", Path: "$.payload.clerk", Subject: "$.metadata.userId"},
		{EventType: "*", Path: "$.payload.gifts[*].note", Subject: "$.payload.gifts[*].to"},
		{EventType: "*", Path: "$.payload.total"},
		{EventType: "*", Path: "$.metadata.userId", Subject: "$.metadata.userId", Search: true},
	})
	require.NoError(t, err)
	k := NewKeyring(&oneWrapping{keys: map[SubjectHash]WrappedKey{}}, func(context.Context) (KEK, error) { return plainKEK{}, nil })
	p := WithRules(rules, k)
	var batches [2][]Sealed
	var plain [2][]event.Valid
	for i := range batches {
		for n := range 20 {
			n += 100 * i
			plain[i] = append(plain[i], testEvent(t, n, fmt.Sprintf(`{"clerk":{"is":["c",%d]},"customer":{"born":null,"id":"P%d","name":"Ada %d"},
				"gifts":[{"note":"one %d","to":"G%d"},{"to":"nobody"},{"note":"two","to":"H%d"}],"total":%d}`, n, n%3, n, n, n, n, n), fmt.Sprintf(`{"userId":"u%d"}`, n%2)))
		}
		batches[i], err = p.Seal(t.Context(), plain[i])
		require.NoError(t, err)
	}
	names := map[TokenValue]int{}
	var space []byte
	for i, batch := range batches {
		for n := range batch {
			s := &batch[n]
			require.Len(t, s.Keys(), 5, "customer, user, two who are given something, the aggregate")
			require.Len(t, s.Tokens(), 2)
			require.Equal(t, s.Tokens()[0].Key, s.Keys()[1], "the clerk comes first, then the customer")
			names[s.Tokens()[0].Value]++
			want := plain[i][n].Event()
			require.True(t, s.Says(s.Digest()))
			require.Equal(t, event.NewKeyedDigester(k.root.digests).Digest(want), event.Digest(s.Digest()))
			e, used, err := s.Stored(space)
			space = used
			require.NoError(t, err)
			payload, metadata, err := Expand(s.Event().Payload, s.Event().Metadata, s.Column())
			require.NoError(t, err)
			require.Equal(t, string(e.Payload), string(payload))
			require.Equal(t, string(e.Metadata), string(metadata))
			keys, err := ColumnKeys(s.Column())
			require.NoError(t, err)
			require.ElementsMatch(t, s.Keys(), keys)

			_, err = NewOpener(k).Open(t.Context(), []*event.Event{&e})
			require.NoError(t, err)
			require.Equal(t, string(want.Payload), string(e.Payload))
			require.Equal(t, string(want.Metadata), string(e.Metadata))
		}
	}
	require.Len(t, names, 40, "one token a name")
	require.Equal(t, batches[0][0].Tokens()[0].Key, batches[1][2].Tokens()[0].Key, "P0's key in both batches")
	require.NotEqual(t, batches[0][0].Tokens()[0].Key, batches[0][1].Tokens()[0].Key)
}
