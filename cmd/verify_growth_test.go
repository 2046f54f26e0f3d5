package cmd

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/ledger"
)

// grown is a log of five leaves at two times, and what proves that it is one.
type grown struct {
	old, now, proof string // files
	forked          string // a checkpoint over as many entries, of another history
	empty           string // a checkpoint over none
	key             string
	signer          note.Signer
}

func newGrown(t *testing.T) grown {
	t.Helper()
	key, err := ledger.GenerateKey("audit.test/shop", rand.Reader)
	require.NoError(t, err)
	leaves := []ledger.Hash{ledger.LeafHash([]byte("a")), ledger.LeafHash([]byte("b")), ledger.LeafHash([]byte("c"))}
	before := ledger.NodeHash(leaves[0], leaves[1])
	signer, err := key.Signer(ledger.Events)
	require.NoError(t, err)
	sign := func(size int64, root ledger.Hash) string {
		text, err := ledger.Checkpoint{Origin: signer.Name(), Size: size, Root: root}.Sign(signer)
		require.NoError(t, err)
		return writeFile(t, "checkpoint", string(text))
	}
	return grown{
		old:    sign(2, before),
		now:    sign(3, ledger.NodeHash(before, leaves[2])),
		forked: sign(3, leaves[0]),
		empty:  sign(0, ledger.EmptyRoot()),
		proof:  writeFile(t, "proof", `{"proof":`+string(ledger.Proof{leaves[2]}.AppendJSON(nil))+"}\n"),
		key:    key.VerifierKey(ledger.Events),
		signer: signer,
	}
}

// forgedEmpty is a checkpoint over nothing with a root of its own, that the log's key signed.
func (g grown) forgedEmpty(t *testing.T) string {
	t.Helper()
	text := g.signer.Name() + "\n0\n" + ledger.LeafHash(nil).String() + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, g.signer)
	require.NoError(t, err)
	return writeFile(t, "forged", string(signed))
}

func TestVerifySince(t *testing.T) {
	g := newGrown(t)
	missing := writeFile(t, "none", "{}")
	cut := writeFile(t, "cut", `{"proof":["AA=="]}`)
	noJSON := writeFile(t, "text", "proof")
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string // of the output and the errors
	}{
		"grew":               {[]string{g.now, "--since", g.old, "--consistency", g.proof}, statusDone, "its first 2 events are as they were then, and 1 came after them"},
		"same":               {[]string{g.now, "--since", g.now}, statusDone, "nothing was added since"},
		"from nothing":       {[]string{g.now, "--since", g.empty}, statusDone, "At the earlier checkpoint the log was empty, so it shows nothing of the 3 events that came after it."},
		"nothing came":       {[]string{g.empty, "--since", g.empty}, statusDone, "nothing was added since"},
		"back to nothing":    {[]string{g.empty, "--since", g.now}, statusTampering, "entries were taken from the log"},
		"from nothing, more": {[]string{g.now, "--since", g.empty, "--consistency", g.proof}, statusTampering, "does not lead"},
		"from no nothing":    {[]string{g.now, "--since", g.forgedEmpty(t)}, statusTampering, "another root than an empty log has"},
		"no proof":           {[]string{g.now, "--since", g.old}, statusUsage, "GET /v1/ledger/events/consistency?from=2&to=3"},
		"another's proof":    {[]string{g.forked, "--since", g.old, "--consistency", g.proof}, statusTampering, "the log's history was"},
		"two histories":      {[]string{g.forked, "--since", g.now}, statusTampering, "two histories"},
		"shrunk":             {[]string{g.old, "--since", g.now}, statusTampering, "entries were taken from the log"},
		"earlier not known":  {[]string{g.now, "--since", altered(t)}, statusTampering, "NOT PROVEN"},
		"no such file":       {[]string{g.now, "--since", "nothing"}, statusFailed, "CAN'T BE READ"},
		"not a proof":        {[]string{g.now, "--since", g.old, "--consistency", missing}, statusTampering, "this is no proof of consistency"},
		"cut hash":           {[]string{g.now, "--since", g.old, "--consistency", cut}, statusTampering, "hash 1 of its proof"},
		"no JSON":            {[]string{g.now, "--since", g.old, "--consistency", noJSON}, statusFailed, "--consistency: the proof of consistency is no JSON"},
		"no proof there":     {[]string{g.now, "--since", g.old, "--consistency", "nothing"}, statusFailed, "--consistency: open nothing"},
		"alone":              {[]string{g.now, "--consistency", g.proof}, statusUsage, "without --since"},
		"two files":          {[]string{g.now, g.now, "--since", g.old}, statusUsage, "one FILE"},
		"two of one input":   {[]string{"-", "--since", "-"}, statusUsage, "once"},
		"with a database":    {[]string{"--database", "--since", g.old}, statusUsage, "--checkpoint"},
		"flag of --database": {[]string{g.now, "--checkpoint", g.old}, statusUsage, "--checkpoint is for --database"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, status := call(t, append([]string{"verify", "--key", g.key}, c.args...)...)
			require.Equal(t, c.status, status, out+errs)
			require.Contains(t, out+errs, c.says)
			if status != statusDone {
				require.NotContains(t, out, "only grew")
			}
		})
	}
}

