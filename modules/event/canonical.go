package event

import "errors"

// The sizes beyond which no setting goes, so that a record can't exhaust stack or memory before Rules
// are asked. Both are far above what Rules usually allow.
const (
	DepthLimit       = 256      // nesting
	RecordBytesLimit = 64 << 20 // bytes of a value
)

// canonicalDepth is DepthLimit and the two levels that a member gains under metadata.extensions.
const canonicalDepth = DepthLimit + 2

// canonicalBytesLimit bounds what Canonicalize takes. It is above what PostgreSQL's jsonb holds (256
// MB), and keeps offsets within 32 bits.
const canonicalBytesLimit = 512 << 20

var errTooLarge = errors.New("JSON text is too large")

// TextError says why a text is not JSON that could be part of an event.
type TextError struct {
	Reason Reason // of a text: malformed_json, duplicate_member, invalid_text, number_out_of_range, too_deep
	Field  string // the offending member's path within the text; "" for the whole
	Detail string // in our words; never quotes the text
}

func (e *TextError) Error() string {
	if e.Field == "" {
		return string(e.Reason) + ": " + e.Detail
	}
	return string(e.Reason) + " (" + e.Field + "): " + e.Detail
}

// Canonicalize appends the canonical form of the JSON text src to dst: RFC 8785, but numbers by their
// exact value. It is as strict as Decode, and is for values that were stored (PostgreSQL's jsonb keeps
// its own order and spelling), so names that are reserved to the store are allowed. The form of a
// canonical text is itself.
//
// src and the space behind dst MUST NOT overlap. An error is a *TextError, or says that src is beyond 512 MiB; dst's contents are then as before.
func Canonicalize(dst, src []byte) ([]byte, error) {
	if len(src) > canonicalBytesLimit {
		return dst, errTooLarge
	}
	// dst is set aside while scanning: a scanner's offsets are its own output's.
	s := scanner{in: src, out: dst[len(dst):], stack: make([]member, 0, 16), limit: canonicalDepth}
	if !s.value(0) || !s.end() {
		return dst, &TextError{Reason: s.fault.reason, Field: s.fault.field(), Detail: s.fault.detail}
	}
	return append(dst, s.out...), nil
}
