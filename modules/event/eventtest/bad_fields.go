package eventtest

import (
	"strings"

	"audittrail/modules/event"
)

const plainID = "018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e"

func badIDs() []Case {
	const bad, field = event.InvalidField, "eventId"
	return []Case{
		{"no eventId", With(`"eventId":"`+plainID+`",`, ``), event.MissingField, field},
		{"eventId null", With(`"`+plainID+`"`, `null`), event.MissingField, field},
		{"eventId misspelled", With(`"eventId"`, `"eventID"`), event.MissingField, field},
		{"eventId a number", With(`"`+plainID+`"`, `17`), bad, field},
		{"eventId empty", With(plainID, ``), bad, field},
		{"eventId nil", With(plainID, `00000000-0000-0000-0000-000000000000`), bad, field},
		{"eventId without dashes", With(plainID, strings.ReplaceAll(plainID, "-", "")), bad, field},
		{"eventId in braces", With(plainID, `{`+plainID+`}`), bad, field},
		{"eventId as URN", With(plainID, `urn:uuid:`+plainID), bad, field},
		{"eventId with a letter too high", With(plainID, `g18f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e`), bad, field},
		{"eventId with a space behind", With(plainID, plainID+` `), bad, field},
		{"eventId with dashes misplaced", With(plainID, `018f4e2-a7c31-7b5a-9d7e-1f2a3b4c5d6e`), bad, field},
	}
}

func badNames() []Case {
	const bad = event.InvalidField
	return []Case{
		{"no eventType", With(`"eventType":"OrderPlaced",`, ``), event.MissingField, "eventType"},
		{"eventType null", With(`"OrderPlaced"`, `null`), event.MissingField, "eventType"},
		{"eventType empty", With(`OrderPlaced`, ``), bad, "eventType"},
		{"eventType an object", With(`"OrderPlaced"`, `{}`), bad, "eventType"},
		{"eventType of 256 characters", With(`OrderPlaced`, strings.Repeat("é", 256)), bad, "eventType"},
		{"eventType with a tab", With(`OrderPlaced`, `Order\tPlaced`), bad, "eventType"},
		{"eventType with DEL", With(`OrderPlaced`, "Order\x7fPlaced"), bad, "eventType"},
		{"eventType with a C1 control", With(`OrderPlaced`, `Order\u0085Placed`), bad, "eventType"},
		{"eventType with the last control", With(`OrderPlaced`, `Order\u009fPlaced`), bad, "eventType"},
		{"no aggregateId", With(`"aggregateId":"order-1001",`, ``), event.MissingField, "aggregateId"},
		{"aggregateId a number", With(`"order-1001"`, `1001`), bad, "aggregateId"},
		{"aggregateId with a line break", With(`order-1001`, `order\n1001`), bad, "aggregateId"},
		{"no aggregateType", With(`"aggregateType":"Order",`, ``), event.MissingField, "aggregateType"},
		{"aggregateType true", With(`"Order"`, `true`), bad, "aggregateType"},
		{"aggregateType empty", With(`"Order"`, `""`), bad, "aggregateType"},
	}
}

