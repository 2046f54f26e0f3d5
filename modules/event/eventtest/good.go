package eventtest

import (
	"strings"

	"audittrail/modules/event"
)

// Good are records that look wrong and are events. Each has an id of its own.
func Good() []Case {
	rules := event.DefaultRules()
	values := []struct {
		name  string
		value []byte
	}{
		{"plain", Value()},
		{"spaced", []byte("\r\n\t " + strings.ReplaceAll(template, `,"`, "\n ,\t\"") + " \n")},
		{"id in capitals", With(`7b5a-9d7e-1f2a3b4c5d6e`, `7B5A-9D7E-1F2A3B4C5D6E`)},
		{"every script", With(`OrderPlaced`, `注文 / Bestellung: größer — الطلب ✓ 😀`)},
		{"255 characters of four bytes", With(`order-1001`, strings.Repeat("😀", 255))},
		{"member name by escapes", With(`"version"`, `"\u0076ersion"`)},
		{"no-break space", With(`order-1001`, `order\u00a01001`)},
		{"quote and backslash in a name", With(`order-1001`, `a\"b\\c\/d`)},
		{"version 1.0", With(`"version":1`, `"version":1.0`)},
		{"version 1e0", With(`"version":1`, `"version":1e0`)},
		{"version 0", With(`"version":1`, `"version":0`)},
		{"version -0", With(`"version":1`, `"version":-0`)},
		{"greatest version", With(`"version":1`, `"version":21474836.47E2`)},
		{"payload a string", payload(`"paid"`)},
		{"payload a number", payload(`-0.0`)},
		{"payload false", payload(`false`)},
		{"payload an empty array", payload(`[]`)},
		{"payload an empty object", payload(`{}`)},
		{"nulls inside payload", payload(`{"a":null,"b":[null]}`)},
		{"empty member name", payload(`{"":{"":1}}`)},
		{"members that sort by UTF-16", payload(`{"\ufb33":1,"😀":2,"é":3,"a":4,"\n":5,"\"":6}`)},
		{"names that only begin as reserved", payload(`{"$seal":1,"$sealed2":2,"sealed":3,"$ref":4}`)},
		{"audittrail outside metadata", payload(`{"audittrail":1}`)},
		{"1,000 digits", payload(strings.Repeat("7", 1000))},
		{"1e999", payload(`{"n":[1e999,-1E+999,1e-999]}`)},
		{"a thousand numbers of a thousand digits", payload("[" + strings.Repeat("1e999,", 1000) + "0]")},
		{"zero with a great exponent", payload(`[0e99999999999999999999,-0E-99999999999999999999]`)},
		{"numbers that doubles round", payload(`[9223372036854775808,333333333.33333329,0.1000000000000000055511151231257827]`)},
		{"64 levels", payload(nested(rules.MaxDepth - 1))},
		{"exactly the most bytes", append(Value(), strings.Repeat(" ", rules.MaxRecordBytes-len(template))...)},
		{"every escape", payload(`"\"\\\/\b\f\n\r\t\u0001\u001F\u007f\u20AC\uD83D\uDE00"`)},
		{"noncharacters and line separators", payload(`"\ufffe\uffff\u2028\u2029\ufffd"`)},
		{"no metadata", With(`,"metadata":{"correlationId":"c-1","causationId":"c-0","userId":"u-7","source":"shop"}`, ``)},
		{"metadata empty", With(`{"correlationId":"c-1","causationId":"c-0","userId":"u-7","source":"shop"}`, `{}`)},
		{"empty known member", With(`"u-7"`, `""`)},
		{"unknown metadata", With(`"source":"shop"`, `"tenant":{"id":7},"extensions":null`)},
		{"other members", With(`"version":1`, `"version":1,"tenant":"t","Region":null,"eventID":[1]`)},
		{"other members beside extensions", With(`"source":"shop"}`, `"extensions":{"b":1}},"c":2,"a":0`)},
		{"a member named extensions", With(`"version":1`, `"version":1,"extensions":{"a":1}`)},
	}
	for _, t := range [...][2]string{
		{"lower-case t and z", "2026-05-01t09:30:00z"},
		{"an offset", "2026-05-01T23:30:00.5-23:59"},
		{"an unknown local offset", "2026-05-01T09:30:00-00:00"},
		{"thirty digits of fraction", "2026-05-01T09:30:00.123456999999999999999999999999Z"},
		{"the first moment", "1900-01-01T00:00:00Z"},
		{"the year 1948", "1948-01-26T22:59:00.000Z"},
		{"1899 by its own clock", "1899-12-31T23:30:00-01:00"},
		{"29 February 2000", "2000-02-29T09:30:00Z"},
	} {
		values = append(values, struct {
			name  string
			value []byte
		}{"timestamp: " + t[0], With("2024-05-01T09:30:00.123456Z", t[1])})
	}
	cases := make([]Case, len(values))
	for i, v := range values {
		cases[i] = Case{Name: v.name, Value: renumbered(v.value, i)}
	}
	return cases
}

// renumbered gives the event in value an id of its own, keeping the case of its letters.
func renumbered(value []byte, i int) []byte {
	const digits = "0123456789abcdef"
	id := []byte("018f4e2a")
	id[6], id[7] = digits[i>>4], digits[i&15]
	return []byte(strings.Replace(string(value), "018f4e2a", string(id), 1))
}
