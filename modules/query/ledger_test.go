package query_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
)

// remoteTiles reads our tiles as Go's own client of transparency logs does, over HTTP.
type remoteTiles struct {
	t     testing.TB
	api   *api
	asked []string
}

func (r *remoteTiles) Height() int { return 8 }

func (r *remoteTiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *remoteTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := "/v1/ledger/events/" + strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		r.asked = append(r.asked, path)
		got := r.api.get(r.t, path)
		if got.status != http.StatusOK {
			return nil, fmt.Errorf("%s: %d %s", path, got.status, got.body)
		}
		require.Equal(r.t, "application/octet-stream", got.header.Get("Content-Type"))
		require.Equal(r.t, "private, max-age=31536000, immutable", got.header.Get("Cache-Control"))
		all = append(all, got.body)
	}
	return all, nil
}

// head is the latest checkpoint, read with other people's programs.
func (a *api) head(t testing.TB) (*log.Checkpoint, tlog.Hash) {
	t.Helper()
	got := a.get(t, "/v1/ledger/events/checkpoint")
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	require.Equal(t, "text/plain; charset=utf-8", got.header.Get("Content-Type"))
	verifier, err := note.NewVerifier(a.key.VerifierKey(ledger.Events))
	require.NoError(t, err)
	head, rest, opened, err := log.ParseCheckpoint(got.body, origin+"/events", verifier)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Len(t, opened.Sigs, 1)
	var root tlog.Hash
	copy(root[:], head.Hash)
	return head, root
}

// Programs that know transparency logs and nothing of us check our log over HTTP: every event is in it,
// and it only grew.
func TestOtherProgramsReadTheLog(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 300, 1)
	a.sign(t)
	before, beforeRoot := a.head(t)
	bulk(t, a, 300, 67_000-300, 1)
	a.sign(t)
	after, afterRoot := a.head(t)
	require.EqualValues(t, 67_000, after.Size)

	tiles := &remoteTiles{t: t, api: a}
	hashes := tlog.TileHashReader(tlog.Tree{N: int64(after.Size), Hash: afterRoot}, tiles)
	var page struct{ Items []struct{ EventID string } }
	for _, n := range []int64{0, 1, 255, 256, 299, 300, 65_535, 65_536, 66_999} {
		inclusion, err := tlog.ProveRecord(int64(after.Size), n, hashes)
		require.NoError(t, err)
		a.get(t, fmt.Sprintf("/v1/feed?limit=1&after=%d", n-1)).decode(t, &page)
		text := a.proofText(t, page.Items[0].EventID)
		require.Equal(t, n, text.Index)
		require.NoError(t, tlog.CheckRecord(inclusion, int64(after.Size), afterRoot, n, tlog.RecordHash(text.Extra)))
		require.Len(t, text.Proof, len(inclusion))
		for i := range inclusion {
			require.Equal(t, inclusion[i][:], text.Proof[i][:], "our proof is theirs")
		}
	}
	require.Contains(t, strings.Join(tiles.asked, "\n"), "/tile/1/001.p/5")
	require.Contains(t, strings.Join(tiles.asked, "\n"), "/tile/2/000.p/1")

	tree, err := tlog.ProveTree(int64(after.Size), int64(before.Size), hashes)
	require.NoError(t, err)
	require.NoError(t, tlog.CheckTree(tree, int64(after.Size), afterRoot, int64(before.Size), beforeRoot))
	ours := a.consistency(t, before.Size, after.Size)
	require.NoError(t, proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, after.Size, ours, before.Hash, after.Hash))
	require.Error(t, proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size-1, after.Size, ours, before.Hash, after.Hash))
}

// proofText is an event's proof in C2SP's text.
func (a *api) proofText(t testing.TB, eventID string) evidence.TextProof {
	t.Helper()
	r := a.request(t, "/v1/events/"+eventID+"/proof")
	r.Header.Set("Accept", "text/plain")
	got := a.send(t, r)
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	text, err := evidence.ParseTextProof(got.body)
	require.NoError(t, err)
	return text
}

func (a *api) consistency(t testing.TB, from, to uint64) [][]byte {
	t.Helper()
	got := a.get(t, fmt.Sprintf("/v1/ledger/events/consistency?from=%d&to=%d", from, to))
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	require.Equal(t, "private, max-age=31536000, immutable", got.header.Get("Cache-Control"))
	var answer struct{ Proof []string }
	got.decode(t, &answer)
	hashes := [][]byte{}
	for _, text := range answer.Proof {
		h, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		hashes = append(hashes, h)
	}
	return hashes
}

