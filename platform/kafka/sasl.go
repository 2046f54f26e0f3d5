package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"audittrail/platform/config"
)

// SASLOptions is the configuration section `kafka.sasl`.
type SASLOptions struct {
	Mechanism    string `key:"mechanism" help:"PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or AWS_MSK_IAM; empty for none"`
	Username     string `key:"username" help:"user at the brokers; for AWS_MSK_IAM the access key's id"`
	Password     string `key:"password" secret:"true" help:"password at the brokers; for AWS_MSK_IAM the secret access key"`
	SessionToken string `key:"session_token" secret:"true" help:"AWS_MSK_IAM: the session token, where the access key is a temporary one"`
	TokenURL     string `key:"token_url" help:"OAUTHBEARER: where tokens are asked for by the client-credentials grant (RFC 6749), https (http on loopback only)"`
	ClientID     string `key:"client_id" help:"OAUTHBEARER: this program's name at kafka.sasl.token_url"`
	ClientSecret string `key:"client_secret" secret:"true" help:"OAUTHBEARER: its secret there"`
	Scope        string `key:"scope" help:"OAUTHBEARER: the scope to ask for; several with spaces between"`

	// Fresh returns the secret below key as it is now, for each new connection, so that it may rotate, or otherwise
	// where it can't be had. It may be nil.
	Fresh func(key, otherwise string) string
}

// The mechanisms that are spoken.
const (
	plainMechanism    = "PLAIN"
	scram256Mechanism = "SCRAM-SHA-256"
	scram512Mechanism = "SCRAM-SHA-512"
	oauthMechanism    = "OAUTHBEARER"
	awsMechanism      = "AWS_MSK_IAM"
)

// given tells which keys have a value.
func (o SASLOptions) given() map[string]bool {
	return map[string]bool{
		"username": o.Username != "", "password": o.Password != "", "session_token": o.SessionToken != "",
		"token_url": o.TokenURL != "", "client_id": o.ClientID != "", "client_secret": o.ClientSecret != "", "scope": o.Scope != "",
	}
}

// keysOf returns the keys that a mechanism needs, and those that it may have; false where it is not known.
func keysOf(mechanism string) (needs, may []string, known bool) {
	switch mechanism {
	case plainMechanism, scram256Mechanism, scram512Mechanism:
		return []string{"username", "password"}, nil, true
	case awsMechanism:
		return []string{"username", "password"}, []string{"session_token"}, true
	case oauthMechanism:
		return []string{"token_url", "client_id", "client_secret"}, []string{"scope"}, true
	}
	return nil, nil, mechanism == ""
}

func (o SASLOptions) validate(tlsEnabled bool) error {
	var errs []error
	needs, may, known := keysOf(o.Mechanism)
	if !known {
		return config.Invalid("sasl.mechanism", "must be %s, %s, %s, %s or %s",
			plainMechanism, scram256Mechanism, scram512Mechanism, oauthMechanism, awsMechanism)
	}
	for key, given := range o.given() {
		switch {
		case given && o.Mechanism == "":
			errs = append(errs, config.Invalid("sasl.mechanism", "must be given together with sasl.%s", key))
		case given && !slices.Contains(needs, key) && !slices.Contains(may, key):
			errs = append(errs, config.Invalid("sasl."+key, "is given, but sasl.mechanism %s does not use it", o.Mechanism))
		case !given && slices.Contains(needs, key):
			errs = append(errs, config.Invalid("sasl."+key, "must be given together with sasl.mechanism %s", o.Mechanism))
		}
	}
	if o.Mechanism != "" && !strings.HasPrefix(o.Mechanism, "SCRAM-") && !tlsEnabled {
		errs = append(errs, config.Invalid("sasl.mechanism", "must not be %s without tls.enabled: the credential would cross the network in the clear", o.Mechanism))
	}
	if o.TokenURL != "" && !trustworthy(o.TokenURL) {
		errs = append(errs, config.Invalid("sasl.token_url", "must be an https URL; http is for loopback addresses only"))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// fresh returns a secret as it is now.
func (o SASLOptions) fresh(key, value string) string {
	if o.Fresh == nil || value == "" {
		return value
	}
	return o.Fresh(key, value)
}

func (o SASLOptions) mechanism() (sasl.Mechanism, error) {
	password := func() string { return o.fresh("password", o.Password) }
	salted := func(context.Context) (scram.Auth, error) { return scram.Auth{User: o.Username, Pass: password()}, nil }
	switch o.Mechanism {
	case plainMechanism:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			return plain.Auth{User: o.Username, Pass: password()}, nil
		}), nil
	case scram256Mechanism:
		return scram.Sha256(salted), nil
	case scram512Mechanism:
		return scram.Sha512(salted), nil
	case awsMechanism:
		return aws.ManagedStreamingIAM(func(context.Context) (aws.Auth, error) {
			return aws.Auth{AccessKey: o.Username, SecretKey: password(), SessionToken: o.fresh("session_token", o.SessionToken), UserAgent: "audittrail"}, nil
		}), nil
	case oauthMechanism:
		tokens := newTokenSource(o)
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := tokens.token(ctx)
			return oauth.Auth{Token: token}, err
		}), nil
	}
	return nil, fmt.Errorf("kafka.sasl.mechanism %q is not known", o.Mechanism)
}