func badTimes() []Case {
	const plain, bad, field = "2024-05-01T09:30:00.123456Z", event.InvalidField, "timestamp"
	cases := []Case{
		{"no timestamp", With(`"timestamp":"`+plain+`",`, ``), event.MissingField, field},
		{"timestamp null", With(`"`+plain+`"`, `null`), event.MissingField, field},
		{"timestamp in seconds", With(`"`+plain+`"`, `1777627800`), bad, field},
	}
	for _, c := range [][2]string{
		{"empty", ""},
		{"without offset", "2026-05-01T09:30:00"},
		{"with a space for T", "2026-05-01 09:30:00Z"},
		{"a date only", "2026-05-01"},
		{"without seconds", "2026-05-01T09:30Z"},
		{"with a comma for the point", "2026-05-01T09:30:00,5Z"},
		{"with a point and no digit", "2026-05-01T09:30:00.Z"},
		{"with an hour of one digit", "2026-05-01T9:30:00Z"},
		{"with an offset without colon", "2026-05-01T09:30:00+0200"},
		{"with an offset of 24 hours", "2026-05-01T09:30:00+24:00"},
		{"with an offset of 60 minutes", "2026-05-01T09:30:00+01:60"},
		{"with a leap second", "2016-12-31T23:59:60Z"},
		{"with second 61", "2026-05-01T09:30:61Z"},
		{"with hour 24", "2026-05-01T24:00:00Z"},
		{"with minute 60", "2026-05-01T09:60:00Z"},
		{"in month 13", "2026-13-01T09:30:00Z"},
		{"in month 0", "2026-00-01T09:30:00Z"},
		{"on day 0", "2026-05-00T09:30:00Z"},
		{"on 31 April", "2026-04-31T09:30:00Z"},
		{"on 29 February of a common year", "2026-02-29T09:30:00Z"},
		{"on 29 February 1900", "1900-02-29T09:30:00Z"},
		{"a microsecond before 1900", "1899-12-31T23:59:59.999999Z"},
		{"before 1900 by its offset", "1900-01-01T00:30:00+01:00"},
		{"too far in the future", "2999-01-01T00:00:00Z"},
		{"in the year 9999", "9999-12-31T23:59:59Z"},
		{"with a sign before the year", "+2026-05-01T09:30:00Z"},
		{"with something behind", plain + "Z"},
	} {
		cases = append(cases, Case{"timestamp " + c[0], With(plain, c[1]), bad, field})
	}
	return cases
}

func badVersions() []Case {
	cases := []Case{
		{"no version", With(`"version":1,`, ``), event.MissingField, "version"},
		{"version null", With(`"version":1`, `"version":null`), event.MissingField, "version"},
	}
	for _, v := range []string{`"1"`, `1.5`, `-1`, `2147483648`, `1e10`, `1e-1`, `1e21`, `99999999999999999999`, `true`, `[]`} {
		cases = append(cases, Case{"version " + v, With(`"version":1`, `"version":`+v), event.InvalidField, "version"})
	}
	return cases
}

func badPayloads() []Case {
	const bad = event.InvalidField
	return []Case{
		{"no payload", With(`"payload":{"total":"12.50","lines":[{"sku":"A-1","qty":2}]},`, ``), event.MissingField, "payload"},
		{"payload null", payload(`null`), event.MissingField, "payload"},
		{"$sealed in payload", payload(`{"customer":[{"email":{"$sealed":"1.k.x"}}]}`), bad, "payload.customer[0].email.$sealed"},
		{"$erased in payload", payload(`{"$erased":true}`), bad, "payload.$erased"},
		{"$sealed by an escape", payload(`{"\u0024sealed":1}`), bad, "payload.$sealed"},
		{"$sealed in metadata", With(`"source":"shop"`, `"x":{"$sealed":1}`), bad, "metadata.x.$sealed"},
		{"$erased in another member", With(`"version":1`, `"version":1,"more":{"$erased":1}`), bad, "more.$erased"},
		{"$sealed as another member", With(`"version":1`, `"version":1,"$sealed":1`), bad, "$sealed"},
	}
}

func badMetadata() []Case {
	const bad = event.InvalidField
	const whole = `{"correlationId":"c-1","causationId":"c-0","userId":"u-7","source":"shop"}`
	return []Case{
		{"metadata null", With(whole, `null`), bad, "metadata"},
		{"metadata an array", With(whole, `[]`), bad, "metadata"},
		{"metadata a string", With(whole, `"shop"`), bad, "metadata"},
		{"correlationId a number", With(`"c-1"`, `1`), bad, "metadata.correlationId"},
		{"causationId null", With(`"c-0"`, `null`), bad, "metadata.causationId"},
		{"userId of 256 characters", With(`u-7`, strings.Repeat("u", 256)), bad, "metadata.userId"},
		{"source an object", With(`"shop"`, `{}`), bad, "metadata.source"},
		{"metadata.audittrail", With(`"source":"shop"`, `"audittrail":{}`), bad, "metadata.audittrail"},
		{"extensions no object, with another member", With(`"source":"shop"}`, `"extensions":1},"tenant":"t"`), bad, "metadata.extensions"},
		{"extensions has the member already", With(`"source":"shop"}`, `"extensions":{"tenant":"t"}},"tenant":"t"`), bad, "tenant"},
	}
}
