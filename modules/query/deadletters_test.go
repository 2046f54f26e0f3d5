package query_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

// letter is a dead letter as the API shows it.
type letter struct {
	ID          int64
	Reason      string
	Key, Value  *string
	ValueLength *int64
	ValueSha256 *string
	Headers     []struct {
		Key       string
		KeyBase64 *string
		Value     *string
	}
	Omitted []string
}

type letters struct {
	Items      []letter
	NextCursor *string
}

// kept puts a dead letter there as the program did before it kept lengths and hashes, and answers its id.
func (a *api) kept(t *testing.T, key, value []byte, headers []event.Header) (id int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.database)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	keys, values := [][]byte{}, [][]byte{}
	for _, h := range headers {
		keys, values = append(keys, []byte(h.Key)), append(values, h.Value)
	}
	require.NoError(t, conn.QueryRow(t.Context(), `INSERT INTO dead_letters ("offset", received_at, topic_id, partition, topic, reason, field, detail,
			key, value, header_keys, header_values)
		SELECT count(*), now(), gen_random_uuid(), 0, 'orders', 'too_large', 'a "key":null,"value":null,"headers":[],', '', $1::bytea, $2::bytea, $3::bytea[], $4::bytea[]
		FROM dead_letters RETURNING id`, key, value, keys, values).Scan(&id))
	return id
}

// noise are bytes that nothing compresses.
func noise(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) // never fails
	return b
}

func decoded(t *testing.T, text *string) []byte {
	t.Helper()
	require.NotNil(t, text)
	b, err := base64.StdEncoding.DecodeString(*text)
	require.NoError(t, err)
	return b
}

func TestLongDeadLetters(t *testing.T) {
	t.Parallel()
	const slice, shown = 3 << 19, 64 << 10
	header := []event.Header{{Key: "h\xff", Value: []byte{1}}, {Key: "none"}}
	for name, c := range map[string]struct {
		key, value []byte
		headers    []event.Header
		omitted    []string
	}{
		"all that is shown":     {noise(shown), noise(shown), header, nil},
		"a byte more":           {[]byte("key"), noise(shown + 1), header, []string{"value"}},
		"20 MB":                 {[]byte("key"), noise(20_000_000), header, []string{"value"}},
		"20 MB that compresses": {nil, bytes.Repeat([]byte(`{"a":1}`), 3_000_000), nil, []string{"value"}},
		"whole slices":          {noise(slice), noise(2 * slice), header, []string{"key", "value"}},
		"a key":                 {noise(shown + 1), nil, header, []string{"key"}},
		"a header": {nil, []byte("x"), []event.Header{{Key: "a"}, {Key: "b\xff", Value: noise(slice + 7)}, {Key: "c", Value: []byte{}}, {Key: "d", Value: []byte("d")}},
			[]string{"headers"}},
		"many headers": {[]byte{}, []byte{}, slicesOf(event.Header{Key: "name", Value: []byte("value")}, 60_000), []string{"headers"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.append(t, "older")
			id := a.kept(t, c.key, c.value, c.headers)
			a.append(t, "newer")

			var list letters
			a.get(t, "/v1/dead-letters").decode(t, &list)
			require.Len(t, list.Items, 3, "what is long ends no list")
			listed := list.Items[1]
			require.Equal(t, c.omitted, listed.Omitted)
			var single letter
			got := a.get(t, fmt.Sprintf("/v1/dead-letters/%d", id))
			require.Equal(t, http.StatusOK, got.status)
			got.decode(t, &single)
			require.Empty(t, single.Omitted)

			require.Equal(t, c.key == nil, single.Key == nil)
			require.Equal(t, c.value == nil, single.Value == nil)
			for _, shown := range []letter{listed, single} {
				if c.value == nil {
					require.Nil(t, shown.ValueLength)
					require.Nil(t, shown.ValueSha256)
					continue
				}
				require.EqualValues(t, len(c.value), *shown.ValueLength)
				require.Equal(t, sumOf(string(c.value)), *shown.ValueSha256)
			}
			if c.key != nil {
				require.True(t, bytes.Equal(c.key, decoded(t, single.Key)))
			}
			if c.value != nil {
				require.True(t, bytes.Equal(c.value, decoded(t, single.Value)))
			}
			require.Len(t, single.Headers, len(c.headers))
			for i, h := range c.headers {
				require.Equal(t, strings.ToValidUTF8(h.Key, "\uFFFD"), single.Headers[i].Key)
				require.Equal(t, h.Value == nil, single.Headers[i].Value == nil)
				if h.Value != nil {
					require.True(t, bytes.Equal(h.Value, decoded(t, single.Headers[i].Value)))
				}
			}

			head := a.request(t, fmt.Sprintf("/v1/dead-letters/%d", id))
			head.Method = http.MethodHead
			response, err := a.client.Do(head)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusOK, response.StatusCode)
		})
	}
}

func slicesOf(h event.Header, n int) (all []event.Header) {
	for range n {
		all = append(all, h)
	}
	return all
}

// TestManyLongDeadLettersEndPages: what a page has to hash is bounded, and every dead letter is on one.
func TestManyLongDeadLettersEndPages(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	value := noise(20_000_000)
	for range 5 {
		a.kept(t, nil, value, nil)
	}
	var ids []int64
	pages := 0
	for path := "/v1/dead-letters"; ; pages++ {
		var list letters
		a.get(t, path).decode(t, &list)
		for _, d := range list.Items {
			ids = append(ids, d.ID)
			require.Equal(t, sumOf(string(value)), *d.ValueSha256)
		}
		if list.NextCursor == nil {
			break
		}
		path = "/v1/dead-letters?cursor=" + *list.NextCursor
	}
	require.Equal(t, []int64{5, 4, 3, 2, 1}, ids)
	require.Equal(t, 1, pages, "of them end with a cursor")
}

func TestATooLargeDeadLetterShowsWhatIsKept(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	value := order(1, "Order", "x") + strings.Repeat(" ", 2<<20)
	a.append(t, value)
	var list letters
	a.get(t, "/v1/dead-letters").decode(t, &list)
	require.Len(t, list.Items, 1)
	one := list.Items[0]
	require.Equal(t, "too_large", one.Reason)
	require.Equal(t, value[:event.OversizeKept], string(decoded(t, one.Value)))
	require.EqualValues(t, len(value), *one.ValueLength)
	require.Equal(t, sumOf(value), *one.ValueSha256)
	require.Empty(t, one.Omitted)
	var single letter
	a.get(t, "/v1/dead-letters/1").decode(t, &single)
	require.Equal(t, one, single)
}
