package store_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// modelEvent is an event as the naive model of reading knows it.
type modelEvent struct {
	id       string
	row      int64
	position int64
	typ      string
	agg      string
	at       time.Time

	correlation, causation, user, source string
	payload                              modelPayload
}

// modelPayload is {"n": n, "k": n mod 5, "tags": ["a"] or ["a", "b"], "empty": {}}.
type modelPayload int

func (p modelPayload) json() string {
	tags := `["a"]`
	if p%4 == 0 {
		tags = `["b","a"]`
	}
	return fmt.Sprintf(`{"n":%d,"k":%d,"tags":%s,"empty":{}}`, p, p%5, tags)
}

// modelPatterns are patterns, and which payloads contain them.
var modelPatterns = map[string]func(modelPayload) bool{
	"":                         func(modelPayload) bool { return true },
	`{"k":3}`:                  func(p modelPayload) bool { return p%5 == 3 },
	`{"tags":["b"]}`:           func(p modelPayload) bool { return p%4 == 0 },
	`{"k":0,"tags":["a","b"]}`: func(p modelPayload) bool { return p%20 == 0 },
	`{"n":77}`:                 func(p modelPayload) bool { return p == 77 },
	`{"empty":{}}`:             func(modelPayload) bool { return true },
	`{"n":"77"}`:               func(modelPayload) bool { return false },
}

// metadataOf is the metadata of event i: with no source in every third, and one that comes late.
func metadataOf(i int) string {
	m := fmt.Sprintf(`"correlationId":"w%d","causationId":"c%d","userId":"u%d"`, i%37, i%23, i%4)
	switch {
	case i%3 == 0:
	case i > 300:
		m += `,"source":"late \"quoted\" ä"`
	default:
		m += fmt.Sprintf(`,"source":"s%d"`, i%3)
	}
	return "{" + m + "}"
}

// moments are where lists can go wrong: ties, bounds of partitions, far apart, and the far past.
var moments = []string{
	"1948-03-01T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2000-01-01T00:00:00Z", "2000-12-31T23:59:59.999999Z",
	"2004-06-01T00:00:00Z", "2010-01-01T00:00:00Z", "2015-05-05T05:05:05Z", "2019-01-01T00:00:00Z",
	"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00Z",
}

var modelTypes, modelAggregates = []string{"A", "B", "C"}, []string{"x", "y/ä"}

// fillModel stores n events in batches of many sizes and answers them as the database has them.
func (s testStore) fillModel(t testing.TB, n int) []modelEvent {
	t.Helper()
	s.begin(t, 1)
	offset := int64(0)
	for from := 0; from < n; {
		size := min(1+(from*7)%40, n-from)
		var events []given
		for i := from; i < from+size; i++ {
			events = append(events, given{n: i + 1, typ: modelTypes[i%7%3], aggregate: modelAggregates[i%5%2], at: moments[(i*i+i/3)%len(moments)],
				payload: modelPayload(i).json(), metadata: metadataOf(i)})
		}
		s.appendAll(t, offset, events...)
		offset, from = offset+int64(size), from+size
	}
	rows, err := s.owner.Query(t.Context(), `SELECT e.event_id::text, e.id, b.first_position + (e.id & 16383),
		event_type, aggregate_id, timestamp, metadata ->> 'correlationId', metadata ->> 'causationId', metadata ->> 'userId',
		coalesce(metadata ->> 'source', ''), (payload ->> 'n')::int FROM events e JOIN ledger_batches b ON b.batch = e.id >> 14 AND b.log = 'events'`)
	require.NoError(t, err)
	defer rows.Close()
	var model []modelEvent
	for rows.Next() {
		var m modelEvent
		require.NoError(t, rows.Scan(&m.id, &m.row, &m.position, &m.typ, &m.agg, &m.at, &m.correlation, &m.causation, &m.user, &m.source, &m.payload))
		model = append(model, m)
	}
	require.NoError(t, rows.Err())
	require.Len(t, model, n)
	return model
}

func (m modelEvent) fits(f store.Filter) bool {
	return (len(f.EventTypes) == 0 || slices.Contains(f.EventTypes, m.typ)) &&
		(f.AggregateID == "" || f.AggregateID == m.agg) &&
		(f.AggregateType == "" || f.AggregateType == "Order") &&
		(f.CorrelationID == "" || f.CorrelationID == m.correlation) && (f.CausationID == "" || f.CausationID == m.causation) &&
		(f.UserID == "" || f.UserID == m.user) && (f.Source == "" || f.Source == m.source) &&
		modelPatterns[string(f.Payload)](m.payload) &&
		(f.From.IsZero() || !m.at.Before(f.From)) && (f.To.IsZero() || m.at.Before(f.To))
}

func drawMoment(t *rapid.T, name string) time.Time {
	if !rapid.Bool().Draw(t, name+" given") {
		return time.Time{}
	}
	at, err := event.ParseTime(rapid.SampledFrom(moments).Draw(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, name+" off")) * time.Microsecond)
}

