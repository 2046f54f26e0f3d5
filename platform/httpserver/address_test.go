package httpserver_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/httpserver"
)

func TestAddressOfTheClient(t *testing.T) {
	const peer, stranger = "10.0.0.1:4711", "192.0.2.9:4711"
	for name, c := range map[string]struct {
		from   string
		header http.Header
		want   string
	}{
		"the connection's":                {stranger, nil, "192.0.2.9"},
		"a stranger's header is nothing":  {stranger, http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "192.0.2.9"},
		"a proxy without header":          {peer, nil, "10.0.0.1"},
		"a proxy's client":                {peer, http.Header{"X-Forwarded-For": {"198.51.100.1"}}, "198.51.100.1"},
		"what the client wrote":           {peer, http.Header{"X-Forwarded-For": {"203.0.113.5, 198.51.100.1"}}, "198.51.100.1"},
		"two proxies":                     {peer, http.Header{"X-Forwarded-For": {"203.0.113.5, 198.51.100.1, 10.0.0.2"}}, "198.51.100.1"},
		"two lines":                       {peer, http.Header{"X-Forwarded-For": {"203.0.113.5", "198.51.100.1"}}, "198.51.100.1"},
		"proxies alone":                   {peer, http.Header{"X-Forwarded-For": {"10.0.0.3, 10.0.0.2"}}, "10.0.0.3"},
		"no address":                      {peer, http.Header{"X-Forwarded-For": {"203.0.113.5, unknown, 10.0.0.2"}}, "10.0.0.2"},
		"empty":                           {peer, http.Header{"X-Forwarded-For": {""}}, "10.0.0.1"},
		"a port":                          {peer, http.Header{"X-Forwarded-For": {"198.51.100.1:80"}}, "198.51.100.1"},
		"IPv6":                            {peer, http.Header{"X-Forwarded-For": {"2001:DB8::1"}}, "2001:db8::1"},
		"IPv6 with a port":                {peer, http.Header{"X-Forwarded-For": {"[2001:db8::1]:80"}}, "2001:db8::1"},
		"IPv4 in IPv6":                    {"[::ffff:10.0.0.1]:4711", http.Header{"X-Forwarded-For": {"::ffff:198.51.100.1"}}, "198.51.100.1"},
		"a peer with a zone":              {"[fe80::1%eth0]:4711", nil, "fe80::1"},
		"Forwarded":                       {peer, http.Header{"Forwarded": {`for=203.0.113.5, For="198.51.100.1:80";proto=https`}}, "198.51.100.1"},
		"Forwarded, IPv6":                 {peer, http.Header{"Forwarded": {`proto=https;for="[2001:db8::1]"`}}, "2001:db8::1"},
		"Forwarded, hidden":               {peer, http.Header{"Forwarded": {`for=_hidden`}}, "10.0.0.1"},
		"X-Forwarded-For before":          {peer, http.Header{"Forwarded": {`for=203.0.113.5`}, "X-Forwarded-For": {"198.51.100.1"}}, "198.51.100.1"},
		"a connection without an address": {"@", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var seen string
			s := newServer(t, httpserver.Options{TrustedProxies: []string{"10.0.0.0/8"}}, io.Discard,
				func(_ context.Context, x *httpserver.Exchange) error {
					seen = x.RemoteAddr
					return nil
				})
			r := httptest.NewRequest(http.MethodGet, "/x", nil)
			r.RemoteAddr = c.from
			for name, values := range c.header {
				r.Header[name] = values
			}
			s.ServeHTTP(httptest.NewRecorder(), r)
			require.Equal(t, c.want, seen)
		})
	}
}
