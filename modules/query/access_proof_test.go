package query_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// The evidence of an access entry verifies, and not with another entry in its place.
func TestAccessEntriesAreProven(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	log, err := access.NewLog(access.LogOptions{Appender: store.NewAccessLog(apiPool(t, a.database)), Mode: "strict", Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { log.Run(ctx) })
	for n := range 3 {
		require.NoError(t, log.Hook(ctx, &httpserver.Exchange{
			Request: a.request(t, "/v1/events"), Principal: fmt.Sprintf("p-%d", n), Route: "/v1/events", Phase: httpserver.PhaseRequest, Status: 200,
		}))
	}
	stop()
	running.Wait()
	require.Len(t, a.list(t, "/v1/access-log").Items, 3, "a listing numbers what waits")
	a.signLog(t, ledger.Access)

	got := a.get(t, "/v1/access-log/1/proof")
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	require.Contains(t, string(got.body), `"principal":"p-1"`)
	keys, err := ledger.ParseKeys(a.key.VerifierKey(ledger.Access))
	require.NoError(t, err)
	report, err := evidence.Verify(bytes.NewReader(got.body), keys, func(evidence.Entry) {})
	require.NoError(t, err)
	require.Equal(t, ledger.Access, report.Log)
	require.EqualValues(t, 1, report.Proven)
	_, err = evidence.Verify(bytes.NewReader(bytes.Replace(got.body, []byte("p-1"), []byte("p-2"), 1)), keys, func(evidence.Entry) {})
	var wrong *evidence.NotProvenError
	require.ErrorAs(t, err, &wrong)
}
