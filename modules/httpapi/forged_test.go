package httpapi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/stretchr/testify/require"

	"audittrail/platform/auth/authtest"
)

// forgedKeys are keys that nothing may be accepted of: a stranger's, and those that the issuer publishes and that
// are not for checking signatures.
type forgedKeys struct {
	stranger   *ecdsa.PrivateKey
	encryption *ecdsa.PrivateKey // published with use enc, as "enc-1"
	weak       *rsa.PrivateKey   // published, of 1024 bits, as "weak-1"
	shared     []byte            // published, symmetric, as "oct-1"
	published  []json.RawMessage
	begun      time.Time
}

func newForgedKeys(t *testing.T) *forgedKeys {
	t.Helper()
	k := &forgedKeys{shared: []byte("0123456789abcdef0123456789abcdef"), begun: time.Now()}
	var err error
	k.stranger, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	k.encryption, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	k.weak, err = rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	k.published = []json.RawMessage{
		publish(t, k.encryption.Public(), map[string]any{"kid": "enc-1", "use": "enc"}),
		publish(t, k.weak.Public(), map[string]any{"kid": "weak-1"}),
		publish(t, k.shared, map[string]any{"kid": "oct-1"}),
	}
	return k
}

func publish(t *testing.T, key any, members map[string]any) json.RawMessage {
	t.Helper()
	public, err := jwk.FromRaw(key)
	require.NoError(t, err)
	for name, value := range members {
		require.NoError(t, public.Set(name, value))
	}
	doc, err := json.Marshal(public)
	require.NoError(t, err)
	return doc
}

// forgedCredentials are the values of the Authorization header, by what is wrong with them.
func forgedCredentials(t *testing.T, c *credentials, keys *forgedKeys) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, values := range headersThatAreNone(c.issuer.Token(nil)) {
		all[name] = values
	}
	for _, tokens := range []map[string]string{
		brokenForms(c), otherAlgorithms(t, c, keys), keysInTheToken(t, c, keys), otherKeys(t, c, keys), otherClaims(c), otherPayloads(c),
	} {
		for name, token := range tokens {
			require.NotContains(t, all, name)
			all[name] = []string{"Bearer " + token}
		}
	}
	return all
}

func headersThatAreNone(good string) map[string][]string {
	return map[string][]string{
		"no header":                  nil,
		"an empty header":            {""},
		"the scheme alone":           {"Bearer"},
		"the scheme and a space":     {"Bearer "},
		"the token alone":            {good},
		"Basic":                      {"Basic YWRtaW46YWRtaW4="},
		"Basic with the token":       {"Basic " + good},
		"DPoP":                       {"DPoP " + good},
		"a scheme that begins alike": {"Bearers " + good},
		"a colon":                    {"Bearer:" + good},
		"a tab":                      {"Bearer\t" + good},
		"the header twice":           {"Bearer " + good, "Bearer " + good},
		"the header and another":     {"Bearer " + good, "Basic YWRtaW46YWRtaW4="},
		"another and the header":     {"", "Bearer " + good},
		"two in one header":          {"Bearer " + good + ", Bearer " + good},
		"parameters":                 {`Bearer token="` + good + `"`},
		"something after the token":  {"Bearer " + good + " x"},
		"lower case, and junk":       {"bearer junk"},
	}
}

// brokenForms are no signed JWTs in compact form.
func brokenForms(c *credentials) map[string]string {
	good := c.issuer.Token(nil)
	part := strings.Split(good, ".")
	return map[string]string{
		"junk":                      "junk",
		"dots alone":                "..",
		"two parts":                 part[0] + "." + part[1],
		"four parts":                good + "." + part[2],
		"no header part":            "." + part[1] + "." + part[2],
		"no payload part":           part[0] + ".." + part[2],
		"no signature part":         part[0] + "." + part[1] + ".",
		"padding":                   good + "==",
		"the other base64 alphabet": part[0] + "." + part[1] + ".+/" + part[2][2:],
		"a NUL":                     good + "\x00",
		"no UTF-8":                  "\xff\xfe" + good,
		"percent-encoding":          strings.ReplaceAll(good, ".", "%2E"),
		"flattened JSON":            `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`,
		"general JSON":              `{"payload":"` + part[1] + `","signatures":[{"protected":"` + part[0] + `","signature":"` + part[2] + `"}]}`,
		"an encrypted token":        encode(`{"alg":"dir","enc":"A256GCM"}`) + "..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA",
		"JWE members in three":      c.issuer.SignRaw(`{"alg":"ECDH-ES","enc":"A256GCM","kid":"key-1"}`, `{}`),
		"a header that is no JSON":  c.issuer.SignRaw(`alg=ES256`, `{}`),
		"a header that is a list":   c.issuer.SignRaw(`["ES256"]`, `{}`),
		"a header that is null":     c.issuer.SignRaw(`null`, `{}`),
		"an empty header part":      c.issuer.SignRaw(``, `{}`),
		"a deep header":             c.issuer.SignRaw(`{"alg":"ES256","x":`+strings.Repeat("[", 4000)+strings.Repeat("]", 4000)+`,"crit":["x"]}`, `{}`),
		"17 KiB":                    c.issuer.Token(map[string]any{"x": strings.Repeat("x", 17<<10)}),
		"1 MiB":                     c.issuer.Token(map[string]any{"x": strings.Repeat("x", 1<<20)}),
		"1 MiB of dots":             strings.Repeat(".", 1<<20),
	}
}

