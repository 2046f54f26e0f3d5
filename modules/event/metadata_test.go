package event_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

const aTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

func header(parent string) event.Header {
	return event.Header{Key: "traceparent", Value: []byte(parent)}
}

func TestTraceIDIsKept(t *testing.T) {
	good := header("00-" + aTrace + "-00f067aa0ba902b7-01")
	for _, c := range []struct {
		name    string
		headers []event.Header
		kept    bool
	}{
		{"none", nil, false},
		{"one", []event.Header{good}, true},
		{"among others", []event.Header{{Key: "a"}, good, {Key: "b"}}, true},
		{"another key", []event.Header{{Key: "Trace", Value: good.Value}}, false},
		{"of a later version", []event.Header{header("cc-" + aTrace + "-00f067aa0ba902b7-01-more")}, true},
		{"of version 00 with more behind", []event.Header{header("00-" + aTrace + "-00f067aa0ba902b7-01-more")}, false},
		{"of version ff", []event.Header{header("ff-" + aTrace + "-00f067aa0ba902b7-01")}, false},
		{"of a later version, glued", []event.Header{header("cc-" + aTrace + "-00f067aa0ba902b7-01more")}, false},
		{"in capitals", []event.Header{header("00-" + strings.ToUpper(aTrace) + "-00f067aa0ba902b7-01")}, false},
		{"of zeros", []event.Header{header("00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01")}, false},
		{"with a span of zeros", []event.Header{header("00-" + aTrace + "-0000000000000000-01")}, false},
		{"with other flags", []event.Header{header("00-" + aTrace + "-00f067aa0ba902b7-0x")}, false},
		{"cut", []event.Header{header("00-" + aTrace)}, false},
		{"with quotes", []event.Header{header("00-" + `"` + aTrace[1:] + "-00f067aa0ba902b7-01")}, false},
		{"empty", []event.Header{header("")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			metadata := string(accept(t, eventtest.Value(), c.headers...).Event().Metadata)
			want := `"source":"shop",`
			if c.kept {
				want += `"traceId":"` + aTrace + `",`
			}
			if want += `"userId":"u-7"}`; !strings.HasSuffix(metadata, want) {
				t.Errorf("got %s, want …%s", metadata, want)
			}
		})
	}
	t.Run("the producer's own stands", func(t *testing.T) {
		for _, own := range []string{`"abc"`, `null`, `{"a":1}`} {
			v := accept(t, eventtest.With(`"source":"shop"`, `"traceId":`+own), good)
			if !bytes.Contains(v.Event().Metadata, []byte(`"traceId":`+own)) {
				t.Errorf("got %s", v.Event().Metadata)
			}
		}
	})
	t.Run("without metadata", func(t *testing.T) {
		value := eventtest.With(`,"metadata":{"correlationId":"c-1","causationId":"c-0","userId":"u-7","source":"shop"}`, ``)
		if got := string(accept(t, value, good).Event().Metadata); got != `{"traceId":"`+aTrace+`"}` {
			t.Errorf("got %s", got)
		}
	})
}

// Neither spelling nor trace makes another digest; whatever else is said does.
func TestDigest(t *testing.T) {
	plain := accept(t, eventtest.Value()).Digest()
	for name, v := range map[string]event.Valid{
		"spaces and order": accept(t, []byte(`{ "metadata":{"source":"shop","userId":"u-7","causationId":"c-0","correlationId":"c-1"},`+
			`"payload":{"lines":[{"qty":2.0,"sku":"A\u002d1"}],"total":"12.50"},"version":1e0,"timestamp":"2024-05-01T11:30:00.1234569+02:00",`+
			`"aggregateType":"Order","aggregateId":"order-1001","eventType":"OrderPlaced","eventId":"018F4E2A-7C31-7B5A-9D7E-1F2A3B4C5D6E"}`)),
		"a trace of the header":   accept(t, eventtest.Value(), header("00-"+aTrace+"-00f067aa0ba902b7-01")),
		"a trace in the metadata": accept(t, eventtest.With(`"source":"shop"`, `"source":"shop","traceId":{"a":"}\","}`)),
	} {
		if !bytes.Equal(v.Digest(), plain) {
			t.Errorf("%s: another digest", name)
		}
	}
	for _, change := range [][2]string{
		{"018f4e2a", "018f4e2b"}, {"OrderPlaced", "OrderPaid"}, {"order-1001", "order-1002"}, {`"Order"`, `"order"`},
		{"123456Z", "123457Z"}, {`"version":1`, `"version":2`}, {`"12.50"`, `12.50`}, {"A-1", "A-2"}, {`"u-7"`, `"u-8"`},
		{`"source":"shop"`, `"source":"shop","x":{"traceId":1}`}, {`"source":"shop"}`, `"source":"shop"},"other":null`},
	} {
		if bytes.Equal(accept(t, eventtest.With(change[0], change[1])).Digest(), plain) {
			t.Errorf("%s: the same digest", change[1])
		}
	}
}

// A database holds digests for ever: this one MUST NOT change.
func TestDigestIsStable(t *testing.T) {
	want := sha256Of(`{"aggregateId":"order-1001","aggregateType":"Order","eventId":"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e",` +
		`"eventType":"OrderPlaced","metadata":{"causationId":"c-0","correlationId":"c-1","source":"shop","userId":"u-7"},` +
		`"payload":{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"},"timestamp":"2024-05-01T09:30:00.123456Z","version":1}`)
	if got := accept(t, eventtest.Value()).Digest(); !bytes.Equal(got, append([]byte{1}, want[:16]...)) {
		t.Errorf("got %x, want 01%x", got, want[:16])
	}
}

func TestDigestWithoutOurMarker(t *testing.T) {
	e := *accept(t, eventtest.Value()).Event()
	plain := e.Digest()
	e.Metadata = []byte(`{"audittrail":{"replay":"r-1"},` + string(e.Metadata[1:]))
	if e.Digest() != plain {
		t.Error("metadata.audittrail changes the digest")
	}
}

func TestTraceParentOfARecord(t *testing.T) {
	raw := event.Raw{Headers: []event.Header{{Key: "x"}, header("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}}
	p, ok := raw.TraceParent()
	require.True(t, ok)
	require.Equal(t, event.TraceParent{
		Trace: [16]byte{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
		Span:  [8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, Sampled: true,
	}, p)
	raw.Headers[1] = header("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02")
	p, ok = raw.TraceParent()
	require.True(t, ok)
	require.False(t, p.Sampled)
	raw.Headers[1] = header("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")
	_, ok = raw.TraceParent()
	require.False(t, ok)
}

func TestCorrelationIDOfAnEvent(t *testing.T) {
	for metadata, want := range map[string]string{
		`{"causationId":"a","correlationId":"c \"1\"","source":"s"}`: `c "1"`, `{"source":"s"}`: "", `{}`: "", `{"correlationId":{"$sealed":"1.x"}}`: "",
	} {
		e := event.Event{Metadata: []byte(metadata)}
		got, ok := e.CorrelationID()
		require.Equal(t, want, got, metadata)
		require.Equal(t, want != "", ok, metadata)
	}
}
