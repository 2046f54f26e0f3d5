package sample

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"audittrail/modules/event"
)

// flaws makes bad records of all kinds in turn, each from a good one as a careless producer would
// have published it. Its zero value is ready.
type flaws struct{ made int }

// next is a bad record of the next kind. It keeps the good record's topic and key; all but the
// conflict get an event id of their own.
func (f *flaws) next(good Record, rng *rand.Rand) Record {
	spoilers := []func(Record) Record{
		truncated, missingAggregate, fromTheFuture, notAnID, tombstone, twice, withNUL, negativeVersion, tooDeep,
	}
	kind := f.made % (len(spoilers) + 1)
	f.made++
	if kind == len(spoilers) {
		return conflicting(good)
	}
	fresh := good
	fresh.Value = bytes.Clone(good.Value)
	copy(fresh.Value[len(`{"eventId":"`):], newID(rng, good.At).String())
	return spoilers[kind](fresh)
}

// truncated is a value that was cut off on its way.
func truncated(r Record) Record {
	r.Value, r.Reason = r.Value[:len(r.Value)*2/3], event.MalformedJSON
	return r
}

func missingAggregate(r Record) Record {
	return replaced(r, `"aggregateId":`, `"aggregateRef":`, event.MissingField)
}

// fromTheFuture has the timestamp of a producer whose clock is a month ahead.
func fromTheFuture(r Record) Record {
	stamp := r.At.Format("2006-01-02T15:04:05")
	return replaced(r, `"timestamp":"`+stamp, `"timestamp":"`+r.At.Add(30*24*time.Hour).Format("2006-01-02T15:04:05"), event.InvalidField)
}

// conflicting reuses the id of a good event for other content.
func conflicting(r Record) Record {
	return replaced(r, `"payload":{`, `"payload":{"corrected":true,`, event.EventIDConflict)
}

func notAnID(r Record) Record {
	return replaced(r, `{"eventId":"`, `{"eventId":"legacy-`, event.InvalidField)
}

func tombstone(r Record) Record {
	r.Value, r.Reason = nil, event.EmptyValue
	return r
}

// twice names a member a second time.
func twice(r Record) Record {
	return replaced(r, `"payload":{`, `"version":99,"payload":{`, event.DuplicateMember)
}

// withNUL holds a character that JSON allows and PostgreSQL's jsonb does not.
func withNUL(r Record) Record {
	return replaced(r, `"payload":{`, `"payload":{"note":"scanned\u0000",`, event.InvalidText)
}

func negativeVersion(r Record) Record {
	return replaced(r, `"version":`, `"version":-`, event.InvalidField)
}

// tooDeep nests far beyond any sane limit.
func tooDeep(r Record) Record {
	const depth = 300
	nest := fmt.Sprintf(`"payload":{"tree":%s%s,`, bytes.Repeat([]byte("["), depth), bytes.Repeat([]byte("]"), depth))
	return replaced(r, `"payload":{`, nest, event.TooDeep)
}

// replaced swaps the first occurrence of old, which the record must have.
func replaced(r Record, old, by string, reason event.Reason) Record {
	if !bytes.Contains(r.Value, []byte(old)) {
		panic("sample: a good record holds " + old)
	}
	r.Value, r.Reason = bytes.Replace(r.Value, []byte(old), []byte(by), 1), reason
	return r
}