func otherAlgorithms(t *testing.T, c *credentials, keys *forgedKeys) map[string]string {
	t.Helper()
	payload := claims(c, nil)
	part := strings.Split(c.issuer.Token(nil), ".")
	under := func(header string) string { return encode(header) + "." + part[1] + "." + part[2] }
	public := issuerKey(t, c)
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	point, err := public.Bytes()
	require.NoError(t, err)
	raw, err := base64.RawURLEncoding.DecodeString(part[2])
	require.NoError(t, err)
	inDER, err := ecdsa.SignASN1(rand.Reader, keys.stranger, make([]byte, 32))
	require.NoError(t, err)

	all := map[string]string{
		"no algorithm":                under(`{"kid":"key-1"}`),
		"an algorithm that is null":   under(`{"alg":null,"kid":"key-1"}`),
		"an algorithm that is a 1":    under(`{"alg":1,"kid":"key-1"}`),
		"an empty algorithm":          under(`{"alg":"","kid":"key-1"}`),
		"the algorithm in lower case": under(`{"alg":"es256","kid":"key-1"}`),
		"ES384 with a P-256 key":      under(`{"alg":"ES384","kid":"key-1"}`),
		"ES256K":                      under(`{"alg":"ES256K","kid":"key-1"}`),
		"EdDSA":                       under(`{"alg":"EdDSA","kid":"key-1"}`),
		"RS256":                       under(`{"alg":"RS256","kid":"key-1"}`),
		"PS256":                       under(`{"alg":"PS256","kid":"key-1"}`),
		"another payload":             part[0] + "." + encode(payload+" ") + "." + part[2],
		"a signature of zeros":        part[0] + "." + part[1] + "." + encode(string(make([]byte, 64))),
		"a signature of n and n":      part[0] + "." + part[1] + "." + encode(string(append(elliptic.P256().Params().N.Bytes(), elliptic.P256().Params().N.Bytes()...))),
		"a signature cut short":       part[0] + "." + part[1] + "." + encode(string(raw[:63])),
		"a signature with more":       part[0] + "." + part[1] + "." + encode(string(raw)+"\x00"),
		"a signature turned round":    part[0] + "." + part[1] + "." + encode(string(raw[32:])+string(raw[:32])),
		"a signature in DER":          part[0] + "." + part[1] + "." + encode(string(inDER)),
		"HS384 by the public key":     hmacToken("HS384", sha512.New384, c.issuer.JWKS(), payload),
		"HS512 by the public key":     hmacToken("HS512", sha512.New, c.issuer.JWKS(), payload),
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE"} {
		all["algorithm "+none] = encode(`{"alg":"`+none+`"}`) + "." + encode(payload) + "."
		all["algorithm "+none+", signed"] = under(`{"alg":"` + none + `","kid":"key-1"}`)
	}
	for name, secret := range map[string][]byte{
		"set": c.issuer.JWKS(), "DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"point": point, "emptiness": {},
	} {
		all["HS256 by the public key's "+name] = hmacToken("HS256", sha256.New, secret, payload)
	}
	return all
}

