package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

func searchRules(t testing.TB) *protect.Rules {
	t.Helper()
	rules, err := protect.NewRules([]protect.RuleOptions{
		{EventType: "A", Path: "$.payload.name", Search: true},
		{EventType: "A", Path: "$.payload.lines[*].note", Search: true},
		{EventType: "A", Path: "$.metadata.userId", Search: true},
		{EventType: "C", Path: "$.payload.name", Subject: "$.payload.owner", Search: true},
		{EventType: "D", Path: "$.payload.box"},
		{EventType: "*", Path: "$.payload.box.label", Search: true},
	})
	require.NoError(t, err)
	return rules
}

// searchSystem is a store with sealed fields, and a table of what its events would be if all that can be searched
// for were open.
type searchSystem struct {
	testStore
	rules  *protect.Rules
	keys   *protect.Keyring
	offset int64
}

func newSearchSystem(t testing.TB) *searchSystem {
	t.Helper()
	s := &searchSystem{testStore: newStore(t), rules: searchRules(t)}
	s.begin(t, 1)
	s.keys = s.keyring(t)
	_, err := s.owner.Exec(t.Context(), `CREATE TABLE opened (event_id uuid PRIMARY KEY, source text, payload jsonb NOT NULL, user_id text NOT NULL)`)
	require.NoError(t, err)
	return s
}

func (s *searchSystem) keyring(t testing.TB) *protect.Keyring {
	return protect.NewKeyring(store.NewKeys(openPool(t, s.url, "audittrail_ingest")), new(protecttest.KEK).Open)
}

func (s *searchSystem) reader(t testing.TB) *store.Reader {
	return store.NewReader(store.ReaderOptions{
		Pool: openPool(t, s.url, "audittrail_api"), Opener: protect.NewOpener(s.keys), Searcher: protect.NewSearcher(s.rules, s.keys), Scoped: true,
	})
}

// values are few, so that patterns meet.
var sealedValues = []string{`"ann"`, `"bob"`, `"1"`, `1`, `2.5`, `true`, `false`, `""`}

// searchPayload is the payload of event n of a type, and what of it can be searched for.
func searchPayload(n int, eventType string) (payload, searchable string) {
	pick := func(k int) string { return sealedValues[(n*7+k*3+n/5)%len(sealedValues)] }
	box := fmt.Sprintf(`{"label":%s,"size":%d}`, pick(4), n%3)
	text := func(box string) string {
		return fmt.Sprintf(`{"name":%s,"owner":"o%d","lines":[{"note":%s,"sku":"s%d"},{"sku":"s%d","note":%s},{"sku":"s9"}],"box":%s,"total":%d}`,
			pick(1), n%9, pick(2), n%3, (n+1)%3, pick(3), box, n%4)
	}
	if eventType == "D" {
		return text(box), text(`{}`)
	}
	return text(box), text(box)
}

// fill stores events n … n+count-1, sealed by the protector.
func (s *searchSystem) fill(t testing.TB, p *protect.Protector, isSealing bool, n, count int) {
	t.Helper()
	var (
		valids []event.Valid
		opened [][]any
	)
	for i := n; i < n+count; i++ {
		eventType := []string{"A", "B", "C", "D"}[i%4]
		payload, searchable := searchPayload(i, eventType)
		user := fmt.Sprintf("u%d", i%5)
		valids = append(valids, protecttest.Valid(fmt.Sprintf(`{"eventId":%q,"eventType":%q,"aggregateId":"a%d","aggregateType":"T","timestamp":%q,"version":1,
			"payload":%s,"metadata":{"userId":%q,"source":"s%d"}}`, id(i), eventType, i%11, moments[i%len(moments)], payload, user, i%2),
			event.Coordinates{TopicID: topicID, Topic: topic, Offset: s.offset + int64(i-n)}))
		if !isSealing {
			searchable = payload
		}
		opened = append(opened, []any{[16]byte(valids[len(valids)-1].Event().ID), fmt.Sprintf("s%d", i%2), []byte(searchable), user})
	}
	_, err := s.owner.CopyFrom(t.Context(), pgx.Identifier{"opened"}, []string{"event_id", "source", "payload", "user_id"}, pgx.CopyFromRows(opened))
	require.NoError(t, err)
	sealed, err := p.Seal(t.Context(), valids)
	require.NoError(t, err)
	_, err = s.Append(t.Context(), store.Batch{Ranges: []store.Range{{Partition: partition(0), From: s.offset, To: s.offset + int64(count)}}, Events: sealed})
	require.NoError(t, err)
	s.offset += int64(count)
}