// Any sizes are proven, signed or not, up to the last signed one.
func TestConsistencyOfAnySizes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 9, 1)
	a.sign(t)
	bulk(t, a, 9, 3, 1)
	tiles := &remoteTiles{t: t, api: a}
	_, root := a.head(t)
	hashes := tlog.TileHashReader(tlog.Tree{N: 9, Hash: root}, tiles)
	for to := int64(1); to <= 9; to++ {
		toRoot, err := tlog.TreeHash(to, hashes)
		require.NoError(t, err)
		for from := int64(1); from <= to; from++ {
			fromRoot, err := tlog.TreeHash(from, hashes)
			require.NoError(t, err)
			proven := a.consistency(t, uint64(from), uint64(to))
			require.NoError(t, proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), proven, fromRoot[:], toRoot[:]))
		}
	}
	for query, field := range map[string]string{
		"from=0&to=5": "from", "from=5&to=4": "from", "from=-1&to=4": "from", "from=1": "to", "to=1": "from", "": "from",
		"from=01&to=2": "from", "from=1&to=02": "to", "from=-0&to=2": "from", "from=%2B1&to=2": "from",
		"from=9223372036854775808&to=9": "from", "from=1&to=1.5": "to", "from=1&from=2&to=3": "from", "from=1&to=2&x=3": "x", "from=1&to=0": "to",
	} {
		a.get(t, "/v1/ledger/events/consistency?"+query).refused(t, http.StatusBadRequest, "invalid_parameter", field)
	}
	for _, query := range []string{"from=1&to=10", "from=10&to=12", "from=1&to=9223372036854775807", "from=9223372036854775807&to=9223372036854775807"} {
		a.get(t, "/v1/ledger/events/consistency?"+query).refused(t, http.StatusNotFound, "not_found", "to")
	}
}

// A tile is there exactly when the signed size has it, under exactly one path.
func TestTilesThatAreNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 600, 1)
	a.sign(t)
	bulk(t, a, 600, 500, 1)
	full := a.get(t, "/v1/ledger/events/tile/0/000")
	require.Equal(t, http.StatusOK, full.status)
	require.Len(t, full.body, 8192)
	for width, path := range map[int]string{1: "0/002.p/1", 87: "0/002.p/87", 88: "0/002.p/88", 255: "0/000.p/255", 2: "1/000.p/2"} {
		got := a.get(t, "/v1/ledger/events/tile/"+path)
		require.Equal(t, http.StatusOK, got.status, path)
		require.Len(t, got.body, 32*width)
	}
	require.True(t, bytes.HasPrefix(full.body, a.get(t, "/v1/ledger/events/tile/0/000.p/255").body))
	for _, path := range []string{
		"", "0", "0/", "0/002", "0/003", "0/004", "0/002.p/89", "0/002.p/0", "0/002.p/256", "0/002.p/-1", "0/002.p/", "0/002.p", "0/002.p/08", "0/002.p/+8",
		"1/000", "1/000.p/3", "1/001", "2/000", "2/000.p/1", "7/000.p/1", "8/000.p/1", "63/000.p/1", "-1/000", "00/000", "+0/000", "0/0", "0/00", "0/0000", "0/-01", "0/x000/000",
		"0/x9223372036854775807/000", "0/x999/x999/x999/x999/x999/x999/x999/999", "99999999999999999999/000", "0/" + strings.Repeat("x999/", 500) + "999",
		"entries/000", "entries/000.p/1", "entries", "data/000", "8/0/000", "0/000/", "0//000", "0/000.p/1/1", "0%2F000", "0/000%00", "0/%ff",
		"0/%30%30%30", "%30/000", "0/00%30", "0/002%2Ep/1", "0/002.%70/1", "0/000?",
		"..", "../checkpoint", "0/../0/000", "%2e%2e/checkpoint", "..%2f..%2fcheckpoint", "0/000?x", "0/ 000", "x/000", "0/００0",
	} {
		if path == "0/000?x" {
			a.get(t, "/v1/ledger/events/tile/"+path).refused(t, http.StatusBadRequest, "invalid_parameter", "x")
			continue
		}
		r := a.request(t, "/v1/ledger/events/tile/x")
		r.URL.Opaque = "//" + r.URL.Host + "/v1/ledger/events/tile/" + strings.ReplaceAll(path, " ", "%20") // as it is, not cleaned
		a.send(t, r).refused(t, http.StatusNotFound, "not_found", "")
	}
	for _, log := range []string{"other", "Events", "events%00", "%2e%2e", "event_keys", "events'--"} {
		a.get(t, "/v1/ledger/"+log+"/tile/0/000").refused(t, http.StatusNotFound, "not_found", "")
		a.get(t, "/v1/ledger/"+log+"/checkpoint").refused(t, http.StatusBadRequest, "invalid_parameter", "log")
	}
}

