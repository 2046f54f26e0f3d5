package event_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct{ value, path, want string }{
		{`{"a": 1, "payload" : {"lines":[1, {"qty": -5 }]} }`, "payload.lines[1].qty", "-5"},
		{`{"a": {"b":[1]}}`, "a.b", "[1]"},
		{`{"a":1,"a":22}`, "a", "22"},
		{`{"a":{"x y":3}}`, "a.*", "3"},
		{`{"a":1`, "", ""},
		{`{"a":1 x}`, "", "x"},
		{`{"a":1} {}`, "", "{"},
		{`nothing`, "", "o"},
		{`{"a":"\ud800"}`, "a", `"\ud800"`},
		{"{\"a\":\"\xff\"}", "a", "\"\xff\""},
	} {
		from, to, ok := event.Locate([]byte(c.value), c.path)
		require.True(t, ok, c.value)
		require.Equal(t, c.want, c.value[from:to], c.value)
	}
	for _, c := range []struct{ value, path string }{{`{"a":1}`, "b"}, {`{"a":1}`, ""}, {`[1]`, "a"}} {
		_, _, ok := event.Locate([]byte(c.value), c.path)
		require.False(t, ok, c.value)
	}
}

// Whatever breaks a rule, looking for the place does not fail, and the place is in the value.
func TestLocateOfAllThatIsRejected(t *testing.T) {
	for _, c := range eventtest.Bad() {
		decoded, rejected := event.Decode(event.Raw{Value: c.Value})
		if rejected == nil {
			_, rejected = decoded.Validate(event.DefaultRules(), time.Now())
		}
		require.NotNil(t, rejected, c.Name)
		from, to, ok := event.Locate(c.Value, rejected.Field)
		require.True(t, 0 <= from && from <= to && to <= len(c.Value), c.Name)
		if rejected.Reason == event.DuplicateMember {
			require.True(t, ok, c.Name)
		}
	}
}
