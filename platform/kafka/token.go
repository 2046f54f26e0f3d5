package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	tokenTimeout = 10 * time.Second
	maxTokenBody = 256 << 10   // bytes of the issuer's answer
	tokenMargin  = time.Minute // how long before its end a token is renewed
	shortMargin  = 5           // a token that lives for less than 5 margins is renewed in its last fifth
)

// tokenSource gets tokens by the client-credentials grant (RFC 6749, section 4.4) and keeps the last one until
// shortly before it expires. Errors never hold the secret, a token or the issuer's words.
type tokenSource struct {
	o      SASLOptions
	client *http.Client
	now    func() time.Time

	mu    sync.Mutex // guards all below; held while a token is fetched, which all connections want
	kept  string
	renew time.Time // when to ask for another
	ends  time.Time
}

func newTokenSource(o SASLOptions) *tokenSource {
	return &tokenSource{o: o, now: time.Now, client: &http.Client{
		Timeout:   tokenTimeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: tokenTimeout},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the secret is for kafka.sasl.token_url alone
		},
	}}
}

// token returns a token that is good for now. While the issuer is away the last one is used to its end.
func (s *tokenSource) token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.now()
	if asked.Before(s.renew) {
		return s.kept, nil
	}
	token, life, err := s.fetch(ctx)
	if err != nil {
		if s.now().Before(s.ends) {
			return s.kept, nil
		}
		return "", fmt.Errorf("kafka.sasl.token_url: %w", err)
	}
	s.kept, s.ends, s.renew = token, asked.Add(life), asked.Add(life-min(tokenMargin, life/shortMargin))
	return token, nil
}

// fetch asks for a token, and returns how long it lives; 0 where the issuer does not say.
func (s *tokenSource) fetch(ctx context.Context) (token string, life time.Duration, err error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if s.o.Scope != "" {
		form.Set("scope", s.o.Scope)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, errors.New("is not a URL")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	secret := s.o.fresh("client_secret", s.o.ClientSecret)
	request.SetBasicAuth(url.QueryEscape(s.o.ClientID), url.QueryEscape(secret)) // encoded: section 2.3.1
	response, err := s.client.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxTokenBody))
	if err != nil {
		return "", 0, err
	}
	if response.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("the issuer answers %d; check kafka.sasl.client_id, client_secret and scope", response.StatusCode)
	}
	var answer struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" {
		return "", 0, errors.New("the issuer's answer has no access_token")
	}
	const day = 24 * 60 * 60 // a bound against nonsense
	return answer.AccessToken, time.Duration(max(0, min(answer.ExpiresIn, day)) * float64(time.Second)), nil
}

// trustworthy reports whether a secret that is sent to a URL is readable for nobody else.
func trustworthy(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}