// A log of which nothing was signed has nothing to see.
func TestALogThatWasNeverSigned(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 3, 1)
	for _, log := range []string{"access", "events"} {
		for _, path := range []string{"checkpoint", "consistency?from=1&to=1", "tile/0/000.p/1"} {
			a.get(t, "/v1/ledger/"+log+"/"+path).refused(t, http.StatusNotFound, "not_found", "")
		}
	}
	a.sign(t)
	a.get(t, "/v1/ledger/access/checkpoint").refused(t, http.StatusNotFound, "not_found", "")
}

func TestTheLedgersCredentials(t *testing.T) {
	t.Parallel()
	paths := []string{"checkpoint", "consistency?from=1&to=2", "tile/0/000.p/3"}
	database := migratetest.Database(t)
	for _, public := range []bool{false, true} {
		t.Run(fmt.Sprint(public), func(t *testing.T) {
			a := startAPI(t, apiPool(t, database), func(s *settings) { s.publicLedger = public })
			if !public { // the first
				newAPIOn(t, database, a)
				bulk(t, a, 0, 3, 1)
				a.sign(t)
			}
			for _, path := range paths {
				r := a.request(t, "/v1/ledger/events/"+path)
				require.Equal(t, http.StatusOK, a.send(t, r).status)
				r = a.request(t, "/v1/ledger/events/"+path)
				r.Header.Del("Authorization")
				got := a.send(t, r)
				if !public {
					got.refused(t, http.StatusUnauthorized, "unauthenticated", "")
					continue
				}
				require.Equal(t, http.StatusOK, got.status)
				require.True(t, strings.HasPrefix(got.header.Get("Cache-Control"), "public, max-age="), got.header.Get("Cache-Control"))
				require.NotContains(t, got.header.Get("Vary"), "Authorization")
			}
			for _, path := range []string{"/v1/events/" + id(1) + "/proof", "/v1/events/export?format=bundle", "/v1/events"} {
				r := a.request(t, path)
				r.Header.Del("Authorization")
				a.send(t, r).refused(t, http.StatusUnauthorized, "unauthenticated", "")
			}
		})
	}
}

func TestACheckpointThatTheCallerHas(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 3, 1)
	a.sign(t)
	first := a.get(t, "/v1/ledger/events/checkpoint")
	require.Equal(t, "private, max-age=1", first.header.Get("Cache-Control"))
	r := a.request(t, "/v1/ledger/events/checkpoint")
	r.Header.Set("If-None-Match", first.header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, a.send(t, r).status)
	bulk(t, a, 3, 3, 1)
	a.sign(t)
	require.Equal(t, http.StatusOK, a.send(t, r).status)
}

// What never changes has a tag that never changes, and is not sent again to whoever has it.
func TestTilesAndProofsThatTheCallerHas(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 300, 1)
	a.sign(t)
	tags := map[string]string{}
	for _, path := range []string{"tile/0/000", "tile/0/000.p/3", "tile/1/000.p/1", "consistency?from=2&to=300", "consistency?from=300&to=300"} {
		path = "/v1/ledger/events/" + path
		first := a.get(t, path)
		require.Equal(t, http.StatusOK, first.status, string(first.body))
		tags[path] = first.header.Get("ETag")
		require.Regexp(t, `^"[0-9a-f]{32}"$`, tags[path], "a strong one")
	}
	bulk(t, a, 300, 300, 1)
	a.sign(t)
	for path, etag := range tags {
		for status, lines := range map[int][]string{304: {`"other"`, "W/" + etag}, 200: {`"other"`}} {
			r := a.request(t, path)
			r.Header["If-None-Match"] = lines
			got := a.send(t, r)
			require.Equal(t, status, got.status, path)
			require.Equal(t, etag, got.header.Get("ETag"))
			require.Equal(t, "private, max-age=31536000, immutable", got.header.Get("Cache-Control"))
			require.Equal(t, status == 304, len(got.body) == 0)
		}
		require.Equal(t, 304, a.headLike(t, path, func(r *http.Request) { r.Header.Set("If-None-Match", etag) }))
		require.Equal(t, 200, a.headLike(t, path))
	}
	r := a.request(t, "/v1/ledger/events/tile/0/009")
	r.Header.Set("If-None-Match", "*")
	a.send(t, r).refused(t, http.StatusNotFound, "not_found", "")
}
