package eventtest

import (
	"slices"
	"strings"

	"audittrail/modules/event"
)

// Bad are records that break one rule each.
func Bad() []Case {
	return slices.Concat(badJSON(), badText(), badNumbers(), badSizes(), badIDs(), badNames(), badTimes(), badVersions(), badPayloads(), badMetadata())
}

func badJSON() []Case {
	const bad = event.MalformedJSON
	return []Case{
		{"tombstone", nil, event.EmptyValue, ""},
		{"empty value", []byte{}, event.EmptyValue, ""},
		{"whitespace only", []byte(" \n\t"), bad, ""},
		{"plain text", []byte("order placed"), bad, ""},
		{"an array", []byte("[" + template + "]"), bad, ""},
		{"a string", []byte(`"OrderPlaced"`), bad, ""},
		{"null", []byte("null"), bad, ""},
		{"cut in the middle", []byte(template[:len(template)/2]), bad, ""},
		{"cut before the last brace", []byte(template[:len(template)-1]), bad, ""},
		{"two events in one record", []byte(template + template), bad, ""},
		{"byte order mark", []byte("\ufeff" + template), bad, ""},
		{"UTF-16", []byte("\xff\xfe{\x00}\x00"), bad, ""},
		{"schema registry framing", append([]byte{0, 0, 0, 0, 7}, template...), bad, ""},
		{"trailing comma", With(`"source":"shop"}`, `"source":"shop",}`), bad, ""},
		{"comma missing", With(`,"version"`, ` "version"`), bad, ""},
		{"colon missing", With(`"version":`, `"version" `), bad, ""},
		{"single quotes", With(`"OrderPlaced"`, `'OrderPlaced'`), bad, ""},
		{"name without quotes", With(`"version"`, `version`), bad, ""},
		{"comment", With(`"version":1`, `"version":1 /* first */`), bad, ""},
		{"NaN", With(`"version":1`, `"version":NaN`), bad, ""},
		{"True", payload(`True`), bad, ""},
		{"number with leading zero", payload(`007`), bad, ""},
		{"number with plus", payload(`+1`), bad, ""},
		{"number ending in a point", payload(`1.`), bad, ""},
		{"number beginning with a point", payload(`.5`), bad, ""},
		{"number without exponent digits", payload(`1e`), bad, ""},
		{"hexadecimal number", payload(`0x1F`), bad, ""},
		{"unknown escape", With("OrderPlaced", `Order\xPlaced`), bad, ""},
		{"short unicode escape", With("OrderPlaced", `Order\u12`), bad, ""},
		{"line break in a string", With("OrderPlaced", "Order\nPlaced"), bad, ""},
		{"comma missing in an array", payload(`[1 2]`), bad, ""},
		{"array cut", []byte(`{"payload":[1,`), bad, ""},
		{"word cut", payload(`nul`), bad, ""},
		{"cut in an escape", []byte(`{"eventType":"Order\`), bad, ""},
		{"only an opening brace", []byte(`{`), bad, ""},
		{"brackets crossed", payload(`[{]}`), bad, ""},
		{"member named twice", With(`"version":1`, `"version":1,"version":2`), event.DuplicateMember, "version"},
		{"member named twice in payload", payload(`{"a":1,"b":{"x":1,"y":2,"x":3}}`), event.DuplicateMember, "payload.b.x"},
		{"member named twice, once by an escape", payload(`{"a":1,"\u0061":2}`), event.DuplicateMember, "payload.a"},
		{"unknown member named twice", With(`"version":1`, `"version":1,"note":1,"note":2`), event.DuplicateMember, "note"},
	}
}

func badText() []Case {
	const bad = event.InvalidText
	return []Case{
		{"invalid UTF-8", With("OrderPlaced", "Order\xffPlaced"), bad, "eventType"},
		{"Latin-1", payload("{\"city\":\"Z\xfcrich\"}"), bad, "payload.city"},
		{"overlong UTF-8", payload("{\"a\":\"\xc0\xaf\"}"), bad, "payload.a"},
		{"surrogate in UTF-8", payload("{\"a\":\"\xed\xa0\x80\"}"), bad, "payload.a"},
		{"UTF-8 cut", payload("{\"a\":\"\xe2\x82\"}"), bad, "payload.a"},
		{"NUL by an escape", payload(`{"a":["x","\u0000"]}`), bad, "payload.a[1]"},
		{"NUL byte", payload("{\"a\":\"x\x00\"}"), bad, "payload.a"},
		{"NUL in a member's name", payload(`{"a\u0000":1}`), bad, "payload"},
		{"first half of a surrogate pair", payload(`{"a":"\ud83d"}`), bad, "payload.a"},
		{"second half of a surrogate pair", payload(`{"a":"\ude00"}`), bad, "payload.a"},
		{"surrogate pair in wrong order", payload(`{"a":"\ude00\ud83d"}`), bad, "payload.a"},
		{"half a pair, then another escape", payload(`{"a":"\ud83d\u0041"}`), bad, "payload.a"},
		{"half a pair in a member's name", With(`"source"`, `"\udc00"`), bad, "metadata"},
	}
}

func badNumbers() []Case {
	const bad = event.NumberOutOfRange
	return []Case{
		{"1e1000", payload(`{"n":1e1000}`), bad, "payload.n"},
		{"1e131071", payload(`{"n":1e131071}`), bad, "payload.n"},
		{"1e-5000", payload(`{"n":[0,1e-5000]}`), bad, "payload.n[1]"},
		{"exponent beyond 64 bits", payload(`1e99999999999999999999`), bad, "payload"},
		{"negative exponent beyond 64 bits", payload(`-1E-99999999999999999999`), bad, "payload"},
		{"1,001 digits", payload(strings.Repeat("7", 1001)), bad, "payload"},
		{"1,001 digits around the point", payload(strings.Repeat("7", 500) + "." + strings.Repeat("7", 501)), bad, "payload"},
		{"two thousand numbers of a thousand digits", payload("[" + strings.Repeat("1e999,", 2000) + "0]"), bad, "payload[1054]"},
		{"as a version", With(`"version":1`, `"version":1e4000`), bad, "version"},
	}
}

func badSizes() []Case {
	rules := event.DefaultRules()
	return []Case{
		{"65 levels", payload(nested(rules.MaxDepth)), event.TooDeep, "payload" + strings.Repeat("[0]", rules.MaxDepth-1)},
		{"200 levels", payload(nested(199)), event.TooDeep, "payload" + strings.Repeat("[0]", rules.MaxDepth-1)},
		{"100,000 levels", payload(nested(100_000)), event.TooDeep, "payload" + strings.Repeat("[0]", 77) + "…"},
		{"one byte too many", append(Value(), strings.Repeat(" ", rules.MaxRecordBytes+1-len(template))...), event.TooLarge, ""},
	}
}