// keysInTheToken are tokens that bring their key along, or say where it is. A stranger has signed them.
func keysInTheToken(t *testing.T, c *credentials, keys *forgedKeys) map[string]string {
	t.Helper()
	public := string(publish(t, keys.stranger.Public(), map[string]any{"kid": "key-1"}))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer.test"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, keys.stranger.Public(), keys.stranger)
	require.NoError(t, err)
	print := sha256.Sum256(certificate)
	all := map[string]string{}
	for name, member := range map[string]string{
		"jwk":            `"jwk":` + public,
		"jku":            `"jku":"` + c.elsewhere + `/jwks.json"`,
		"x5u":            `"x5u":"` + c.elsewhere + `/cert.pem"`,
		"x5c":            `"x5c":["` + base64.StdEncoding.EncodeToString(certificate) + `"]`,
		"x5t#S256":       `"x5t#S256":"` + encode(string(print[:])) + `"`,
		"jku and jwk":    `"jku":"` + c.elsewhere + `/jwks.json","jwk":` + public,
		"jku of a file":  `"jku":"file:///etc/passwd"`,
		"nothing":        `"x":1`,
		"jku, no scheme": `"jku":"//` + strings.TrimPrefix(c.elsewhere, "http://") + `/"`,
	} {
		for _, id := range []string{`,"kid":"key-1"`, `,"kid":"new"`, ``} {
			all[fmt.Sprintf("a stranger's, with %s (%s)", name, id)] = authtest.SignES256(t, keys.stranger, `{"alg":"ES256",`+member+id+`}`, claims(c, nil))
		}
	}
	return all
}

func otherKeys(t *testing.T, c *credentials, keys *forgedKeys) map[string]string {
	t.Helper()
	payload := claims(c, nil)
	weak, err := jws.Sign([]byte(payload), jws.WithKey(jwa.RS256, keys.weak, jws.WithProtectedHeaders(withID(t, "weak-1"))))
	require.NoError(t, err)
	all := map[string]string{
		"a key for encryption":             authtest.SignES256(t, keys.encryption, `{"alg":"ES256","kid":"enc-1"}`, payload),
		"a key for encryption, unnamed":    authtest.SignES256(t, keys.encryption, `{"alg":"ES256"}`, payload),
		"a key of 1024 bits":               string(weak),
		"a symmetric key that is public":   hmacWith(`{"alg":"HS256","kid":"oct-1"}`, sha256.New, keys.shared, payload),
		"the id of another key":            c.issuer.SignRaw(`{"alg":"ES256","kid":"enc-1"}`, payload),
		"an id that is a number":           c.issuer.SignRaw(`{"alg":"ES256","kid":1}`, payload),
		"a huge id":                        c.issuer.SignRaw(`{"alg":"ES256","kid":"`+strings.Repeat("k", 8000)+`"}`, payload),
		"the other issuer's, as the first": c.second.SignRaw(`{"alg":"ES256","kid":"key-1"}`, payload),
		"the first's, as the other issuer": c.issuer.Token(map[string]any{"iss": "https://second.test", "aud": "second"}),
		"the other issuer, our audience":   c.second.Token(map[string]any{"iss": "https://second.test"}),
		"a critical header":                c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1","crit":["x"],"x":1}`, payload),
		"a critical header that is empty":  c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1","crit":[]}`, payload),
		"a payload without base64":         c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1","b64":false,"crit":["b64"]}`, payload),
		"a logout token":                   c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1","typ":"logout+jwt"}`, payload),
		"a proof of possession":            c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1","typ":"dpop+jwt"}`, payload),
	}
	for _, id := range []string{"unknown", "../../../../dev/null", "' OR 1=1 --", c.elsewhere, "key-1\\u0000"} {
		all["the unknown id "+id] = authtest.SignES256(t, keys.stranger, `{"alg":"ES256","kid":"`+id+`"}`, payload)
		all["HS256 by nothing, id "+id] = hmacWith(`{"alg":"HS256","kid":"`+id+`"}`, sha256.New, nil, payload)
	}
	return all
}

