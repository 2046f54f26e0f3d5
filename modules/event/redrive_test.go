package event_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

func TestARedrivenEventSaysSo(t *testing.T) {
	decoded, rejected := event.Decode(event.Raw{Value: []byte(`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01","eventType":"E",
		"aggregateId":"a","aggregateType":"A","timestamp":"2026-03-01T09:30:00Z","version":1,"payload":1,"metadata":{"a":1,"b":2}}`)})
	require.Nil(t, rejected)
	valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
	require.Nil(t, rejected)
	redriven := valid.Redriven(event.Redrive{DeadLetter: 7, By: "ann \"x\"", Reason: "the rule <&> was relaxed", Edited: true})
	require.JSONEq(t, `{"a":1,"b":2}`, string(valid.Event().Metadata), "the event itself is as it was")
	require.JSONEq(t, `{"a":1,"audittrail":{"deadLetter":7,"edited":true,"reason":"the rule <&> was relaxed","redrivenBy":"ann \"x\""},"b":2}`,
		string(redriven.Event().Metadata))
	again, err := event.Canonicalize(nil, redriven.Event().Metadata)
	require.NoError(t, err)
	require.Equal(t, string(again), string(redriven.Event().Metadata), "it is canonical")
	require.Equal(t, valid.Digest(), redriven.Digest())
	require.Equal(t, [event.DigestSize]byte(redriven.Digest()), [event.DigestSize]byte(redriven.Event().Digest()), "the digest leaves the marker out")
}