func drawPattern(t *rapid.T) string {
	value := rapid.SampledFrom(sealedValues)
	var members []string
	add := func(what string, text func() string) {
		if rapid.IntRange(0, 2).Draw(t, what) == 0 {
			members = append(members, text())
		}
	}
	add("name", func() string { return `"name":` + value.Draw(t, "name is") })
	add("total", func() string { return fmt.Sprintf(`"total":%d`, rapid.IntRange(0, 3).Draw(t, "total is")) })
	add("box", func() string {
		if rapid.Bool().Draw(t, "size") {
			return fmt.Sprintf(`"box":{"label":%s,"size":%d}`, value.Draw(t, "label is"), rapid.IntRange(0, 2).Draw(t, "size is"))
		}
		return `"box":{"label":` + value.Draw(t, "label is") + `}`
	})
	add("lines", func() string {
		var lines []string
		for i := range rapid.IntRange(1, 2).Draw(t, "lines") {
			line := `"note":` + value.Draw(t, fmt.Sprint("note ", i))
			if rapid.Bool().Draw(t, fmt.Sprint("sku ", i)) {
				line += fmt.Sprintf(`,"sku":"s%d"`, rapid.IntRange(0, 2).Draw(t, "sku is"))
			}
			lines = append(lines, "{"+line+"}")
		}
		return `"lines":[` + strings.Join(lines, ",") + `]`
	})
	if len(members) == 0 {
		return ""
	}
	return "{" + strings.Join(members, ",") + "}"
}

// expected lists the ids of events that a condition fits, sorted.
func (s *searchSystem) expected(t require.TestingT, where string, args ...any) []string {
	var ids []string
	err := s.owner.QueryRow(context.Background(), `SELECT coalesce(array_agg(event_id::text ORDER BY event_id), '{}') FROM events AS e JOIN opened AS o USING (event_id) WHERE `+where, args...).Scan(&ids)
	require.NoError(t, err)
	return ids
}

const (
	asStored = `(CASE WHEN $1 = '' THEN true ELSE e.payload @> $1::jsonb END) AND ($2 = '' OR e.metadata ->> 'userId' = $2)`
	asOpened = `(CASE WHEN $1 = '' THEN true ELSE o.payload @> $1::jsonb END) AND ($2 = '' OR o.user_id = $2)`
)

