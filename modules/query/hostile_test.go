package query_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"crypto/hmac"

	"github.com/stretchr/testify/require"
)

func TestParametersThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	long := strings.Repeat("x", 256)
	for path, field := range map[string]string{
		"/v1/events?limit=0":                                           "limit",
		"/v1/events?limit=-1":                                          "limit",
		"/v1/events?limit=1001":                                        "limit",
		"/v1/events?limit=99999999999":                                 "limit",
		"/v1/events?limit=99999999999999999999999":                     "limit",
		"/v1/events?limit=%2B5":                                        "limit",
		"/v1/events?limit=5.0":                                         "limit",
		"/v1/events?limit=05":                                          "limit",
		"/v1/events?limit=0x10":                                        "limit",
		"/v1/events?limit=":                                            "limit",
		"/v1/events?limit":                                             "limit",
		"/v1/events?limit=1&limit=2":                                   "limit",
		"/v1/events?order=up":                                          "order",
		"/v1/events?order=DESC":                                        "order",
		"/v1/events?eventTyp=A":                                        "eventTyp",
		"/v1/events?EventType=A":                                       "EventType",
		"/v1/events?eventType%5B%5D=A":                                 "eventType[]",
		"/v1/events?eventType=":                                        "eventType",
		"/v1/events?eventType=A&eventType=":                            "eventType",
		"/v1/events?eventType=" + long:                                 "eventType",
		"/v1/events?aggregateId=a%00b":                                 "aggregateId",
		"/v1/events?aggregateId=a%0Ab":                                 "aggregateId",
		"/v1/events?aggregateId=%C2%85":                                "aggregateId",
		"/v1/events?aggregateId=%ff%fe":                                "aggregateId",
		"/v1/events?aggregateId=%ED%A0%80":                             "aggregateId",
		"/v1/events?aggregateId=%zz":                                   "aggregateId",
		"/v1/events?aggregateId=a;limit=5":                             "aggregateId",
		"/v1/events?%zz=1":                                             "query",
		"/v1/events?=1":                                                "query",
		"/v1/events?%00=1":                                             "query",
		"/v1/events?from=yesterday":                                    "from",
		"/v1/events?from=2026-03-01":                                   "from",
		"/v1/events?from=2026-03-01T09:30:00+01:00":                    "from",
		"/v1/events?from=2026-02-30T00:00:00Z":                         "from",
		"/v1/events?to=2026-03-01T09:30:60Z":                           "to",
		"/v1/events?from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z": "to",
		"/v1/events?from=2027-03-01T00:00:00Z&to=2026-03-01T00:00:00Z": "to",
		"/v1/events?cursor=" + strings.Repeat("A", 201):                "cursor",
		"/v1/events?payload=%7B%7D":                                    "payload",
		"/v1/events?" + strings.Repeat("eventType=A&", 51):             "eventType",
		"/v1/events/" + id(1) + "?x=1":                                 "x",
		"/v1/events/nonsense":                                          "eventId",
		"/v1/events/" + strings.ReplaceAll(id(1), "-", ""):             "eventId",
		"/v1/events/%7B" + id(1) + "%7D":                               "eventId",
		"/v1/events/00000000-0000-0000-0000-000000000000":              "eventId",
		"/v1/aggregates/" + long + "/x/events":                         "type",
		"/v1/aggregates/Order/a%00b/events":                            "id",
		"/v1/aggregates/Order/%ff/events":                              "id",
		"/v1/aggregates//x/events":                                     "type",
		"/v1/feed?after=-2":                                            "after",
		"/v1/feed?after=9223372036854775808":                           "after",
		"/v1/feed?after=1.5":                                           "after",
		"/v1/feed?wait=31":                                             "wait",
		"/v1/feed?cursor=x":                                            "cursor",
		"/v1/dead-letters?reason=because":                              "reason",
		"/v1/dead-letters?status=open":                                 "status",
		"/v1/ingest/offsets?limit=5":                                   "limit",
		"/openapi.json?x=1":                                            "x",
		"/v1/events?" + strings.Repeat("%E2%80%AE", 10) + "x=1":        "x",
		"/v1/events?" + strings.Repeat("y", 100) + "=1":                strings.Repeat("y", 64),
	} {
		t.Run(path[:min(len(path), 80)], func(t *testing.T) {
			got := a.get(t, path).refused(t, http.StatusBadRequest, "invalid_parameter", field)
			require.NotContains(t, got.Detail, "strconv", "a library's text")
			require.NotContains(t, got.Detail, "%!", "a broken format")
		})
	}
	for _, cursor := range []string{"junk", "AAAA", "%20", strings.Repeat("A", 34), "AbCdEfGhIjKlMnOpQrStUvWxYz0123456_"} {
		a.get(t, "/v1/events?cursor="+cursor).refused(t, http.StatusBadRequest, "invalid_cursor", "cursor")
		a.get(t, "/v1/dead-letters?cursor="+cursor).refused(t, http.StatusBadRequest, "invalid_cursor", "cursor")
	}
	long255 := strings.Repeat("ä", 255)
	require.Empty(t, a.list(t, "/v1/events?aggregateId="+long255).Items, "characters count, not bytes")
}

func TestTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	good := a.issuer.Token(nil)
	header, payload, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(payload, ".")
	hour := time.Now().Add(-time.Hour).Unix()
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

	for name, c := range map[string]struct{ authorization, code string }{
		"none":                     {"", "unauthenticated"},
		"another scheme":           {"Basic " + good, "unauthenticated"},
		"no token":                 {"Bearer ", "unauthenticated"},
		"no scheme":                {good, "unauthenticated"},
		"junk":                     {"Bearer junk", "invalid_token"},
		"two parts":                {"Bearer " + header + "." + payload, "invalid_token"},
		"no signature":             {"Bearer " + header + "." + payload + ".", "invalid_token"},
		"another signature":        {"Bearer " + header + "." + payload + "." + flip(signature), "invalid_token"},
		"another payload":          {"Bearer " + header + "." + encode(`{"sub":"admin"}`) + "." + signature, "invalid_token"},
		"alg none":                 {"Bearer " + encode(`{"alg":"none"}`) + "." + payload + ".", "invalid_token"},
		"alg None":                 {"Bearer " + encode(`{"alg":"None"}`) + "." + payload + "." + signature, "invalid_token"},
		"HS256 by the public key":  {"Bearer " + hs256(a.issuer.JWKS(), payload, sha256.New), "invalid_token"},
		"alg of another key type":  {"Bearer " + encode(`{"alg":"RS256","kid":"key-1"}`) + "." + payload + "." + signature, "invalid_token"},
		"critical header":          {"Bearer " + encode(`{"alg":"ES256","kid":"key-1","crit":["x"],"x":1}`) + "." + payload + "." + signature, "invalid_token"},
		"a key in the token":       {"Bearer " + encode(`{"alg":"ES256","jwk":`+firstKey(t, a.issuer.JWKS())+`}`) + "." + payload + "." + flip(signature), "invalid_token"},
		"JSON serialisation":       {`Bearer {"payload":"` + payload + `","protected":"` + header + `","signature":"` + signature + `"}`, "invalid_token"},
		"expired":                  {"Bearer " + a.issuer.Token(map[string]any{"exp": hour}), "token_expired"},
		"no expiry":                {"Bearer " + a.issuer.Token(map[string]any{"exp": nil}), "invalid_token"},
		"an expiry as text":        {"Bearer " + a.issuer.Token(map[string]any{"exp": "9999999999"}), "invalid_token"},
		"an expiry beyond numbers": {"Bearer " + a.issuer.Token(map[string]any{"exp": 1e300}), "invalid_token"},
		"not yet":                  {"Bearer " + a.issuer.Token(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "invalid_token"},
		"another issuer":           {"Bearer " + a.issuer.Token(map[string]any{"iss": "https://issuer.test/"}), "invalid_token"},
		"no issuer":                {"Bearer " + a.issuer.Token(map[string]any{"iss": nil}), "invalid_token"},
		"another audience":         {"Bearer " + a.issuer.Token(map[string]any{"aud": []string{"other", "Audittrail"}}), "invalid_token"},
		"no audience":              {"Bearer " + a.issuer.Token(map[string]any{"aud": nil}), "invalid_token"},
		"no subject":               {"Bearer " + a.issuer.Token(map[string]any{"sub": nil}), "invalid_token"},
		"claims by another case":   {"Bearer " + a.issuer.Sign([]byte(strings.Replace(claimsOf(t, good), `"sub"`, `"SUB"`, 1))), "invalid_token"},
		"a claim twice":            {"Bearer " + a.issuer.Sign([]byte(strings.Replace(claimsOf(t, good), `"sub"`, `"sub":"admin","sub"`, 1))), "invalid_token"},
		"no claims":                {"Bearer " + a.issuer.Sign([]byte(`[]`)), "invalid_token"},
		"large":                    {"Bearer " + a.issuer.Token(map[string]any{"x": strings.Repeat("x", 17<<10)}), "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := a.request(t, "/v1/events?limit=nonsense") // the credential is checked first
			r.Header.Del("Authorization")
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			got := a.send(t, r)
			got.refused(t, http.StatusUnauthorized, c.code, "")
			require.Regexp(t, `^Bearer realm="audittrail"`, got.header.Get("WWW-Authenticate"))
		})
	}
	r := a.request(t, "/v1/events")
	r.Header.Add("Authorization", "Bearer "+good)
	a.send(t, r).refused(t, http.StatusUnauthorized, "unauthenticated", "")
	require.Equal(t, 200, a.get(t, "/v1/events").status)
}

