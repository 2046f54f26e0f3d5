package verify_test

import (
	"context"
	"encoding/base64"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/kek"
)

func kekURL(fill byte) string {
	return "base64key://" + base64.URLEncoding.EncodeToString([]byte(strings.Repeat(string(rune(fill)), 32)))
}

func openKEK(t testing.TB, fill byte) *kek.Key {
	t.Helper()
	k, err := kek.Open(t.Context(), kekURL(fill))
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// under returns a keyring, as a process with this key-encryption key has it.
func (s *sealing) under(t testing.TB, k *kek.Key) *protect.Keyring {
	return protect.NewKeyring(store.NewKeys(open(t, migratetest.AsRole(t, s.url, "audittrail_ingest"))), func(context.Context) (protect.KEK, error) { return k, nil })
}

func (s *sealing) rotation(t testing.TB) *store.Rotation {
	t.Helper()
	r, err := store.NewRotation(t.Context(), open(t, migratetest.AsRole(t, s.url, "audittrail_owner")))
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

func (s *sealing) marks(t testing.TB, keys *protect.Keyring) int {
	t.Helper()
	r := store.NewReader(store.ReaderOptions{Pool: open(t, migratetest.AsRole(t, s.url, "audittrail_api")), Opener: protect.NewOpener(keys)})
	n := 0
	for page, err := range r.Export(store.WithOpening(t.Context(), store.Everything(), nil), store.Filter{}, store.Ascending, "", 1<<40) {
		require.NoError(t, err)
		for i := range page {
			n += strings.Count(string(page[i].AppendJSON(nil)), mark)
		}
	}
	return n
}

// Processes with the former key-encryption key go on sealing and opening while keys are wrapped anew, and after it.
// When the overlap has ended, the former key opens nothing, not even with the tables of keys from before.
func TestKeysAreWrappedAnewUnderLoad(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	former, present := openKEK(t, 'a'), openKEK(t, 'b')
	s.protector = protect.WithRules(sealRules(t), s.under(t, former))
	s.growSealed(t, 3000, 3000)
	var before []byte
	require.NoError(t, s.admin.QueryRow(t.Context(), `SELECT wrapped FROM wrapping_keys`).Scan(&before))
	_, err := s.admin.Exec(t.Context(), `CREATE TABLE backup AS SELECT * FROM subject_keys`)
	require.NoError(t, err)

	rotation := s.rotation(t)
	_, err = store.NewRotation(t.Context(), open(t, migratetest.AsRole(t, s.url, "audittrail_owner")))
	require.ErrorIs(t, err, store.ErrRotating)
	interrupted, cancel := context.WithCancel(t.Context())
	first := protect.Rotation{Store: interrupting{rotation, cancel}, From: former, To: present}
	require.Error(t, first.Run(interrupted))

	turns := make(chan struct{})
	run := protect.Rotation{Store: beside{rotation, turns}, From: former, To: present}
	var load sync.WaitGroup
	load.Go(func() {
		defer close(turns)
		if err := run.Run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	rounds := 0
	for range turns {
		s.growSealed(t, 100, 1<<40) // subjects that are new
		rounds++
	}
	load.Wait()
	t.Logf("%d batches beside, %d keys wrapped anew", rounds, run.Done.Load())
	require.NotZero(t, run.Done.Load())
	require.NotZero(t, rounds)
	s.growSealed(t, 100, 1<<40)
	var wrapping int
	require.NoError(t, s.admin.QueryRow(t.Context(), `SELECT count(*) FROM wrapping_keys`).Scan(&wrapping))
	require.Equal(t, 1, wrapping)
	want := int(s.next) * 4
	require.Equal(t, want, s.marks(t, s.under(t, former)), "a process that was started before")
	require.Equal(t, want, s.marks(t, s.under(t, present)))
	require.ErrorIs(t, run.Run(t.Context()), protect.ErrRotated)

	ended, err := rotation.EndOverlap(t.Context())
	require.NoError(t, err)
	require.True(t, ended)
	require.Error(t, s.under(t, former).Ready(t.Context()))
	require.Equal(t, want, s.marks(t, s.under(t, present)))
	_, err = present.Decrypt(t.Context(), before)
	require.Error(t, err, "a backup's wrapping key opens by the former key-encryption key alone")
	require.Empty(t, s.verify(t).Findings)
}

// beside has a batch appended before each batch of keys is stored.
type beside struct {
	*store.Rotation
	turns chan<- struct{}
}

func (b beside) Rewrap(ctx context.Context, keys []protect.WrappedKey) error {
	select {
	case b.turns <- struct{}{}:
	case <-ctx.Done():
	}
	return b.Rotation.Rewrap(ctx, keys)
}

// interrupting stores one batch and has the rotation end there.
type interrupting struct {
	*store.Rotation
	cancel func()
}

func (i interrupting) Rewrap(ctx context.Context, keys []protect.WrappedKey) error {
	defer i.cancel()
	return i.Rotation.Rewrap(ctx, keys)
}

// A key that is destroyed while keys are wrapped anew stays destroyed.
func TestRotationBringsNoKeyBack(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	former, present := openKEK(t, 'a'), openKEK(t, 'b')
	s.protector = protect.WithRules(sealRules(t), s.under(t, former))
	s.growSealed(t, 50, 50)
	run := protect.Rotation{Store: destroying{s.rotation(t), s, t}, From: former, To: present}
	require.NoError(t, run.Run(t.Context()))
	require.Zero(t, s.marks(t, s.under(t, present)))
}

// destroying destroys all keys between their being read and stored.
type destroying struct {
	*store.Rotation
	s *sealing
	t testing.TB
}

func (d destroying) Rewrap(ctx context.Context, keys []protect.WrappedKey) error {
	_, err := d.s.admin.Exec(ctx, `UPDATE subject_keys SET wrapped = NULL WHERE wrapped IS NOT NULL`)
	require.NoError(d.t, err)
	return d.Rotation.Rewrap(ctx, keys)
}
