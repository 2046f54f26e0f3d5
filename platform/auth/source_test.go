package auth_test

import (
	"context"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
)

// An issuer of one's own often has a certificate of an authority that the system does not know.
func TestTheIssuersAuthorityIsNamed(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	keys, err := os.ReadFile(issuer.Options().JWKSFile)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) }))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))

	opts := issuer.Options()
	opts.JWKSFile, opts.JWKSURL = "", server.URL
	v, err := auth.NewVerifier(opts, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Error(t, v.Reload(context.Background()), "the system does not know the authority")
	opts.CA = ca
	v, err = auth.NewVerifier(opts, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, v.Reload(context.Background()))
	opts.CA = filepath.Join(t.TempDir(), "none.pem")
	_, err = auth.NewVerifier(opts, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "auth.ca")
}
