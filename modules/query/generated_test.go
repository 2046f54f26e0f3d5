package query_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"audittrail/modules/httpapi/httpapitest"
	"audittrail/platform/longtest"
)

// Requests that are made at random from the specification, good ones and bad ones, get answers that are in the
// specification, and no 5xx. What breaks a parameter's rule is a 400. GENERATED_REQUESTS is how many are sent,
// GENERATED_SEED where to begin, 600 (2,000 in a long run) and another one each time where nothing is said.
func TestGeneratedRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, guideRecords()...)
	for n := range 20 {
		a.append(t, order(2*n, "Order", fmt.Sprint("o-", n%3)), order(2*n+1, "ä/ö", "100%"), "nonsense")
	}
	a.sign(t)
	requests, seed := numberIn(t, "GENERATED_REQUESTS", longtest.Choose[int64](t, 600, 2000)), numberIn(t, "GENERATED_SEED", time.Now().UnixNano())
	g := newGenerator(t, seed)
	last, statuses := "", map[int]int{}
	defer func() { t.Logf("GENERATED_SEED=%d; by status: %v; the last was %s", seed, statuses, last) }()
	for range requests {
		made := g.request()
		last = made.url()
		got := a.send(t, made.http(t, a))
		statuses[got.status]++
		require.Less(t, got.status, 500, string(got.body))
		switch {
		case got.status == http.StatusRequestHeaderFieldsTooLarge:
			require.Greater(t, made.size(), 30<<10, "a request of so few bytes is read whole")
		case made.anonymous:
			require.Equal(t, http.StatusUnauthorized, got.status)
		case made.body:
			require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
		case made.bad != "":
			require.Equal(t, http.StatusBadRequest, got.status, "%s breaks its rule", made.bad)
		}
	}
	for _, status := range []int{200, 400, 401, 404} {
		require.NotZero(t, statuses[status], "no request was answered by %d", status)
	}
}

func numberIn(t *testing.T, variable string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err, variable)
	return n
}

// generated is a request by the specification.
type generated struct {
	path, query     string
	headers         map[string]string
	anonymous, body bool
	bad             string // a parameter that breaks its rule; "" where none does
}

func (m generated) url() string { return m.path + "?" + m.query }

// size is about how many bytes the request has before its body, without the token.
func (m generated) size() (n int) {
	for name, value := range m.headers {
		n += len(name) + len(value)
	}
	return n + len(m.url())
}

func (m generated) http(t *testing.T, a *api) *http.Request {
	t.Helper()
	r := a.request(t, m.url())
	if m.body {
		var err error
		r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+m.url(), strings.NewReader("x"))
		require.NoError(t, err)
		r.Header = a.request(t, "/").Header
	}
	if m.anonymous {
		r.Header.Del("Authorization")
	}
	for name, value := range m.headers {
		r.Header.Set(name, value)
	}
	return r
}

// generator makes requests of all operations.
type generator struct {
	*rand.Rand
	doc   *openapi3.T
	paths []string
}

func newGenerator(t *testing.T, seed int64) *generator {
	t.Helper()
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	g := &generator{rand.New(rand.NewPCG(uint64(seed), 0)), spec.Doc, nil}
	for path := range spec.Doc.Paths.Map() {
		if !isElsewhere(path) {
			g.paths = append(g.paths, path)
		}
	}
	slices.Sort(g.paths)
	return g
}

