package event

import "encoding/hex"

// TraceParent is the span that a producer sent along with a record.
type TraceParent struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool
}

// TraceParent reads the record's traceparent header; ok is false where there is none that is valid.
func (r *Raw) TraceParent() (p TraceParent, ok bool) {
	for i := range r.Headers {
		if r.Headers[i].Key != traceParentHeader {
			continue
		}
		value := r.Headers[i].Value
		if traceIn(value) == nil {
			return p, false
		}
		_, _ = hex.Decode(p.Trace[:], value[3:35]) // traceIn has looked at all of them
		_, _ = hex.Decode(p.Span[:], value[36:52])
		p.Sampled = hexDigit(value[54])&1 == 1
		return p, true
	}
	return p, false
}

const traceParentHeader = "traceparent"

// traceOf is the trace id of the record's traceparent header (W3C Trace Context, section 3.2): 32
// lower-case hexadecimal digits. It is nil where there is no header or none that is valid; a trace is
// never invented. Of several headers the first counts, as propagators read it.
func traceOf(headers []Header) []byte {
	for _, h := range headers {
		if h.Key == traceParentHeader {
			return traceIn(h.Value)
		}
	}
	return nil
}

// traceIn reads "version-traceid-parentid-flags". Versions after 00 may go on behind another dash.
func traceIn(parent []byte) []byte {
	const size = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(parent) < size || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return nil
	}
	version := string(parent[:2])
	if version == "ff" || version == "00" && len(parent) > size || len(parent) > size && parent[size] != '-' {
		return nil
	}
	trace, span := parent[3:35], parent[36:52]
	if !lowerHex(parent[:2]) || !lowerHex(trace) || !lowerHex(span) || !lowerHex(parent[53:55]) ||
		allZero(trace) || allZero(span) {
		return nil
	}
	return trace
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if hexDigit(c) < 0 || 'A' <= c && c <= 'F' {
			return false
		}
	}
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}

// TraceParent returns a traceparent header that the event's trace id can have come from; ok is false where it can't
// have come from one. Its parent is made up, since it is not kept.
func (e *Event) TraceParent() (header []byte, ok bool) {
	for name, value := range Members(e.Metadata) {
		if string(name) == traceID && len(value) == 34 {
			header = append(append([]byte("00-"), value[1:33]...), "-0000000000000001-00"...)
			return header, traceIn(header) != nil
		}
	}
	return nil, false
}
