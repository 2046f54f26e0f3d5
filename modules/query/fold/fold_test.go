package fold_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/query/fold"
)

// stored is the n-th event, with this payload.
func stored(n int, eventType, payload string) *event.Stored {
	canonical, err := event.Canonicalize(nil, []byte(payload))
	if err != nil {
		panic(err)
	}
	e := &event.Stored{Position: int64(n)}
	e.ID, e.Type, e.AggregateType, e.AggregateID = event.ID{15: byte(n), 14: byte(n >> 8), 0: 1}, eventType, "Order", "o-1"
	e.Version, e.Payload, e.Metadata = int32(n), canonical, []byte("{}")
	return e
}

func folded(t require.TestingT, rules *fold.Rules, events ...*event.Stored) string {
	f := fold.New(rules, false)
	for _, e := range events {
		require.NoError(t, f.Apply(ctx(t), e))
	}
	return string(f.State())
}

func TestMergePatchExamplesOfRFC7396(t *testing.T) {
	for _, c := range [][3]string{ // Appendix A; null as a payload can't be
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		require.Equal(t, c[2], folded(t, nil, stored(1, "E", c[0]), stored(2, "E", c[1])), c)
	}
	rules, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{EventType: "R", Rule: "replace"}}})
	require.NoError(t, err)
	require.Equal(t, `{"a":1,"e":null}`, folded(t, rules, stored(1, "R", `{"e":null}`), stored(2, "E", `{"a":1}`)))
}

func TestNumbersStayExact(t *testing.T) {
	rules, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{
		{EventType: "P", Rule: "patch"}, {EventType: "Q", Rule: "jq", JQ: `.state + {event: .event.payload}`},
	}})
	require.NoError(t, err)
	const number = `9007199254740993.000000000000000001`
	exact := `{"event":{"n":` + number + `},"n":` + number + `,"p":` + number + `}` // as text: JSON's equality would round
	require.Equal(t, exact, folded(t, rules,
		stored(1, "E", `{"n":`+number+`}`), stored(2, "P", `[{"op":"copy","from":"/n","path":"/p"}]`), stored(3, "Q", `{"n":`+number+`}`)))
}

func TestRules(t *testing.T) {
	rules, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{
		{AggregateType: "Inv*", Rule: "replace"},
		{AggregateType: "Ord*", EventType: "*Viewed", Rule: "ignore"},
		{EventType: "OrderR?placed", Rule: "replace"},
		{EventType: "Patched", Rule: "patch"},
		{EventType: "Counted", Rule: "jq", JQ: `.state | .count = (.count // 0) + 1`},
		{EventType: "Silent", Rule: "jq", JQ: `empty`},
		{EventType: "*", Rule: "merge"},
		{EventType: "Late", Rule: "ignore"}, // never reached
	}})
	require.NoError(t, err)
	require.JSONEq(t, `{"count":2,"late":1,"list":[2,3]}`, folded(t, rules,
		stored(1, "A", `{"gone":1}`),
		stored(2, "OrderReplaced", `{"list":[1,2]}`),
		stored(3, "OrderViewed", `{"ignored":1}`),
		stored(4, "Counted", `{}`), stored(5, "Counted", `{}`),
		stored(6, "Patched", `[{"op":"test","path":"/list/0","value":1.0},{"op":"remove","path":"/list/0"},{"op":"add","path":"/list/-","value":3}]`),
		stored(7, "Silent", `{}`),
		stored(8, "Late", `{"late":1}`)))
}

func TestRulesThatCantWork(t *testing.T) {
	for detail, o := range map[string]fold.RuleOptions{
		"rules[1].rule": {Rule: "reduce"},
		"rules[1].jq m": {Rule: "jq", JQ: ".state +"},
		"rules[1].jq i": {Rule: "merge", JQ: "."},
	} {
		_, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{Rule: "ignore"}, o}})
		require.ErrorContains(t, err, detail)
	}
	_, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{Rule: "jq"}}})
	require.ErrorContains(t, err, "rules[0].jq", "an empty program is a mistake")
}