func drawFilter(t *rapid.T) store.Filter {
	f := store.Filter{
		EventTypes:    rapid.SliceOfNDistinct(rapid.SampledFrom(append(modelTypes, "none")), 0, 3, rapid.ID).Draw(t, "types"),
		AggregateType: rapid.SampledFrom([]string{"", "Order", "none"}).Draw(t, "aggregate type"),
		AggregateID:   rapid.SampledFrom(append(modelAggregates, "")).Draw(t, "aggregate"),
		From:          drawMoment(t, "from"), To: drawMoment(t, "to"),
		CorrelationID: sometimes(t, "correlation", "w1", "w36", "none"),
		CausationID:   sometimes(t, "causation", "c0", "c22", "none"),
		UserID:        sometimes(t, "user", "u0", "u3", "none"),
		Source:        sometimes(t, "source", "s1", "s2", `late "quoted" ä`, "none"),
	}
	if pattern := rapid.SampledFrom(slices.Sorted(maps.Keys(modelPatterns))).Draw(t, "payload"); pattern != "" {
		f.Payload = []byte(pattern)
	}
	return f
}

// sometimes draws one of the texts, and nothing three times out of four.
func sometimes(t *rapid.T, name string, texts ...string) string {
	if rapid.IntRange(0, 3).Draw(t, name+" given") > 0 {
		return ""
	}
	return rapid.SampledFrom(texts).Draw(t, name)
}

// However a search is cut into pages, it gives each event that fits exactly once, in order.
func TestReadPagesAgainstAModel(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	model := s.fillModel(t, 400)
	patient, hasty := s.reader(t), s.readerOf(t, store.ReaderOptions{ScanBudget: time.Microsecond})
	rapid.Check(t, func(rt *rapid.T) {
		r, isHasty := patient, rapid.Bool().Draw(rt, "hasty")
		if isHasty {
			r = hasty
		}
		filter := drawFilter(rt)
		order := rapid.SampledFrom([]store.Order{store.Ascending, store.Descending}).Draw(rt, "order")
		want := []string{}
		sorted := slices.SortedFunc(slices.Values(model), func(a, b modelEvent) int {
			return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.row, b.row))
		})
		for _, m := range sorted {
			if m.fits(filter) {
				want = append(want, m.id)
			}
		}
		if order == store.Descending {
			slices.Reverse(want)
		}
		got := []string{}
		page := store.Page{Order: order}
		for {
			page.Limit = rapid.IntRange(1, 150).Draw(rt, "limit")
			found, err := r.Events(t.Context(), filter, page)
			if err != nil {
				rt.Fatal(err)
			}
			if len(found.Items) > page.Limit || found.Next != "" && len(found.Items) != page.Limit && !isHasty {
				rt.Fatalf("a page of %d, limit %d", len(found.Items), page.Limit)
			}
			got = append(got, ids(found.Items)...)
			if page.Cursor = found.Next; page.Cursor == "" {
				break
			}
		}
		n, isCapped, err := r.Count(t.Context(), filter)
		if err != nil || isCapped || n != int64(len(want)) {
			rt.Fatalf("counted %d, capped %t, %v; want %d", n, isCapped, err, len(want))
		}
		if !slices.Equal(want, got) {
			rt.Fatalf("want %d events, got %d:\n%v\n%v", len(want), len(got), want, got)
		}
	})
}

func TestReadFeedAgainstAModel(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	model := s.fillModel(t, 400)
	slices.SortFunc(model, func(a, b modelEvent) int { return cmp.Compare(a.position, b.position) })
	r := s.reader(t)
	rapid.Check(t, func(rt *rapid.T) {
		after := rapid.Int64Range(-1, 420).Draw(rt, "after")
		last := int64(len(model) - 1)
		for {
			limit := rapid.IntRange(1, 200).Draw(rt, "limit")
			page, err := r.Feed(t.Context(), store.Filter{}, after, limit)
			if after > last {
				if errs.Of(err).Code != "position_beyond_end" {
					rt.Fatalf("after %d, beyond the end: %v", after, err)
				}
				return
			}
			if err != nil {
				rt.Fatal(err)
			}
			for i, e := range page.Items {
				if want := model[after+1+int64(i)]; e.Position != want.position || e.ID.String() != want.id {
					rt.Fatalf("at %d: %d %s, want %d %s", i, e.Position, e.ID, want.position, want.id)
				}
			}
			if page.ScannedTo != after+int64(len(page.Items)) {
				rt.Fatalf("scanned to %d with %d events after %d", page.ScannedTo, len(page.Items), after)
			}
			after = page.ScannedTo
			if !page.More {
				break
			}
			if len(page.Items) != limit {
				rt.Fatal("a short page before the end")
			}
		}
		if after != last {
			rt.Fatalf("ended at %d, want %d", after, last)
		}
	})
}