// Exports name checkpoints, too. One that names none is complete, and anybody can make one: it shows nothing
// of a log's history, on either side.
func TestVerifySinceAmongExports(t *testing.T) {
	const signed, bundle = vectors + "export.ndjson", vectors + "events.json" // of one checkpoint
	unsigned := writeFile(t, "unsigned.ndjson", withoutCheckpoint(t, readEvidence(t, "export.ndjson")))
	noProof := writeFile(t, "garbage", "no proof")
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"later":                    {[]string{signed, "--since", bundle}, statusDone, "The log is the same as at the earlier checkpoint"},
		"earlier":                  {[]string{bundle, "--since", signed}, statusDone, "The log is the same as at the earlier checkpoint"},
		"later, unsigned":          {[]string{unsigned, "--since", bundle}, statusTampering, "this file names no signed checkpoint"},
		"earlier, unsigned":        {[]string{bundle, "--since", unsigned}, statusTampering, "the earlier file names no signed checkpoint"},
		"both, unsigned":           {[]string{unsigned, "--since", unsigned}, statusTampering, "names no signed checkpoint"},
		"unsigned, with no proof":  {[]string{unsigned, "--since", bundle, "--consistency", noProof}, statusTampering, "names no signed checkpoint"},
		"unsigned, with a missing": {[]string{unsigned, "--since", bundle, "--consistency", "nothing"}, statusTampering, "names no signed checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"verify", "--key", vectors + "keys.txt"}, c.args...)
			out, errs, status := call(t, args...)
			require.Equal(t, c.status, status, out+errs)
			require.Contains(t, out, c.says)
			report := verifyJSON(t, c.status, args[1:]...)
			require.Equal(t, c.status == statusDone, report.Passed)
			if c.status != statusDone {
				require.Contains(t, out, c.args[0]+": NOT PROVEN\n")
				require.Equal(t, "not_consistent", report.Files[1].Faults[0].Kind)
				require.Equal(t, 1, report.Files[1].FaultCount)
			}
		})
	}
}

// withoutCheckpoint is an export as it was made before anything had been signed.
func withoutCheckpoint(t *testing.T, export string) string {
	t.Helper()
	last := strings.LastIndex(export, "\n{") + 1
	start := strings.LastIndex(export, `,"checkpoint":"`)
	require.Greater(t, start, last)
	return export[:start] + `,"checkpoint":""}` + "\n"
}

// Evidence has checkpoints, too.
func TestVerifySinceAmongEvidence(t *testing.T) {
	keys := vectors + "keys.txt"
	bundle := vectors + "events.json"
	var b struct{ Checkpoint string }
	require.NoError(t, json.Unmarshal([]byte(readEvidence(t, "events.json")), &b))
	checkpoint := writeFile(t, "checkpoint", b.Checkpoint)
	out, errs, status := call(t, "verify", "--key", keys, bundle, "--since", checkpoint)
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, out, checkpoint+": proven\n  It is a genuine checkpoint.")
	require.Contains(t, out, "The log is the same as at the earlier checkpoint")

	_, errs, status = call(t, "verify", "--key", keys, vectors+"access.json", "--since", bundle)
	require.Equal(t, statusTampering, status, errs)

	stdin := os.Stdin
	t.Cleanup(func() { os.Stdin = stdin })
	f, err := os.Open(checkpoint)
	require.NoError(t, err)
	defer f.Close()
	os.Stdin = f
	out, errs, status = call(t, "verify", "--key", keys, bundle, "--since", "-", "--output", "json")
	require.Equal(t, statusDone, status, errs)
	var answer filesAnswer
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.Len(t, answer.Files, 2)
	require.Contains(t, out, `"grewFrom"`)
	require.Equal(t, 1, strings.Count(out, `"grewFrom"`))
}
