package ledger_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// sign makes the signed checkpoint of a log at a size.
func TestCheckpointIsReadBack(t *testing.T) {
	for _, c := range []ledger.Checkpoint{
		{Origin: "a", Root: ledger.EmptyRoot()},
		{Origin: ledgertest.Origin + "/events", Size: math.MaxInt64, Root: ledgertest.Numbered(1)[0]},
		{Origin: "with space", Size: 10, Root: ledgertest.Numbered(1)[0], Extensions: []string{"other line", "— x"}},
	} {
		got, err := ledger.ParseCheckpoint(c.Text())
		if err != nil || got.Text() != c.Text() || got.Size != c.Size || got.Root != c.Root || len(got.Extensions) != len(c.Extensions) {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
}

func TestCheckpointHasOneSpelling(t *testing.T) {
	root := ledgertest.Numbered(1)[0].String()
	for name, text := range map[string]string{
		"empty":               "",
		"no origin":           "\n1\n" + root + "\n",
		"leading zero":        "a\n01\n" + root + "\n",
		"plus":                "a\n+1\n" + root + "\n",
		"negative":            "a\n-1\n" + root + "\n",
		"too large":           "a\n9223372036854775808\n" + root + "\n",
		"no size":             "a\n\n" + root + "\n",
		"size with space":     "a\n1 \n" + root + "\n",
		"short root":          "a\n1\nAAAA\n",
		"root without =":      "a\n1\n" + root[:43] + "\n",
		"root with a return":  "a\n1\n" + root + "\r\n",
		"no last line end":    "a\n1\n" + root,
		"empty extension":     "a\n1\n" + root + "\n\n",
		"extension unended":   "a\n1\n" + root + "\nx",
		"empty log, any root": "a\n0\n" + root + "\n",
	} {
		if c, err := ledger.ParseCheckpoint(text); err == nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	events, err := ledgertest.Key(t, 1).Signer(ledger.Events)
	if err != nil {
		t.Fatal(err)
	}
	good := ledger.Checkpoint{Origin: ledgertest.Origin + "/events", Size: 1, Root: ledgertest.Numbered(1)[0]}
	for name, c := range map[string]ledger.Checkpoint{
		"another log":       {Origin: ledgertest.Origin + "/access", Size: 1, Root: good.Root},
		"negative size":     {Origin: good.Origin, Size: -1, Root: good.Root},
		"wrong empty root":  {Origin: good.Origin, Size: 0, Root: good.Root},
		"empty extension":   {Origin: good.Origin, Size: 1, Root: good.Root, Extensions: []string{""}},
		"control character": {Origin: good.Origin, Size: 1, Root: good.Root, Extensions: []string{"\t"}},
	} {
		if signed, err := c.Sign(events); err == nil {
			t.Errorf("%s: signed %s", name, signed)
		}
	}
	if _, err := good.Sign(); err == nil {
		t.Error("signed by nobody")
	}
}

// While keys are rotated both sign; who trusts either believes the checkpoint, and old checkpoints stay
// good for who trusts the old key.
func TestRotation(t *testing.T) {
	old, next := ledgertest.Key(t, 1), ledgertest.Key(t, 2)
	both := ledgertest.Sign(t, ledger.Events, 1, ledgertest.Numbered(1)[0], next, old)
	before := ledgertest.Sign(t, ledger.Events, 1, ledgertest.Numbered(1)[0], old)
	for _, c := range []struct {
		name   string
		signed []byte
		keys   ledger.Keys
		by     int
		ok     bool
	}{
		{"both, old trusted", both, ledgertest.Trusting(t, old), 1, true},
		{"both, next trusted", both, ledgertest.Trusting(t, next), 1, true},
		{"both, both trusted", both, ledgertest.Keys(t, old.VerifierKey(ledger.Events), next.VerifierKey(ledger.Events)), 2, true},
		{"old, both trusted", before, ledgertest.Keys(t, old.VerifierKey(ledger.Events), next.VerifierKey(ledger.Events)), 1, true},
		{"old, next trusted", before, ledgertest.Trusting(t, next), 0, false},
	} {
		got, err := ledger.OpenCheckpoint(c.signed, c.keys)
		if (err == nil) != c.ok || len(got.Keys) != c.by {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// respelled has a signature that decodes to the same bytes, and is not what an encoder writes: of the last
// letter before the padding, some bits are nobody's.
func respelled(t *testing.T, signed string) string {
	t.Helper()
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := len(signed) - len("=\n") - 1
	if signed[at+1] != '=' || signed[at] == '=' {
		t.Fatalf("its padding is another: %q", signed[at-3:])
	}
	return signed[:at] + string(letters[strings.IndexByte(letters, signed[at])^1]) + signed[at+1:]
}

func TestOpenCheckpointSaysWhatIsWrong(t *testing.T) {
	k, other := ledgertest.Key(t, 1), ledgertest.Key(t, 2)
	root := ledgertest.Numbered(1)[0]
	good := string(ledgertest.Sign(t, ledger.Events, 1234, root, k))
	// A key that is trusted, but for the other log: a note that it signed says nothing of this one.
	access, err := k.Signer(ledger.Access)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := note.Sign(&note.Note{Text: ledger.Checkpoint{Origin: ledgertest.Origin + "/events", Size: 1, Root: root}.Text()}, access)
	if err != nil {
		t.Fatal(err)
	}
	notCheckpoint, err := note.Sign(&note.Note{Text: "hello\n"}, access)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, signed string
		keys         ledger.Keys
		kind         ledger.CheckpointFault
	}{
		{"another size", strings.Replace(good, "1234", "1235", 1), ledgertest.Trusting(t, k), ledger.BadSignature},
		{"another origin", strings.Replace(good, "shop/events\n", "shed/events\n", 1), ledgertest.Trusting(t, k), ledger.BadSignature},
		{"a signature with other left-over bits", respelled(t, good), ledgertest.Trusting(t, k), ledger.Malformed},
		{"cut", good[:len(good)-1], ledgertest.Trusting(t, k), ledger.Malformed},
		{"cut in the middle", good[:len(good)/2], ledgertest.Trusting(t, k), ledger.Malformed},
		{"empty", "", ledgertest.Trusting(t, k), ledger.Malformed},
		{"another key", good, ledgertest.Trusting(t, other), ledger.UnknownKey},
		{"no key", good, ledger.Keys{}, ledger.UnknownKey},
		{"the other log's key", string(foreign), ledgertest.Trusting(t, k), ledger.WrongLog},
		{"another note", string(notCheckpoint), ledgertest.Trusting(t, k), ledger.Malformed},
		{"huge", good + strings.Repeat("— a AAAAAAAA\n", 30_000), ledgertest.Trusting(t, k), ledger.Malformed},
	} {
		_, err := ledger.OpenCheckpoint([]byte(c.signed), c.keys)
		var e *ledger.CheckpointError
		if !errors.As(err, &e) || e.Kind != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A name in a signature line is anybody's text; it must not steer a terminal.
func TestForeignNamesAreShownEscaped(t *testing.T) {
	signed := string(ledgertest.Sign(t, ledger.Events, 1, ledgertest.Numbered(1)[0], ledgertest.Key(t, 1)))
	signed = strings.Replace(signed, "— "+ledgertest.Origin, "— \x7f\u009b31mtrusted\u202e", 1)
	_, err := ledger.OpenCheckpoint([]byte(signed), ledgertest.Trusting(t, ledgertest.Key(t, 2)))
	if err == nil || strings.ContainsAny(err.Error(), "\x7f\u009b\u202e") {
		t.Errorf("%q", err)
	}
}

func TestMutatedCheckpointNeverOpensAsAnother(t *testing.T) {
	k := ledgertest.Key(t, 1)
	good := ledgertest.Sign(t, ledger.Events, 1234, ledgertest.Numbered(1)[0], k, ledgertest.Key(t, 2))
	keys := ledgertest.Trusting(t, k)
	want, err := ledger.OpenCheckpoint(good, keys)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := append([]byte(nil), good...)
		b[rapid.IntRange(0, len(b)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		got, err := ledger.OpenCheckpoint(b, keys)
		if err == nil && got.Text() != want.Text() {
			rt.Fatalf("opened %q", b)
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	k := ledgertest.Key(f, 1)
	f.Add(string(ledgertest.Sign(f, ledger.Events, 1234, ledgertest.Numbered(1)[0], k)))
	f.Add("a\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nx\n")
	keys := ledgertest.Trusting(f, k)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ledger.ParseCheckpoint(text); err == nil && c.Text() != text {
			t.Errorf("%q has another text: %q", text, c.Text())
		}
		if got, err := ledger.OpenCheckpoint([]byte(text), keys); err == nil && (got.Size != 1234 || got.Root != ledgertest.Numbered(1)[0]) {
			t.Errorf("opened %q", text)
		}
	})
}
