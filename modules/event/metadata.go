package event

import "unicode/utf8"

const (
	extensions = "extensions" // the member of metadata that holds the record's other members
	traceID    = "traceId"    // the member of metadata that holds the producer's trace id

	correlationID = "correlationId"
	marker        = "audittrail" // the member of metadata that is ours
)

// metadata checks the metadata object and its known members. It may be absent.
func (d *Decoded) metadata() ([]byte, *problem) {
	object := d.fields[metadata]
	if object == nil {
		return []byte("{}"), nil
	}
	if object[0] != '{' {
		return nil, invalid("metadata", "must be an object")
	}
	members := membersOf(object)
	for name, value, ok := members.next(); ok; name, value, ok = members.next() {
		detail := ""
		switch string(name) {
		case "correlationId", "causationId", "userId", "source":
			detail = breachOfLabel(value)
		case marker:
			detail = "is a member name that is reserved"
		}
		if detail != "" {
			return nil, invalid("metadata."+string(name), detail)
		}
	}
	return object, nil
}

// breachOfLabel says what is wrong with a known member's value; "" if nothing.
func breachOfLabel(value []byte) string {
	if value[0] != '"' {
		return "must be a string"
	}
	text := value[1 : len(value)-1]
	if len(text) > maxName && utf8.RuneCount(appendUnescaped(nil, text)) > maxName {
		return "must have at most 255 characters"
	}
	return ""
}

// storedMetadata gives e's metadata what else is kept there: the record's other members, under
// extensions, and the trace id of its traceparent header.
func (d *Decoded) storedMetadata(e *Event) *problem {
	if d.others != nil {
		extended, p := d.extend(e.Metadata)
		if p != nil {
			return p
		}
		e.Metadata = extended
	}
	if id := traceOf(d.raw.Headers); id != nil {
		var space [64]byte
		trace := append(append(append(space[:0], `{"`+traceID+`":"`...), id...), '"', '}')
		e.Metadata, _ = mergeObjects(trace, e.Metadata) // so that a trace id that the producer sent stands
	}
	return nil
}

// extend merges the record's other members into metadata.extensions.
func (d *Decoded) extend(metadata []byte) ([]byte, *problem) {
	others := d.others
	members := membersOf(metadata)
	for name, value, ok := members.next(); ok; name, value, ok = members.next() {
		if string(name) != extensions {
			continue
		}
		if value[0] != '{' {
			return nil, invalid("metadata.extensions", "must be an object, since the record has members that are kept in it")
		}
		merged, clash := mergeObjects(value, others)
		if clash != nil {
			return nil, invalid(pathName(clash), "is also a member of metadata.extensions, where it would be kept")
		}
		others = merged
	}
	extension := make([]byte, 0, len(extensions)+len(others)+len(`{"":}`))
	extension = append(append(append(extension, `{"`+extensions+`":`...), others...), '}')
	extended, _ := mergeObjects(metadata, extension)
	return extended, nil
}

// CorrelationID is metadata's correlation id; false where there is none that can be read.
func (e *Event) CorrelationID() (string, bool) {
	members := membersOf(e.Metadata)
	for name, value, ok := members.next(); ok && string(name) <= correlationID; name, value, ok = members.next() {
		if string(name) == correlationID && value[0] == '"' {
			return string(appendUnescaped(nil, value[1:len(value)-1])), true
		}
	}
	return "", false
}

// Source is metadata's source; false where there is none.
func (e *Event) Source() (string, bool) {
	text := e.RawSource()
	return string(appendUnescaped(nil, text)), text != nil
}

// RawSource is the inside of metadata's source as its canonical JSON has it; nil where there is none. It lies in
// Metadata.
func (e *Event) RawSource() []byte {
	members := membersOf(e.Metadata)
	for name, value, ok := members.next(); ok && string(name) <= "source"; name, value, ok = members.next() {
		if string(name) == "source" {
			return value[1 : len(value)-1]
		}
	}
	return nil
}
