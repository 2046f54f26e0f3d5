package auth

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

// maxName is how many characters a subject and a role may have.
const maxName = 255

// claims are the members of a token that are looked at (RFC 7519, section 4.1).
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	ClientID  string   `json:"client_id"`
	Audience  audience `json:"aud"`
	Expiry    *moment  `json:"exp"`
	NotBefore *moment  `json:"nbf"`
	IssuedAt  *moment  `json:"iat"`
}

// check answers whose token it is, if it is one for us and for now.
func (c claims) check(aud string, now time.Time) (Principal, error) {
	switch {
	case !slices.Contains(c.Audience, aud):
		return Principal{}, errAudience
	case c.Expiry == nil:
		return Principal{}, errNoExpiry
	case expired(c.Expiry.Time, now):
		return Principal{}, errExpired
	case c.NotBefore != nil && now.Add(skew).Before(c.NotBefore.Time),
		c.IssuedAt != nil && now.Add(skew).Before(c.IssuedAt.Time):
		return Principal{}, errNotYet
	}
	subject := c.Subject
	if subject == "" {
		subject = c.ClientID
	}
	if subject == "" {
		return Principal{}, errNoSubject
	}
	if !isName(subject) {
		return Principal{}, errSubject
	}
	return Principal{Subject: subject, ExpiresAt: c.Expiry.Time}, nil
}

// expired says whether a token ended, by all clocks that differ by no more than skew.
func expired(at, now time.Time) bool { return !now.Before(at.Add(skew)) }

// isName says whether a text from a token may go on, to logs and tables: PostgreSQL stores no NUL, and OpenID
// Connect has the same bound for subjects.
func isName(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxName && !strings.ContainsFunc(s, unicode.IsControl)
}

// audience is one string or an array of them.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// moment is a NumericDate: seconds since 1970, with or without a fraction.
type moment struct{ time.Time }

func (m *moment) UnmarshalJSON(b []byte) error {
	var seconds float64
	if err := json.Unmarshal(b, &seconds); err != nil {
		return err
	}
	if math.Abs(seconds) > 253402300799 { // the year 9999
		return errors.New("not a moment of this era")
	}
	whole, fraction := math.Modf(seconds)
	m.Time = time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC()
	return nil
}
