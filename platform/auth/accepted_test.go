package auth_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/errs"
)

func TestAcceptedTokensAreRememberedWhileTheKeysAreTheSame(t *testing.T) {
	issuer, second := authtest.NewIssuer(t), authtest.NewIssuer(t)
	opts := issuer.Options()
	opts.Issuers = []auth.IssuerOptions{{Issuer: "https://second.test", Audience: "audittrail", JWKSFile: second.Options().JWKSFile}}
	v := newVerifier(t, opts)
	mine, theirs := issuer.Token(nil), second.Token(map[string]any{"iss": "https://second.test", "sub": "another"})
	verify := func(token, subject string) {
		t.Helper()
		p, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, subject, p.Subject)
		require.Equal(t, []string{"admin"}, p.Roles)
		require.True(t, auth.Remembers(v, token))
	}
	require.False(t, auth.Remembers(v, mine))
	for range 2 {
		verify(mine, "tester")
		verify(theirs, "https://second.test#another")
	}
	require.NoError(t, v.Reload(t.Context()))
	require.True(t, auth.Remembers(v, mine), "the keys were read again, and are the same")

	issuer.RotateKeepingOld()
	require.NoError(t, v.Reload(t.Context()))
	require.False(t, auth.Remembers(v, mine), "the keys have changed")
	require.True(t, auth.Remembers(v, theirs), "those of the other issuer have not")
	verify(mine, "tester")
	issuer.Rotate()
	require.NoError(t, v.Reload(t.Context()))
	_, err := v.Verify(t.Context(), mine)
	require.Equal(t, "invalid_token", errs.Of(err).Code, "its key is withdrawn")
}

func TestRememberedTokensExpire(t *testing.T) {
	issuer, clock := authtest.NewIssuer(t), newClock()
	v := auth.WithClock(newVerifier(t, issuer.Options()), clock.now)
	token := issuer.Token(map[string]any{"exp": clock.now().Add(time.Minute).Unix()})
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	clock.add(80 * time.Second) // within the skew
	require.True(t, auth.Remembers(v, token))
	clock.add(10 * time.Second)
	_, err = v.Verify(t.Context(), token)
	require.Equal(t, "token_expired", errs.Of(err).Code)
	require.Zero(t, auth.Remembered(v), "there is no place for what is over")
}

func TestTokensThatAreRefusedAreNotRemembered(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	v := newVerifier(t, issuer.Options())
	for _, token := range []string{
		issuer.Token(map[string]any{"aud": "other"}), issuer.Token(map[string]any{"roles": 1}),
		authtest.NewIssuer(t).Token(nil), "junk",
	} {
		_, err := v.Verify(t.Context(), token)
		require.Error(t, err)
	}
	require.Zero(t, auth.Remembered(v))
}

func TestOnlySoManyTokensAreRemembered(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	v := newVerifier(t, issuer.Options())
	for i := range auth.MaxAccepted + 100 {
		token := issuer.Token(map[string]any{"sub": strconv.Itoa(i)})
		p, err := v.Verify(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), p.Subject)
		require.True(t, auth.Remembers(v, token))
	}
	require.Equal(t, auth.MaxAccepted, auth.Remembered(v))
}
