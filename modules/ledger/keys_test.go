package ledger_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

const origin = "audit.example.com/shop"

// testKey is a signing key that everybody knows: its seed is 32 times one byte.
// Two seeds, as numbers, whose keys have one id as keys of the events: of 2³² ids some 80,000 keys are enough
// to find such a pair, for anybody.
const firstOfOneID, secondOfOneID = 6615, 25762

// ofOneID are the verifier keys of that pair.
func ofOneID(t testing.TB) (first, second string) {
	t.Helper()
	var keys [2]string
	for i, seed := range []uint64{firstOfOneID, secondOfOneID} {
		k, err := ledger.GenerateKey(origin, bytes.NewReader(binary.BigEndian.AppendUint64(make([]byte, 24), seed)))
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = k.VerifierKey(ledger.Events)
	}
	return keys[0], keys[1]
}

// A signature names its key by name and id. Where two keys have both, nobody knows whose it is.
func TestTwoKeysOfOneNameAndIDAreNotTrustedTogether(t *testing.T) {
	first, second := ofOneID(t)
	if start := origin + "/events+d7e6ddf3+"; first == second || !strings.HasPrefix(first, start) || !strings.HasPrefix(second, start) {
		t.Fatalf("%s and %s are no such pair", first, second)
	}
	for name, texts := range map[string][]string{"two": {first, second}, "a file of both": {first + "\n" + second}, "others between": {second, first, second}} {
		if _, err := ledger.ParseKeys(texts...); err == nil || !strings.Contains(err.Error(), "has the name and the id of another key, but is another") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, alone := range []string{first, second} {
		if keys, err := ledger.ParseKeys(alone, alone); err != nil || len(keys.IDs()) != 1 {
			t.Errorf("one of them twice: %v", err)
		}
	}
}

// trusting are the keys of both logs.
func TestSigningKeyIsReadBack(t *testing.T) {
	for seed := range 100 { // base64 has + among its letters, which also parts the key
		k := ledgertest.Key(t, byte(seed))
		got, err := ledger.ParseSigningKeys(k.Secret(), origin)
		if err != nil || len(got) != 1 || !got[0].Equal(k) || got[0].Origin() != origin {
			t.Fatalf("seed %d: %v, %v", seed, got, err)
		}
	}
}

func TestSeveralSigningKeys(t *testing.T) {
	a, b := ledgertest.Key(t, 1), ledgertest.Key(t, 2)
	for _, sep := range []string{",", ", ", "\n", ",\n"} {
		got, err := ledger.ParseSigningKeys(a.Secret()+sep+b.Secret()+"\n", "")
		if err != nil || len(got) != 2 || !got[0].Equal(a) || !got[1].Equal(b) || a.Equal(b) {
			t.Errorf("%q: %v, %v", sep, got, err)
		}
	}
}

func TestBadSigningKeysAreNamedAndNotQuoted(t *testing.T) {
	k := ledgertest.Key(t, 1)
	secret := k.Secret()
	for _, c := range []struct{ name, text, want string }{
		{"none", " \n", "holds no key"},
		{"cut", secret[:len(secret)-4], "key 1 is not a note signing key"},
		{"changed", strings.Replace(secret, "shop", "shed", 1), "key 1 is not a note signing key"},
		{"a verifier key", k.VerifierKey(ledger.Events), "key 1 is not a note signing key"},
		{"another origin", secret, `key 1 is named "audit.example.com/shop", but ledger.origin is "other.example.com"`},
		{"twice", secret + "," + secret, "holds the same key twice"},
		{"second bad", secret + ",x", "key 2 is not"},
		{"of two ledgers", secret + "," + named(t, "other.example.com").Secret(), `key 2 is named "other.example.com", but key 1 is named "audit.example.com/shop"`},
	} {
		of := ""
		if c.name == "another origin" {
			of = "other.example.com"
		}
		_, err := ledger.ParseSigningKeys(c.text, of)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret[60:]) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func named(t *testing.T, origin string) ledger.SigningKey {
	t.Helper()
	k, err := ledger.GenerateKey(origin, bytes.NewReader(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Also where it stands in a member that is not exported, whose methods fmt can't call.
func TestPrintingASigningKeyShowsItsNameOnly(t *testing.T) {
	k := ledgertest.Key(t, 'Z')
	type holder struct{ k ledger.SigningKey }
	type far struct {
		keys []holder
		k    *ledger.SigningKey
		any  any
	}
	for name, v := range map[string]any{
		"itself": k, "a pointer": &k, "a list": []ledger.SigningKey{k}, "a member": holder{k}, "a map": map[string]holder{"": {k}},
		"far inside": far{[]holder{{k}}, &k, k},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c"} {
			got := strings.ToLower(fmt.Sprintf(format, v))
			for _, secret := range []string{"90 90", "90, 90", "5a5a", "5a 5a", "0x5a, 0x5a", "zz", "wlpawlpa"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s by %s: %s", name, format, got)
				}
			}
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, k); got != "signing key of "+origin {
			t.Errorf("%s shows %s", format, got)
		}
	}
}

func TestOrigins(t *testing.T) {
	for _, good := range []string{"a", origin, "größe.example/日本", "gro\u0308ße", "a#", "~$^|<=>`a", "हिन्दी", "a–b"} {
		if err := ledger.CheckOrigin(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a b", "a+b", "a,b", "/a", "a/", "a\n", "a\x00", "a\u00a0b", "\xff", "#a", "#", "a\u202eb", "a\u200bb", "a\u200db", "\u2060",
		"a\u009bb", "a\u00adb", "a\u3164b", "a\ufe0fb", "a\U000e0041b", "a\ue000b", "a\u0378b", "a\ufffdb", "a\x7fb", strings.Repeat("a", 256)} {
		if ledger.CheckOrigin(bad) == nil {
			t.Errorf("took %q", bad)
		}
		if _, err := ledger.GenerateKey(bad, bytes.NewReader(make([]byte, 32))); err == nil {
			t.Errorf("made a key named %q", bad)
		}
	}
	if _, err := ledger.GenerateKey(origin, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("made a key of too few bytes")
	}
	for _, log := range ledger.Logs() {
		if got, ok := ledger.LogOf(log.Origin(origin)); !ok || got != log {
			t.Error(got, ok)
		}
	}
	for _, other := range []string{"", "events", "/events", origin, origin + "/event", origin + "/Events"} {
		if log, ok := ledger.LogOf(other); ok {
			t.Errorf("%q is the log %s", other, log)
		}
	}
}

// The keys are note keys: the note package itself signs and verifies with them.
func TestKeysAreNoteKeys(t *testing.T) {
	k := ledgertest.Key(t, 7)
	if _, err := note.NewSigner(k.Secret()); err != nil {
		t.Error(err)
	}
	for _, log := range ledger.Logs() {
		signer, err := k.Signer(log)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(k.VerifierKey(log))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := signer.Sign([]byte("text"))
		if err != nil || !verifier.Verify([]byte("text"), sig) || signer.Name() != origin+"/"+string(log) ||
			signer.Name() != verifier.Name() || signer.KeyHash() != verifier.KeyHash() {
			t.Errorf("%s: %v", log, err)
		}
	}
	if k.VerifierKey(ledger.Events)[:40] == k.VerifierKey(ledger.Access)[:40] {
		t.Error("both logs have one key id")
	}
}

// TestTooManySigningKeys: sixteen are more than any rotation needs.
func TestTooManySigningKeys(t *testing.T) {
	var texts []string
	for seed := range byte(17) {
		texts = append(texts, ledgertest.Key(t, seed).Secret())
	}
	if keys, err := ledger.ParseSigningKeys(strings.Join(texts[:16], ","), origin); err != nil || len(keys) != 16 {
		t.Errorf("sixteen: %v", err)
	}
	if _, err := ledger.ParseSigningKeys(strings.Join(texts, ","), origin); err == nil {
		t.Error("took seventeen")
	}
}

func TestRotate(t *testing.T) {
	old := []ledger.SigningKey{ledgertest.Key(t, 1)}
	if _, err := ledger.EndOverlap(old); !errors.Is(err, ledger.ErrNoOverlap) {
		t.Error(err)
	}
	keys := old
	for n := 2; n <= 16; n++ {
		more, err := ledger.Rotate(keys, rand.Reader)
		if err != nil || len(more) != n || more[0].Equal(keys[0]) || !more[1].Equal(keys[0]) {
			t.Fatal(n, err)
		}
		keys = more
	}
	if _, err := ledger.Rotate(keys, rand.Reader); err == nil {
		t.Error("added a seventeenth key")
	}
	if read, err := ledger.ParseSigningKeys(ledger.Secrets(keys), origin); err != nil || len(read) != 16 || !read[0].Equal(keys[0]) {
		t.Error(err)
	}
	if one, err := ledger.EndOverlap(keys); err != nil || len(one) != 1 || !one[0].Equal(keys[0]) {
		t.Error(err)
	}
}

// capitals is a verifier key whose id is spelled in capital letters.
func capitals(key string) string {
	parts := strings.SplitN(key, "+", 3)
	return parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + parts[2]
}

func TestParseKeys(t *testing.T) {
	a, b := ledgertest.Key(t, 1), ledgertest.Key(t, 2)
	file := "# keys of the shop\n\n" + a.VerifierKey(ledger.Events) + "\r\n  " + a.VerifierKey(ledger.Access) + "\n"
	keys := ledgertest.Keys(t, file, b.VerifierKey(ledger.Events), a.VerifierKey(ledger.Events))
	if ids := keys.IDs(); len(ids) != 3 || !strings.HasPrefix(ids[0], origin+"/access+") {
		t.Error(ids)
	}
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "key 1 holds no key"},
		{"comments only", "# none\n", "holds no key"},
		{"a name", "keys.txt", "key 1 is not a verifier key"},
		{"a private key", a.Secret(), "key 1 is a private signing key"},
		{"a private key behind others", a.VerifierKey(ledger.Events) + "\n\t" + a.Secret() + "\n", "key 1 is a private signing key"},
		{"a private key inside", `{"signingKey":"` + a.Secret() + `"}`, "key 1 is a private signing key"},
		{"a changed key", strings.Replace(a.VerifierKey(ledger.Events), "shop", "shed", 1), "key 1 is not a verifier key"},
		{"an id in capitals", capitals(a.VerifierKey(ledger.Events)), "key 1 is not a verifier key"},
		{"a return within", a.VerifierKey(ledger.Events)[:len(a.VerifierKey(ledger.Events))-4] + "\r" + a.VerifierKey(ledger.Events)[len(a.VerifierKey(ledger.Events))-4:], "key 1 is not a verifier key"},
		{"a huge text", strings.Repeat("#\n", 1<<16), "key 1 holds more keys"},
	} {
		if _, err := ledger.ParseKeys(c.text); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), a.Secret()[50:]) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if !ledger.IsKeyText(a.VerifierKey(ledger.Events)+"\n") || !ledger.IsKeyText(a.Secret()) ||
		!ledger.IsKeyText(" "+a.Secret()) || !ledger.IsKeyText("# a secret\n"+a.Secret()) || ledger.IsKeyText("keys/shop+1.txt") {
		t.Error("keys are not told from files")
	}
}