// Readers who may open sealed values find them as if they were open, on every path that takes a filter. Others find
// what the rows say, which hold no sealed value.
func TestSealedValuesAreFound(t *testing.T) {
	t.Parallel()
	s := newSearchSystem(t)
	sealing := protect.WithRules(s.rules, s.keys)
	s.fill(t, protect.NewProtector(), false, 0, 60) // before there were rules
	for n := 60; n < 400; n += 85 {
		s.fill(t, sealing, true, n, 85)
	}
	_, err := s.owner.Exec(t.Context(), `UPDATE sealed_tokens SET place = -1 WHERE timestamp = '2015-05-05T05:05:05Z' AND id % 2 = 0 AND
		token NOT IN (SELECT token FROM sealed_tokens GROUP BY token, timestamp, id, key HAVING count(*) > 1)`)
	require.NoError(t, err)
	r := s.reader(t)
	everything := store.WithScope(t.Context(), store.Everything())
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		f := store.Filter{}
		pattern := drawPattern(t)
		if pattern != "" {
			canonical, err := event.Canonicalize(nil, []byte(pattern))
			require.NoError(t, err)
			f.Payload = canonical
		}
		if rapid.IntRange(0, 3).Draw(t, "user") == 0 {
			f.UserID = fmt.Sprintf("u%d", rapid.IntRange(0, 4).Draw(t, "user is"))
		}
		if strings.Contains(pattern, "sku") { // rows without places can't tell elements of an array apart
			f.From = time.Date(2015, 5, 5, 5, 5, 5, 1000, time.UTC)
		}
		ctx, want := everything, asStored
		switch rapid.SampledFrom([]string{"opens", "opens a part", "opens nothing"}).Draw(t, "reader") {
		case "opens":
			ctx, want = store.WithOpening(ctx, store.Everything(), nil), asOpened
		case "opens a part":
			ctx = store.WithOpening(ctx, store.Only(store.ScopePart{Sources: []string{"s1"}}), nil)
			want = "(" + asStored + " OR o.source = 's1' AND " + asOpened + ")"
		}
		if !f.From.IsZero() {
			want += " AND e.timestamp > '2015-05-05T05:05:05Z'"
		}
		expected := s.expected(t, want, pattern, f.UserID)
		found += len(expected)

		order := rapid.SampledFrom([]store.Order{store.Ascending, store.Descending}).Draw(t, "order")
		var listed []event.Stored
		page := store.Page{Order: order, Limit: rapid.SampledFrom([]int{20, 50, 1000}).Draw(t, "limit")}
		for {
			got, err := r.Events(ctx, f, page)
			require.NoError(t, err)
			listed = append(listed, got.Items...)
			if page.Cursor = got.Next; page.Cursor == "" {
				break
			}
			if want != asStored && (f.Payload != nil || f.UserID != "") {
				_, err := r.Events(everything, f, page)
				require.Error(t, err, "a cursor of who opens values is nobody else's")
			}
		}
		require.Equal(t, expected, sortedIDs(listed), "list of %s", pattern)
		require.True(t, slices.IsSortedFunc(listed, func(a, b event.Stored) int {
			if order == store.Ascending {
				return a.Timestamp.Compare(b.Timestamp)
			}
			return b.Timestamp.Compare(a.Timestamp)
		}))

		n, _, err := r.Count(ctx, f)
		require.NoError(t, err)
		require.EqualValues(t, len(expected), n, "count of %s", pattern)
		_, err = r.Estimate(ctx, f)
		require.NoError(t, err)
		all, err := r.Summarize(ctx, f, 1<<40)
		require.NoError(t, err)
		require.EqualValues(t, len(expected), all.Total)

		var fed []event.Stored
		for after, more := int64(-1), true; more; {
			part, err := r.Feed(ctx, f, after, 100)
			require.NoError(t, err)
			fed, after, more = append(fed, part.Items...), part.ScannedTo, part.More
		}
		require.Equal(t, expected, sortedIDs(fed), "feed of %s", pattern)

		var exported []event.Stored
		for items, err := range r.Export(ctx, f, order, "", 1<<40) {
			require.NoError(t, err)
			exported = append(exported, items...)
		}
		require.Equal(t, expected, sortedIDs(exported), "export of %s", pattern)
	})
	require.NotZero(t, found)
}

func sortedIDs(events []event.Stored) []string {
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].ID.String()
	}
	slices.Sort(ids)
	return ids
}

// Without keys, only searches for values that may be sealed fail, and only for who may open them.
func TestSearchesWaitForKeysOnlyWhereTheyNeedThem(t *testing.T) {
	t.Parallel()
	s := newSearchSystem(t)
	s.fill(t, protect.WithRules(s.rules, s.keys), true, 0, 20)
	kek := &protecttest.KEK{}
	kek.Away.Store(true)
	s.keys = protect.NewKeyring(store.NewKeys(openPool(t, s.url, "audittrail_api")), kek.Open)
	r := s.reader(t)
	ctx := store.WithScope(t.Context(), store.Everything())
	opens := store.WithOpening(ctx, store.Everything(), nil)
	sought := store.Filter{Payload: []byte(`{"name":"ann"}`)}
	_, _, err := r.Count(ctx, sought)
	require.NoError(t, err)
	_, _, err = r.Count(opens, store.Filter{Payload: []byte(`{"total":1}`)})
	require.NoError(t, err)
	_, _, err = r.Count(opens, sought)
	require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
	kek.Away.Store(false)
	_, _, err = r.Count(opens, sought)
	require.NoError(t, err)
}
