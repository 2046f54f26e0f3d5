package query_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// origin is the ledger's in these tests.
const origin = "audit.test/shop"

// randomness is what the tests' key is made of.
type randomness struct{}

func (randomness) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// sign does what the notary does: it stores tiles and signs a checkpoint of all that is there.
func (a *api) sign(t testing.TB) store.Checkpoint {
	t.Helper()
	rows := store.NewLedger(openPool(t, a.database, "audittrail_notary", nil), ledger.Events)
	size, err := rows.Size(t.Context())
	require.NoError(t, err)
	built, err := rows.Built(t.Context())
	require.NoError(t, err)
	require.NoError(t, ledger.BuildTiles(t.Context(), rows, built, size, func(ctx context.Context, _ int64, parts []ledger.TilePart) error {
		return rows.WriteTiles(ctx, parts)
	}))
	prover, err := ledger.NewProver(rows, size)
	require.NoError(t, err)
	root, err := prover.Root(t.Context())
	require.NoError(t, err)
	a.key, err = ledger.GenerateKey(origin, randomness{})
	require.NoError(t, err)
	signer, err := a.key.Signer(ledger.Events)
	require.NoError(t, err)
	note, err := ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: size, Root: root}.Sign(signer)
	require.NoError(t, err)
	kept := store.Checkpoint{Size: size, Root: root, Note: string(note), SignedAt: time.Now().UTC().Truncate(time.Microsecond)}
	require.NoError(t, rows.KeepCheckpoint(t.Context(), kept))
	return kept
}

// keys are what a verifier trusts.
func (a *api) keys(t testing.TB) ledger.Keys {
	t.Helper()
	keys, err := ledger.ParseKeys(a.key.VerifierKey(ledger.Events))
	require.NoError(t, err)
	return keys
}

// proof asks for an event's evidence, with an Accept header where one is given.
func (a *api) proof(t testing.TB, n int, accept string) answer {
	t.Helper()
	r := a.request(t, "/v1/events/"+id(n)+"/proof")
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return a.send(t, r)
}

func TestEvidenceOfAnEvent(t *testing.T) {
	a := newAPI(t)
	a.append(t, order(1, "Order", "o-1"), order(2, "Order", "o-2"))
	refused := a.proof(t, 1, "")
	refused.refused(t, http.StatusServiceUnavailable, "not_yet_signed", "")
	require.NotEmpty(t, refused.header.Get("Retry-After"))

	a.sign(t)
	a.append(t, order(3, "Order", "o-3"))
	for n := 1; n <= 2; n++ {
		for _, accept := range []string{"application/json", "text/plain"} {
			got := a.proof(t, n, accept)
			require.Equal(t, http.StatusOK, got.status, string(got.body))
			require.Contains(t, got.header.Get("Content-Type"), accept)
			require.Equal(t, "private, no-cache", got.header.Get("Cache-Control"))
			require.ElementsMatch(t, []string{"Authorization", "Accept"}, got.header.Values("Vary"))
			var entry ledger.Entry
			report, err := ledger.Verify(bytes.NewReader(got.body), a.keys(t), func(e ledger.Entry) { entry = e })
			require.NoError(t, err)
			require.EqualValues(t, 1, report.Proven)
			require.EqualValues(t, 2, report.Checkpoint.Size)
			require.Equal(t, ledger.Entry{Number: 1, Index: int64(n - 1), ID: id(n)}, entry)
		}
	}
	a.proof(t, 3, "").refused(t, http.StatusServiceUnavailable, "not_yet_signed", "")
	a.proof(t, 4, "").refused(t, http.StatusNotFound, "not_found", "")
	a.get(t, "/v1/events/nonsense/proof").refused(t, http.StatusBadRequest, "invalid_parameter", "eventId")
	a.get(t, "/v1/events/"+id(1)+"/proof?format=text").refused(t, http.StatusBadRequest, "invalid_parameter", "format")
	a.sign(t)
	require.Equal(t, http.StatusOK, a.proof(t, 3, "").status)
}

func TestEvidenceThatTheCallerHas(t *testing.T) {
	a := newAPI(t)
	a.append(t, order(1, "Order", "o-1"), order(2, "Order", "o-2"))
	a.sign(t)
	etag := a.proof(t, 1, "").header.Get("ETag")
	ask := func(n int, accept string) answer {
		r := a.request(t, "/v1/events/"+id(n)+"/proof")
		r.Header.Set("Accept", accept)
		r.Header.Set("If-None-Match", etag)
		return a.send(t, r)
	}
	have := ask(1, "*/*")
	require.Equal(t, http.StatusNotModified, have.status)
	require.Empty(t, have.body)
	require.Equal(t, etag, have.header.Get("ETag"))
	require.Equal(t, http.StatusOK, ask(1, "text/plain").status, "another form")
	require.Equal(t, http.StatusOK, ask(2, "*/*").status, "another event")
	a.append(t, order(3, "Order", "o-3"))
	require.Equal(t, http.StatusNotModified, ask(1, "*/*").status)
	a.sign(t)
	require.Equal(t, http.StatusOK, ask(1, "*/*").status, "another checkpoint")
}

func TestEvidencesForm(t *testing.T) {
	a := newAPI(t)
	a.append(t, order(1, "Order", "o-1"))
	a.sign(t)
	for accept, text := range map[string]bool{
		"": false, "*/*": false, "text/plain": true, "TEXT/Plain ; charset=utf-8": true, "text/*": true,
		"text/plain, application/json": false, "application/json;q=0.5, text/plain": true, "text/plain;q=0.5, */*": false,
		"text/html, */*;q=0.1": false, "image/png": false, "text/plain;q=0": false, "text/plain;q=nan": false,
		"application/json;q=0, text/*;q=0.001": true, ",,;;q=,": false, "text/plain;q=1e9": false, strings.Repeat("text/plain,", 1000): true,
	} {
		require.Equal(t, text, strings.HasPrefix(string(a.proof(t, 1, accept).body), "c2sp.org/tlog-proof@v1\n"), accept)
	}
}
