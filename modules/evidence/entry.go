package evidence

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// shown is an entry as evidence shows it, and the leaf that is computed from that.
type shown struct {
	leaf     ledger.Hash
	position int64
	id       string // the event's id; "" for an entry of the access log
}

// readShown computes the leaf of an entry from its JSON object as it is listed, position included.
// fault's kind and detail say why it can't have been stored so.
func readShown(log ledger.Log, object []byte) (shown, *Fault) {
	if log == ledger.Events {
		return readEvent(object)
	}
	return readAccess(object)
}

func readEvent(object []byte) (shown, *Fault) {
	s, err := event.ParseStored(object)
	if err != nil {
		return shown{id: eventID(object)}, badEntry(err)
	}
	return shown{ledger.EventLeaf(&s), s.Position, s.ID.String()}, nil
}

// readAccess takes any object with a position: what else belongs to an entry of the access log is the
// access log's to say, and is all in the leaf.
func readAccess(object []byte) (shown, *Fault) {
	canonical, err := event.Canonicalize(make([]byte, 0, len(object)), object)
	if err != nil {
		return shown{}, badEntry(err)
	}
	if canonical[0] != '{' {
		return shown{}, &Fault{Kind: BadEntry, Detail: "it is not an object"}
	}
	out := shown{position: -1}
	rest := append(make([]byte, 0, len(canonical)), '{')
	for name, value := range event.Members(canonical) {
		if string(name) == "position" {
			out.position = parseIndex(value)
			continue
		}
		rest = append(append(append(rest, '"'), name...), `":`...)
		rest = append(append(rest, value...), ',')
	}
	if out.position < 0 {
		return shown{}, &Fault{Kind: BadEntry, Detail: "its position is missing, or not a whole number"}
	}
	rest = append(bytes.TrimSuffix(rest, []byte{','}), '}')
	out.leaf = ledger.LeafHash(rest)
	return out, nil
}

// badEntry puts into words why an object is no entry.
func badEntry(err error) *Fault {
	var e *event.TextError
	switch {
	case !errors.As(err, &e):
		return &Fault{Kind: BadEntry, Detail: "it is larger than any entry can be"}
	case e.Field == "":
		return &Fault{Kind: BadEntry, Detail: "what is shown can't have been stored: it " + e.Detail}
	}
	return &Fault{Kind: BadEntry, Detail: "what is shown can't have been stored: " + ledger.Printable(e.Field) + " " + e.Detail}
}

// eventID is the id that an object shows, for naming it only; "" where it shows none.
func eventID(object []byte) string {
	d := jsontext.NewDecoder(bytes.NewBuffer(object), jsontext.AllowDuplicateNames(true))
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		if name.String() != "eventId" {
			if d.SkipValue() != nil {
				return ""
			}
			continue
		}
		value, err := d.ReadToken()
		if err != nil || value.Kind() != '"' {
			return ""
		}
		if _, err := event.ParseID(value.String()); err != nil {
			return ""
		}
		return value.String()
	}
	return ""
}

// parseIndex reads a whole number from 0 on, in its one spelling; -1 where it is none.
func parseIndex(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != string(text) {
		return -1
	}
	return n
}
