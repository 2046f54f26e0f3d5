package httpserver

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnswersTogetherHoldSoMuchAndNoMore(t *testing.T) {
	var all atomic.Int64
	all.Store(maxHeld - 100)
	first, second := newHeldWriter(&all), newHeldWriter(&all)
	_, err := first.Write(make([]byte, 90))
	require.NoError(t, err)
	_, err = second.Write(make([]byte, 20))
	require.ErrorIs(t, err, errHeldTooMuch)

	second.reset()
	second.refusal(503, []byte("a refusal always fits"))
	w := httptest.NewRecorder()
	second.release(w)
	require.Equal(t, 503, w.Code)
	require.Equal(t, "a refusal always fits", w.Body.String())

	first.reset()
	require.Equal(t, int64(maxHeld-100), all.Load(), "all that was taken is given back")
	_, err = second.Write(make([]byte, 20))
	require.NoError(t, err)
}

func TestAnswersWithoutABody(t *testing.T) {
	var all atomic.Int64
	for status, length := range map[int]string{200: "1", 204: "", 304: ""} {
		held := newHeldWriter(&all)
		held.WriteHeader(status)
		held.WriteHeader(http.StatusTeapot) // only the first counts
		_, err := held.Write([]byte("x"))
		require.NoError(t, err)
		w := httptest.NewRecorder()
		held.release(w)
		require.Equal(t, status, w.Code)
		require.Equal(t, length, w.Header().Get("Content-Length"))
		require.Len(t, w.Body.String(), len(length))
	}
}

func TestMatchesETag(t *testing.T) {
	etag := ETag([]byte("x"))
	for header, matches := range map[string]bool{
		etag: true, "W/" + etag: true, `"a", ` + etag + `, "b"`: true, "*": true, " * ": true,
		"": false, `"a"`: false, etag[1:]: false, "W/*": false,
	} {
		require.Equal(t, matches, MatchesETag(header, etag), header)
	}
}

func TestConditionsOfSeveralLines(t *testing.T) {
	h := http.Header{"If-None-Match": {`"a"`, `"b", W/"c"`}, "Accept": {"x", "y"}}
	joinConditions(h)
	require.Equal(t, []string{`"a", "b", W/"c"`}, h.Values("If-None-Match"))
	require.Len(t, h.Values("Accept"), 2)
	none := http.Header{}
	joinConditions(none)
	require.Empty(t, none)
}
