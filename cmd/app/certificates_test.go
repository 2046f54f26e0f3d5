package app

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestCertificateExpiry(t *testing.T) {
	authority := newAuthority(t)
	cert, _ := authority.issue("server")
	var c Config
	none := newCertificateExpiry(c)
	require.Zero(t, testutil.CollectAndCount(none))
	c.Admin.TLS.Cert = cert
	e := newCertificateExpiry(c)
	left := func() time.Duration { return time.Until(time.Unix(int64(testutil.ToFloat64(e)), 0)) }
	require.InDelta(t, time.Hour, left(), float64(30*time.Minute))

	// The chain is as good as its first certificate to expire.
	leaf, err := os.ReadFile(cert)
	require.NoError(t, err)
	old := *authority.cert
	old.NotAfter = time.Now().Add(-time.Hour)
	expired, _ := authority.write("expired", &old, authority.key)
	chain, err := os.ReadFile(expired)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, append(leaf, chain...), 0o600))
	require.Negative(t, left())

	// A file that is half written says nothing new.
	require.NoError(t, os.WriteFile(cert, []byte("-----BEGIN"), 0o600))
	require.Negative(t, left())
	require.Zero(t, testutil.ToFloat64(newCertificateExpiry(c)), "nothing is known of it")
}