// otherClaims are signed by the issuer's key: what they say is the only reason to refuse them.
func otherClaims(c *credentials) map[string]string {
	now := time.Now()
	null := json.RawMessage("null")
	all := map[string]string{}
	for name, changes := range map[string]map[string]any{
		"no exp":                  {"exp": nil},
		"exp null":                {"exp": null},
		"exp as text":             {"exp": fmt.Sprint(now.Add(time.Hour).Unix())},
		"exp as a list":           {"exp": []int64{now.Add(time.Hour).Unix()}},
		"exp as true":             {"exp": true},
		"exp beyond numbers":      {"exp": 1e300},
		"exp before 1970":         {"exp": -1},
		"exp 0":                   {"exp": 0},
		"exp past":                {"exp": now.Add(-time.Hour).Unix()},
		"exp past, just":          {"exp": now.Add(-31 * time.Second).Unix()},
		"nbf in the future":       {"nbf": now.Add(time.Hour).Unix()},
		"nbf as text":             {"nbf": "0"},
		"iat in the future":       {"iat": now.Add(time.Hour).Unix()},
		"iat as an object":        {"iat": map[string]any{}},
		"no iss":                  {"iss": nil},
		"iss null":                {"iss": null},
		"iss empty":               {"iss": ""},
		"iss in capitals":         {"iss": "HTTPS://ISSUER.TEST"},
		"iss with a slash more":   {"iss": "https://issuer.test/"},
		"iss with a space more":   {"iss": "https://issuer.test "},
		"iss that begins alike":   {"iss": "https://issuer.test.example"},
		"iss elsewhere":           {"iss": c.elsewhere},
		"iss as a list":           {"iss": []string{"https://issuer.test"}},
		"no aud":                  {"aud": nil},
		"aud null":                {"aud": null},
		"aud empty":               {"aud": []string{}},
		"aud of another":          {"aud": "other"},
		"aud of the other issuer": {"aud": "second"},
		"several aud, none ours":  {"aud": []string{"other", "Audittrail", "audittrail ", "audit"}},
		"aud with a 1":            {"aud": []any{"audittrail", 1}},
		"aud as an object":        {"aud": map[string]any{"audittrail": true}},
		"no subject":              {"sub": nil},
		"sub empty":               {"sub": ""},
		"sub as a number":         {"sub": 1},
		"sub with a NUL":          {"sub": "admin\x00"},
		"sub too long":            {"sub": strings.Repeat("s", 256)},
		"roles as a number":       {"roles": 1},
		"roles as an object":      {"roles": map[string]any{"admin": true}},
		"101 roles":               {"roles": strings.Fields(strings.Repeat("r ", 101))},
		"a role with a NUL":       {"roles": "a\x00"},
		"a long role":             {"roles": []string{strings.Repeat("r", 256)}},
	} {
		all[name] = c.issuer.Token(changes)
	}
	return all
}

func otherPayloads(c *credentials) map[string]string {
	good := claims(c, nil)
	all := map[string]string{}
	for name, payload := range map[string]string{
		"claims in capitals":         strings.Replace(good, `"sub"`, `"SUB"`, 1),
		"exp in capitals":            strings.Replace(good, `"exp"`, `"Exp"`, 1),
		"a claim twice":              strings.Replace(good, `"sub"`, `"sub":"admin","sub"`, 1),
		"exp twice":                  strings.Replace(good, `"exp"`, `"exp":1,"exp"`, 1),
		"claims twice":               good + good,
		"claims in a list":           "[" + good + "]",
		"claims in a text":           fmt.Sprintf("%q", good),
		"claims after a BOM":         "\ufeff" + good,
		"claims that are no UTF-8":   strings.Replace(good, `"sub":"`, `"sub":"`+"\xff", 1),
		"claims that end early":      good[:len(good)-1],
		"claims that are null":       "null",
		"claims that are an object":  "{}",
		"no claims":                  "",
		"claims that are deep":       strings.Replace(good, `{`, `{"x":`+strings.Repeat("[", 6000)+`,`, 1),
		"a token in the token":       c.issuer.Token(nil),
		"a token in a member":        `{"jwt":"` + c.issuer.Token(nil) + `"}`,
		"claims with a comment":      "/**/" + good,
		"claims with a lone surrog.": strings.Replace(good, `"sub":"`, `"sub":"\ud800`, 1),
	} {
		all[name] = c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1"}`, payload)
	}
	all["a token in the token, said"] = c.issuer.SignRaw(`{"alg":"ES256","kid":"key-1","cty":"JWT"}`, c.issuer.Token(nil))
	return all
}

// claims are those of a good token, as JSON.
func claims(c *credentials, changes map[string]any) string {
	payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(c.issuer.Token(changes), ".")[1])
	return string(payload)
}

func issuerKey(t *testing.T, c *credentials) *ecdsa.PublicKey {
	t.Helper()
	set, err := jwk.Parse(c.issuer.JWKS())
	require.NoError(t, err)
	key, _ := set.Key(0)
	var public ecdsa.PublicKey
	require.NoError(t, key.Raw(&public))
	return &public
}

func withID(t *testing.T, id string) jws.Headers {
	t.Helper()
	h := jws.NewHeaders()
	require.NoError(t, h.Set(jws.KeyIDKey, id))
	return h
}

func hmacToken(alg string, sum func() hash.Hash, secret []byte, payload string) string {
	return hmacWith(`{"alg":"`+alg+`","kid":"key-1"}`, sum, secret, payload)
}

func hmacWith(header string, sum func() hash.Hash, secret []byte, payload string) string {
	signed := encode(header) + "." + encode(payload)
	mac := hmac.New(sum, secret)
	mac.Write([]byte(signed))
	return signed + "." + encode(string(mac.Sum(nil)))
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
