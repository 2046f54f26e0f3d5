package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// Who listens for destroyed keys hears of each, and that the server still answers.
func TestListenHearsOfDestroyedKeys(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	keys := store.NewKeys(openPool(t, url, "audittrail_api"))
	destroyed, heard, ended := make(chan struct{}, 10), make(chan time.Time, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- keys.Listen(ctx, protect.Announcements{Destroyed: func() { destroyed <- struct{}{} }, Heard: func(at time.Time) { heard <- at }})
	}()
	<-destroyed // when it begins
	first := <-heard
	require.True(t, (<-heard).After(first), "now and then")

	maintain := openPool(t, url, "audittrail_maintain")
	_, err := maintain.Exec(t.Context(), `SELECT destroy_subject_keys(decode(repeat('07', 16), 'hex'), now(), NULL)`)
	require.NoError(t, err)
	<-destroyed
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
