package query_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
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
	return a.signLog(t, ledger.Events)
}

// signLog is sign of either log.
func (a *api) signLog(t testing.TB, log ledger.Log) store.Checkpoint {
	t.Helper()
	rows := store.NewLedger(openPool(t, a.database, "audittrail_notary", nil), log)
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
	signer, err := a.key.Signer(log)
	require.NoError(t, err)
	note, err := ledger.Checkpoint{Origin: log.Origin(origin), Size: size, Root: root}.Sign(signer)
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
	t.Parallel()
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
			var entry evidence.Entry
			report, err := evidence.Verify(bytes.NewReader(got.body), a.keys(t), func(e evidence.Entry) { entry = e })
			require.NoError(t, err)
			require.EqualValues(t, 1, report.Proven)
			require.EqualValues(t, 2, report.Checkpoint.Size)
			require.Equal(t, evidence.Entry{Number: 1, Index: int64(n - 1), ID: id(n)}, entry)
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
	t.Parallel()
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
	t.Parallel()
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

// tamper changes rows past the triggers, as only a superuser can.
func (a *api) tamper(t testing.TB, statement string, args ...any) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), a.database)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), `ALTER TABLE events DISABLE TRIGGER ALL; ALTER TABLE ledger_batches DISABLE TRIGGER ALL;
		ALTER TABLE ledger_batches DROP CONSTRAINT ledger_batches_check; ALTER TABLE ledger_checkpoints DISABLE TRIGGER ALL`)
	require.NoError(t, err)
	done, err := owner.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
	require.EqualValues(t, 1, done.RowsAffected())
	require.NoError(t, owner.Close(t.Context()))
}

func (a *api) evidenceFaults(t testing.TB) int {
	t.Helper()
	families, err := a.metrics.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "audittrail_evidence_faults_total" {
			return int(family.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatal("there is no such metric")
	return 0
}

// logged waits for a log line that holds all parts.
func (a *api) logged(t testing.TB, parts ...string) {
	t.Helper()
	for {
		select {
		case line := <-a.log.got:
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no line with %q", parts)
		}
	}
}

// Evidence that would not verify is not handed out: the caller learns nothing of it, the operators which
// event it is.
func TestEvidenceThatDoesNotVerifyIsNotHandedOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statement string
		arg       any
		says      string
		others    bool // other events can be proven all the same
		log, head int  // status of a consistency proof, and of the checkpoint
	}{
		"an event":     {`UPDATE events SET payload = '{"n":7}' WHERE event_id = $1`, id(2), "event " + id(2) + " at position 1", true, 200, 200},
		"its time":     {`UPDATE events SET created_at = created_at + interval '1 us' WHERE event_id = $1`, id(2), "event " + id(2) + " at position 1", true, 200, 200},
		"leaves":       {`UPDATE ledger_batches SET leaves = $1`, bytes.Repeat([]byte{1}, 96), "at position ", false, 500, 200},
		"fewer leaves": {`UPDATE ledger_batches SET leaves = $1`, bytes.Repeat([]byte{1}, 64), "not as many as were asked for", false, 500, 200},
		"a checkpoint": {`UPDATE ledger_checkpoints SET note = replace(note, E'events\n3', $1)`, "events\n4", "not as many as were asked for", false, 500, 500},
		"its text":     {`UPDATE ledger_checkpoints SET note = $1`, "nonsense", "the checkpoint is not a checkpoint", false, 500, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t)
			a.append(t, order(1, "Order", "o-1"), order(2, "Order", "o-2"), order(3, "Order", "o-3"))
			a.sign(t)
			require.Equal(t, http.StatusOK, a.proof(t, 2, "").status)
			require.Zero(t, a.evidenceFaults(t), "it is there from the start")
			a.tamper(t, c.statement, c.arg)
			for i, accept := range []string{"application/json", "text/plain"} {
				refused := a.proof(t, 2, accept)
				p := refused.refused(t, http.StatusInternalServerError, "internal_error", "")
				require.Equal(t, "something went wrong on our side", p.Detail)
				require.NotContains(t, string(refused.body), "checkpoint")
				require.Empty(t, refused.header.Get("ETag"))
				a.logged(t, `"level":"ERROR"`, c.says)
				require.Equal(t, i+1, a.evidenceFaults(t))
			}
			if c.others {
				require.Equal(t, http.StatusOK, a.proof(t, 3, "").status)
			}

			require.Equal(t, c.log, a.get(t, "/v1/ledger/events/consistency?from=1&to=3").status, "a consistency proof")
			require.Equal(t, c.head, a.get(t, "/v1/ledger/events/checkpoint").status, "the checkpoint")
			before := a.evidenceFaults(t)
			a.get(t, "/v1/events/export?format=bundle").refused(t, http.StatusInternalServerError, "internal_error", "")
			a.logged(t, `"level":"ERROR"`, c.says)
			require.Equal(t, before+1, a.evidenceFaults(t))
		})
	}
}

// An export that comes to such an event later breaks off there.
func TestAnExportBreaksOffAtWhatDoesNotVerify(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 3000, 8<<10)
	a.sign(t)
	last := a.list(t, "/v1/events?limit=1").Items[0] // the last of the export
	a.tamper(t, `UPDATE events SET version = 2 WHERE event_id = $1`, last["eventId"])
	response := a.export(t.Context(), t, "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, response.Body.Close())
	require.NotContains(t, string(body), last["eventId"])
	require.NotContains(t, string(body), "\n]}", "it has no end")
	_, err = evidence.Verify(bytes.NewReader(body), a.keys(t), nil)
	var unreadable *evidence.UnreadableError
	require.ErrorAs(t, err, &unreadable, "what came before is as good as ever")
	require.Equal(t, 1, a.evidenceFaults(t))
	a.logged(t, "the stream was cut off", fmt.Sprintf("event %s at position %.0f", last["eventId"], last["position"]))
}