func TestEventsThatTheirRuleDoesNotFit(t *testing.T) {
	long := `"` + strings.Repeat("x", 1<<20) + `"`
	doubling := `[{"op":"add","path":"/a","value":` + long + `}` + strings.Repeat(`,{"op":"copy","from":"","path":"/b"}`, 40) + `]`
	for name, c := range map[string]struct{ rule, jq, payload string }{
		"no patch":              {"patch", "", `{"a":1}`},
		"a path to nowhere":     {"patch", "", `[{"op":"remove","path":"/a/b"}]`},
		"a test that fails":     {"patch", "", `[{"op":"test","path":"","value":1}]`},
		"an index with zeros":   {"patch", "", `[{"op":"add","path":"/a","value":[1]},{"op":"remove","path":"/a/00"}]`},
		"a path without /":      {"patch", "", `[{"op":"add","path":"a","value":1}]`},
		"a bad escape":          {"patch", "", `[{"op":"add","path":"/~2","value":1}]`},
		"no value":              {"patch", "", `[{"op":"add","path":"/a"}]`},
		"no from":               {"patch", "", `[{"op":"copy","path":"/a"}]`},
		"into itself":           {"patch", "", `[{"op":"add","path":"/a","value":{}},{"op":"move","from":"/a","path":"/a/b"}]`},
		"an operation unknown":  {"patch", "", `[{"op":"merge","path":"/a"}]`},
		"a program that errs":   {"jq", `error("x")`, `{}`},
		"a program without end": {"jq", `def f: f; f`, `{}`},
		"a result of null":      {"jq", `null`, `{}`},
		"a name for the store":  {"jq", `[limit(300; repeat(1))] | reduce .[] as $i (1; [.])`, `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{Rule: c.rule, JQ: c.jq}}})
			require.NoError(t, err)
			err = fold.New(rules, false).Apply(t.Context(), stored(7, "E", c.payload))
			var failed *fold.RuleError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, stored(7, "E", "1").ID, failed.Event)
		})
	}
	t.Run("copies of copies", func(t *testing.T) {
		rules, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{Rule: "patch"}}})
		require.NoError(t, err)
		require.ErrorIs(t, fold.New(rules, false).Apply(t.Context(), stored(1, "E", doubling)), fold.ErrTooLarge)
	})
	t.Run("a state that grows", func(t *testing.T) {
		f := fold.New(nil, false)
		var err error
		for i := 0; i < 40 && err == nil; i++ {
			err = f.Apply(t.Context(), stored(i, "E", fmt.Sprintf(`{"m%d":%s}`, i, long)))
		}
		require.ErrorIs(t, err, fold.ErrTooLarge)
		f = fold.New(nil, false)
		for i := range 40 {
			require.NoError(t, f.Apply(t.Context(), stored(i, "E", fmt.Sprintf(`{"m%d":%s,"m%d":null}`, i, long, i-1))), "what is removed takes no room")
		}
	})
}

// payloads are JSON values of few names and values, so that they meet.
func payloads() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return value(t, 3, false) })
}

func value(t *rapid.T, depth int, null bool) string {
	leaves := []string{"1", "2", `"x"`, "[1]", "[{\"a\":null}]", "true", "1.50", "12345678901234567890"}
	if null {
		leaves = append(leaves, "null", "null")
	}
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom(leaves).Draw(t, "value")
	}
	var members []string
	for _, name := range []string{"a", "b", "c/d", "~"} {
		if rapid.Bool().Draw(t, "there") {
			members = append(members, fmt.Sprintf("%q:%s", name, value(t, depth-1, true)))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// naive is MergePatch of RFC 7396 as its pseudo-code has it.
func naive(target, patch any) any {
	members, isObject := patch.(map[string]any)
	if !isObject {
		return patch
	}
	result := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		for name, value := range old {
			result[name] = value
		}
	}
	for name, value := range members {
		if value == nil {
			delete(result, name)
		} else {
			result[name] = naive(result[name], value)
		}
	}
	return result
}

func loose(t require.TestingT, text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v))
	return v
}

func TestFoldIsTheNaiveFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fold.New(nil, rapid.Bool().Draw(t, "changes"))
		var want any = map[string]any{}
		for i, payload := range rapid.SliceOfN(payloads(), 1, 12).Draw(t, "payloads") {
			e := stored(i, "E", payload)
			require.NoError(t, f.Apply(ctx(t), e))
			want = naive(want, loose(t, string(e.Payload)))
			require.Equal(t, want, loose(t, string(f.State())))
		}
	})
}

func TestChangesMakeOneStateOfTheOtherAndNameTheirEvents(t *testing.T) {
	rules, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{EventType: "R", Rule: "replace"}, {EventType: "Q", Rule: "jq", JQ: ".event.payload"}}})
	require.NoError(t, err)
	patches, err := fold.NewRules(fold.Options{Rules: []fold.RuleOptions{{EventType: "R", Rule: "replace"}, {EventType: "P", Rule: "patch"}}})
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		var events []*event.Stored
		for i, payload := range rapid.SliceOfN(payloads(), 1, 10).Draw(t, "payloads") {
			events = append(events, stored(i, rapid.SampledFrom([]string{"E", "E", "R", "Q"}).Draw(t, "type"), payload))
		}
		from := rapid.IntRange(0, len(events)).Draw(t, "from")
		f, mark := fold.New(rules, true), fold.Empty()
		states := []string{"{}"}
		for i, e := range events {
			if i == from {
				mark = f.Mark()
			}
			require.NoError(t, f.Apply(ctx(t), e))
			states = append(states, string(f.State()))
		}
		if from == len(events) {
			mark = f.Mark()
		}
		changes := f.Since(mark)
		var steps []string
		for _, c := range changes {
			step, err := json.Marshal(map[string]any{"op": c.Op, "path": c.Path, "value": json.RawMessage(orNull(c.Value))})
			require.NoError(t, err)
			steps = append(steps, string(step))
			require.Equal(t, lastChange(t, states, events, c.Path).String(), c.Event.String(), "%s %s", c.Op, c.Path)
			require.GreaterOrEqual(t, indexOf(events, c.Event), from)
		}
		require.Equal(t, states[len(events)], folded(t, patches,
			stored(0, "R", states[from]), stored(1, "P", "["+strings.Join(steps, ",")+"]")))
	})
}

func orNull(v []byte) []byte {
	if v == nil {
		return []byte("null")
	}
	return v
}

func indexOf(events []*event.Stored, id event.ID) int {
	for i, e := range events {
		if e.ID == id {
			return i
		}
	}
	return -1
}

// lastChange is the last event that changed what kind of value is at a path: an object, no value, or
// another value as a whole. What changes within an object is at its own path.
func lastChange(t require.TestingT, states []string, events []*event.Stored, path string) event.ID {
	for i := len(events) - 1; i >= 0; i-- {
		if at(t, states[i], path) != at(t, states[i+1], path) {
			return events[i].ID
		}
	}
	return event.ID{}
}

func at(t require.TestingT, state, path string) string {
	v := loose(t, state)
	if path != "" {
		for _, part := range strings.Split(path[1:], "/") {
			members, ok := v.(map[string]any)
			if !ok {
				return "absent"
			}
			if v, ok = members[strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")]; !ok {
				return "absent"
			}
		}
	}
	if _, ok := v.(map[string]any); ok {
		return "object"
	}
	var b bytes.Buffer
	require.NoError(t, json.NewEncoder(&b).Encode(v))
	return b.String()
}

func TestVersions(t *testing.T) {
	var v fold.Versions
	for i, version := range []int32{2, 5, 3, 3, 9, 1<<31 - 1} {
		e := stored(i, "E", "1")
		e.Version = version
		v.Add(e)
	}
	r := v.Report()
	require.Equal(t, []fold.Gap{{From: 1, To: 1}, {From: 4, To: 4}, {From: 6, To: 8}, {From: 10, To: 1<<31 - 2}}, r.Gaps)
	require.Equal(t, []fold.Repeat{{Version: 3, Events: 2}}, r.Repeats)
	require.Equal(t, []fold.Late{{stored(2, "E", "1").ID, 3, 5}, {stored(3, "E", "1").ID, 3, 5}}, r.Disorder)
	require.Equal(t, 6, v.Events())
	for i := range 500 {
		e := stored(i, "E", "1")
		e.Version = int32(10 + 2*(i/2))
		v.Add(e)
	}
	r = v.Report()
	require.Len(t, r.Gaps, 100)
	require.Greater(t, r.AllGaps, 200)
}

func BenchmarkFold(b *testing.B) {
	events := make([]*event.Stored, 1000)
	for i := range events {
		events[i] = stored(i, "E", fmt.Sprintf(`{"status":"s%d","total":%d.5,"customer":{"id":"c","n":%d},"lines":[{"sku":"a","n":%d}]}`, i, i, i, i))
	}
	for _, changes := range []bool{false, true} {
		b.Run(fmt.Sprintf("changes=%v", changes), func(b *testing.B) {
			for b.Loop() {
				f := fold.New(nil, changes)
				for range 100 {
					for _, e := range events {
						if err := f.Apply(b.Context(), e); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
}