// However a filtered feed is cut into pages, it gives each event that fits exactly once, in order, and comes to
// the log's end.
func TestReadFilteredFeedAgainstAModel(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	model := s.fillModel(t, 400)
	slices.SortFunc(model, func(a, b modelEvent) int { return cmp.Compare(a.position, b.position) })
	patient := s.readerOf(t, store.ReaderOptions{ScanBudget: time.Minute})
	hasty := s.readerOf(t, store.ReaderOptions{ScanBudget: time.Nanosecond})
	rapid.Check(t, func(rt *rapid.T) {
		filter := drawFilter(rt)
		begin := rapid.Int64Range(-1, 399).Draw(rt, "after")
		want, got := []string{}, []string{}
		for _, m := range model[begin+1:] {
			if m.fits(filter) {
				want = append(want, m.id)
			}
		}
		for after, more := begin, true; more; {
			limit := rapid.IntRange(1, 150).Draw(rt, "limit")
			r := rapid.SampledFrom([]*store.Reader{patient, hasty}).Draw(rt, "reader")
			page, err := r.Feed(t.Context(), filter, after, limit)
			if err != nil {
				rt.Fatal(err)
			}
			got = append(got, ids(page.Items)...)
			if len(page.Items) > limit || page.More && (page.ScannedTo == after || r == patient && len(page.Items) < limit) {
				rt.Fatalf("a page of %d from %d to %d, limit %d", len(page.Items), after, page.ScannedTo, limit)
			}
			if after, more = page.ScannedTo, page.More; !more && after != 399 {
				rt.Fatalf("ended at %d", after)
			}
		}
		if !slices.Equal(want, got) {
			rt.Fatalf("want %d events, got %d:\n%v\n%v", len(want), len(got), want, got)
		}
	})
}

// A page examines 100,000 positions at most, whether nothing fits or the events were archived, and says how far
// it came.
func TestFeedMovesOnWhereNothingFits(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	for _, size := range []int{15_000, 60} { // large batches, and those of a trickle
		_, err := s.owner.Exec(t.Context(), `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
			SELECT 'events', f.first + i * $1::int, nextval('event_batches'), $1, t, t, t, repeat('x', 32 * $1::int)::bytea
			FROM generate_series(0, 120000 / $1 - 1) AS i, CAST('2001-01-01' AS timestamptz) AS t,
			(SELECT coalesce(max(first_position + count), 0) AS first FROM ledger_batches) AS f`, size)
		require.NoError(t, err)
	}
	s.appendAll(t, 0, given{n: 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"}, given{n: 2, typ: "B", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	r := s.readerOf(t, store.ReaderOptions{ScanBudget: time.Minute})
	follow := func(filter store.Filter, after, scannedTo int64, more bool, events int) {
		t.Helper()
		page, err := r.Feed(t.Context(), filter, after, 50)
		require.NoError(t, err)
		require.Len(t, page.Items, events)
		require.Equal(t, scannedTo, page.ScannedTo)
		require.Equal(t, more, page.More)
	}
	for _, none := range []store.Filter{{}, {EventTypes: []string{"none"}}} {
		follow(none, -1, 99_999, true, 0)
		follow(none, 99_999, 199_999, true, 0)
	}
	follow(store.Filter{}, 199_999, 240_001, false, 2)
	follow(store.Filter{EventTypes: []string{"B"}}, 199_999, 240_001, false, 1)
	follow(store.Filter{EventTypes: []string{"none"}}, 199_999, 240_001, false, 0)
	follow(store.Filter{EventTypes: []string{"none"}}, 240_001, 240_001, false, 0)
}

// A reader that pages while events arrive sees each event that was there before exactly once, and a feed
// that is followed meanwhile sees every position, dense, in order.
func TestReadWhileEventsArrive(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	before := map[string]int{}
	var events []given
	for n := range 100 {
		events = append(events, given{n: n + 1, typ: "A", aggregate: "x", at: moments[n%len(moments)]})
		before[id(n+1)] = 0
	}
	s.appendAll(t, 0, events...)
	r := s.reader(t)

	offset, next := int64(100), int64(0)
	page := store.Page{Limit: 9}
	for round := 0; ; round++ {
		found, err := r.Events(t.Context(), store.Filter{}, page)
		require.NoError(t, err)
		for _, e := range found.Items {
			if _, old := before[e.ID.String()]; old {
				before[e.ID.String()]++
			}
		}
		s.appendAll(t, offset, given{n: int(offset) + 1, typ: "A", aggregate: "x", at: moments[round%len(moments)]})
		offset++
		feed, err := r.Feed(t.Context(), store.Filter{}, next-1, 20)
		require.NoError(t, err)
		for _, e := range feed.Items {
			require.Equal(t, next, e.Position)
			next++
		}
		if page.Cursor = found.Next; page.Cursor == "" {
			break
		}
	}
	for eventID, times := range before {
		require.Equal(t, 1, times, fmt.Sprint("event ", eventID))
	}
}