// oneIn is true once in n times.
func (g *generator) oneIn(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

func (g *generator) request() generated {
	m := generated{path: pick(g, g.paths), headers: map[string]string{}}
	op := g.doc.Paths.Value(m.path).Get
	query := url.Values{}
	for _, ref := range op.Parameters {
		p := ref.Value
		if !p.Required && !g.oneIn(4) {
			continue
		}
		if p.In == openapi3.ParameterInHeader { // of which none knows a wrong value
			m.headers[p.Name] = pick(g, []string{"*", `"x"`, strings.Repeat(`W/"y", `, g.IntN(2000)), "1", "-1"})
			continue
		}
		value, good := g.value(p)
		if !good {
			m.bad = p.Name
		}
		switch p.In {
		case openapi3.ParameterInPath:
			m.path = strings.ReplaceAll(m.path, "{"+p.Name+"}", escaped(value))
		default:
			query.Add(p.Name, value)
			if g.oneIn(40) {
				query.Add(p.Name, value)
				if !p.Schema.Value.Type.Is(openapi3.TypeArray) {
					m.bad = p.Name
				}
			}
		}
	}
	if g.oneIn(50) {
		m.bad = pick(g, []string{"unknown", "Limit", "eventType[]", "", "\x00"})
		query.Add(m.bad, "1")
		m.bad = "what is no parameter"
	}
	m.query = query.Encode()
	kinds := []string{"", "*/*", "text/html", "nonsense;;"}
	for kind := range op.Responses.Status(http.StatusOK).Value.Content {
		if kind != "text/event-stream" { // which does not end
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	m.headers["Accept"] = pick(g, kinds)
	m.body = g.oneIn(100)
	public := op.Security != nil && len(*op.Security) == 0
	m.anonymous = !public && !m.body && g.oneIn(50)
	return m
}

// value is a value of a parameter, and whether it keeps the parameter's rule.
func (g *generator) value(p *openapi3.Parameter) (string, bool) {
	schema := p.Schema.Value
	if schema.Type.Is(openapi3.TypeArray) {
		schema = schema.Items.Value
	}
	if g.oneIn(12) {
		return g.bad(p.In, schema), false
	}
	switch {
	case p.Name == "wait": // longer ones would only take time
		return pick(g, []string{"0", "0", "0", "1"}), true
	case g.oneIn(2) && !schema.Type.Is(openapi3.TypeArray):
		if text, ok := shownValue(p); ok {
			return text, true
		}
	}
	return g.good(schema), true
}

func shownValue(p *openapi3.Parameter) (string, bool) {
	value := p.Example
	if all, many := value.([]any); many {
		value = all[0]
	}
	return fmt.Sprint(value), value != nil
}

func (g *generator) good(schema *openapi3.Schema) string {
	switch {
	case len(schema.Enum) > 0:
		return fmt.Sprint(pick(g, schema.Enum))
	case schema.Type.Is(openapi3.TypeInteger):
		least, most := bounds(schema)
		return strconv.FormatInt(pick(g, []int64{least, most, least + g.Int64N(min(most, least+100)-least+1)}), 10)
	case schema.Format == "uuid":
		return fmt.Sprintf("%08x-%04x-%04x-%04X-%012x", g.Uint32(), g.IntN(1<<16), g.IntN(1<<16), g.IntN(1<<16), g.Int64N(1<<48)|1)
	case schema.Format == "date-time":
		at := time.Date(2026, 3, 1, 9, 0, 0, g.IntN(1e9), time.UTC).Add(time.Duration(g.IntN(1e6)) * time.Second)
		return pick(g, []string{at.Format(time.RFC3339Nano), at.Format("2006-01-02T15:04:05+02:00"), "0000-01-01T00:00:00Z", "9999-12-31t23:59:59z"})
	}
	return g.text(int(schema.MinLength), int(*schema.MaxLength))
}

// bad breaks a rule. In a path nothing is empty: that is another path.
func (g *generator) bad(in string, schema *openapi3.Schema) string {
	all := []string{"\x00", "a\nb", "\xff", "\u0085"}
	if in == openapi3.ParameterInQuery {
		all = append(all, "")
	}
	switch {
	case len(schema.Enum) > 0, schema.Format == "uuid", schema.Format == "date-time":
		all = append(all, "nonsense", "%", "2026-02-30T00:00:00Z", "00000000-0000-0000-0000-000000000000")
	case schema.Type.Is(openapi3.TypeInteger):
		all = append(all, "1.0", "01", "+1", "0x1", "1e1", "99999999999999999999", "ten")
		if least, most := bounds(schema); least > math.MinInt64 {
			all = append(all, strconv.FormatInt(least-1, 10))
			if most < math.MaxInt64 {
				all = append(all, strconv.FormatInt(most+1, 10))
			}
		}
	default:
		if schema.MaxLength != nil {
			all = append(all, strings.Repeat("ä", int(*schema.MaxLength)+1))
		}
	}
	return pick(g, all)
}

func bounds(schema *openapi3.Schema) (least, most int64) {
	least, most = math.MinInt64/2, math.MaxInt64
	if schema.Min != nil {
		least = int64(*schema.Min)
	}
	if schema.Max != nil {
		most = int64(*schema.Max)
	}
	return least, most
}

// text is any text without control characters.
func (g *generator) text(least, most int) string {
	const letters = `aZ09 _-.~/\%+&=?#;:@,'"{}[]()<>|*äß注文😀` + "\u202e\ufffd"
	runes := []rune(letters)
	text := make([]rune, max(least, pick(g, []int{1, 1 + g.IntN(8), most})))
	for i := range text {
		text[i] = pick(g, runes)
	}
	return string(text)
}
