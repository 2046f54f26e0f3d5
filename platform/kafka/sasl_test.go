package kafka

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/platform/kafkatest"
)

// issuer is a token endpoint that gives out tokens which nobody signed.
type issuer struct {
	*httptest.Server
	asked   atomic.Int32
	away    atomic.Bool
	expires atomic.Int64 // seconds
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.expires.Store(3600)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := i.asked.Add(1)
		id, secret, _ := r.BasicAuth()
		if i.away.Load() || id != "audit%3Atrail" || secret != "s%2Fcret" || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "kafka" {
			http.Error(w, `{"error":"invalid_client","error_description":"s/cret"}`, http.StatusUnauthorized)
			return
		}
		part := func(v any) string {
			b, _ := json.Marshal(v)
			return base64.RawURLEncoding.EncodeToString(b)
		}
		now := time.Now().Unix()
		token := part(map[string]any{"alg": "none"}) + "." + part(map[string]any{"sub": "audittrail", "iat": now, "exp": now + 3600, "n": n}) + "."
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": i.expires.Load()})
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) options() SASLOptions {
	return SASLOptions{Mechanism: oauthMechanism, TokenURL: i.URL, ClientID: "audit:trail", ClientSecret: "s/cret", Scope: "kafka"}
}

func TestOAuthWithKafka(t *testing.T) {
	k := kafkatest.Shared(t)
	if k.User == "" {
		t.Skip("a broker of the test's own is needed")
	}
	i := newIssuer(t)
	o := at(k.SASLBrokers)
	o.TLS = TLSOptions{Enabled: true, CA: k.CAFile}
	o.SASL = i.options()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := client(t, o, nil).Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	o.SASL.Fresh = func(key, otherwise string) string {
		if key != "client_secret" || otherwise != "s/cret" {
			t.Errorf("asked for %s", key)
		}
		return "guess"
	}
	err := client(t, o, nil).Ping(testContext(t))
	if err == nil || strings.Contains(err.Error(), "s/cret") {
		t.Errorf("error %v, want one that tells no secret", err)
	}
}

func TestTokensAreKept(t *testing.T) {
	i := newIssuer(t)
	s := newTokenSource(i.options())
	now := time.Now()
	s.now = func() time.Time { return now }
	get := func() string {
		t.Helper()
		token, err := s.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { get() })
	}
	all.Wait()
	first := get()
	now = now.Add(58 * time.Minute)
	if get() != first || i.asked.Load() != 1 {
		t.Errorf("asked %d times for a token that is good", i.asked.Load())
	}
	now = now.Add(90 * time.Second) // half a minute before the end
	i.away.Store(true)
	if get() != first || i.asked.Load() != 2 {
		t.Error("while the issuer is away, the last token is used to its end")
	}
	i.away.Store(false)
	i.expires.Store(10)
	if get() == first {
		t.Error("the token is not renewed before its end")
	}
	now = now.Add(9 * time.Second)
	get()
	if i.asked.Load() != 4 {
		t.Errorf("asked %d times; a short-lived token is renewed in its last fifth", i.asked.Load())
	}
	now = now.Add(time.Hour)
	i.away.Store(true)
	if _, err := s.token(t.Context()); err == nil || !strings.Contains(err.Error(), "kafka.sasl.token_url: the issuer answers 401") || strings.Contains(err.Error(), "s/cret") {
		t.Errorf("error %v", err)
	}
	i.away.Store(false)
	i.expires.Store(0)
	get()
	get()
	if i.asked.Load() != 7 {
		t.Errorf("asked %d times; a token without an end is for one connection", i.asked.Load())
	}
}

// A stand-in for MSK: it takes whom AWS Signature Version 4 fits.
func TestAWSWithAStandIn(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-central-1") // of a host that is not one of AWS
	files := certificates(t)
	pair, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		t.Fatal(err)
	}
	fake := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
	fake.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		response := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		response.SupportedMechanisms = []string{"AWS_MSK_IAM"}
		return response, nil, true
	})
	fake.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		response := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		if problem := checkAWS(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes, "AKID", "secret", "session"); problem != "" {
			response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &problem
			return response, nil, true
		}
		response.SASLAuthBytes = []byte(`{"version":"2020_10_22"}`)
		return response, nil, true
	})
	o := at(fake.ListenAddrs())
	o.TLS = TLSOptions{Enabled: true, CA: files.cert}
	o.SASL = SASLOptions{Mechanism: awsMechanism, Username: "AKID", Password: "secret", SessionToken: "session"}
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := client(t, o, nil).Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	o.SASL.Password = "guess"
	if err := client(t, o, nil).Ping(testContext(t)); err == nil {
		t.Error("a wrong secret is taken")
	}
}

// checkAWS returns what is wrong with a message of AWS_MSK_IAM. It computes the signature by itself, as
// https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html describes it.
func checkAWS(message []byte, id, secret, session string) string {
	var m map[string]string
	if err := json.Unmarshal(message, &m); err != nil {
		return "no JSON"
	}
	at, err := time.Parse("20060102T150405Z", m["x-amz-date"])
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return "x-amz-date"
	}
	scope := m["x-amz-date"][:8] + "/eu-central-1/kafka-cluster/aws4_request"
	for key, want := range map[string]string{
		"version": "2020_10_22", "host": "127.0.0.1", "action": "kafka-cluster:Connect", "x-amz-algorithm": "AWS4-HMAC-SHA256",
		"x-amz-credential": id + "/" + scope, "x-amz-signedheaders": "host", "x-amz-security-token": session, "user-agent": "audittrail",
	} {
		if m[key] != want {
			return fmt.Sprintf("%s is %q", key, m[key])
		}
	}
	query := url.Values{"Action": {m["action"]}, "X-Amz-Algorithm": {m["x-amz-algorithm"]}, "X-Amz-Credential": {m["x-amz-credential"]},
		"X-Amz-Date": {m["x-amz-date"]}, "X-Amz-Expires": {m["x-amz-expires"]}, "X-Amz-SignedHeaders": {"host"}, "X-Amz-Security-Token": {session}}
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	sign := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	canonical := "GET\n/\n" + strings.ReplaceAll(query.Encode(), "+", "%20") + "\nhost:127.0.0.1\n\nhost\n" + hash("")
	key := []byte("AWS4" + secret)
	for _, part := range strings.Split(scope, "/") {
		key = sign(key, part)
	}
	if m["x-amz-signature"] != hex.EncodeToString(sign(key, "AWS4-HMAC-SHA256\n"+m["x-amz-date"]+"\n"+scope+"\n"+hash(canonical))) {
		return "x-amz-signature"
	}
	return ""
}