func flip(s string) string {
	if s[3] == 'A' {
		return s[:3] + "B" + s[4:]
	}
	return s[:3] + "A" + s[4:]
}

func hs256(secret []byte, payload string, sum func() hash.Hash) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"key-1"}`)) + "." + payload
	mac := hmac.New(sum, secret)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func firstKey(t testing.TB, jwks []byte) string {
	t.Helper()
	var set struct{ Keys []json.RawMessage }
	require.NoError(t, json.Unmarshal(jwks, &set))
	return string(set.Keys[0])
}

func claimsOf(t testing.TB, token string) string {
	t.Helper()
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	return string(claims)
}

func TestPathsAndMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/", "/v1", "/v2/events", "/v1/events/", "/v1/events/x/y", "/docs/x/y", "/v1//events", "/../etc/passwd", "/v1/aggregates/a/b", "/metrics"} {
		a.get(t, path).refused(t, http.StatusNotFound, "not_found", "")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		r := a.request(t, "/v1/events")
		r.Method = method
		response, err := a.client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, method)
		require.Equal(t, "OPTIONS, GET, HEAD", response.Header.Get("Allow"))
	}
	require.Equal(t, 200, a.get(t, "/v1/%65vents").status, "a path's spelling does not matter")
}

func TestBodiesAndHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, length := range []int64{2, -1} { // as it is told, and in chunks
		r := a.request(t, "/v1/events")
		r.Body = io.NopCloser(strings.NewReader("{}"))
		r.ContentLength = length
		response, err := a.client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode, length)
	}

	r := a.request(t, "/v1/events")
	r.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	response, err := a.client.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)

	// What is no HTTP at all ends its own connection and nothing else.
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	_, err = fmt.Fprint(conn, "GET /v1/events\x00 HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "400")
	require.NoError(t, conn.Close())
	require.Equal(t, 200, a.get(t, "/v1/events").status)
}

func TestCorrelationIDs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for sent, taken := range map[string]bool{
		"order-551": true, "A.b_c:d-9": true, strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false, "a b": false, `x"y`: false, "ä": false, "": false,
	} {
		r := a.request(t, "/v1/events")
		r.Header.Set("X-Correlation-Id", sent)
		got := a.send(t, r).header.Get("X-Correlation-Id")
		if taken {
			require.Equal(t, sent, got)
		} else {
			require.Regexp(t, "^[0-9a-f]{32}$", got)
		}
	}
}
