package erase_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/erase"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/kek"
)

func openKEK(t *testing.T, fill string) *kek.Key {
	t.Helper()
	k, err := kek.Open(t.Context(), "base64key://"+base64.URLEncoding.EncodeToString([]byte(strings.Repeat(fill, 32))))
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// rotate does what `keys rotate --kek` and `--end` do; meanwhile runs in between.
func (s *system) rotate(from, to protect.KEK, meanwhile func()) {
	s.t.Helper()
	rotation, err := store.NewRotation(s.t.Context(), s.pool(s.own, "audittrail_owner"))
	require.NoError(s.t, err)
	defer rotation.Close(context.Background())
	var beside sync.WaitGroup
	beside.Go(meanwhile)
	run := protect.Rotation{Store: rotation, From: from, To: to}
	require.NoError(s.t, run.Run(s.t.Context()))
	beside.Wait()
	s.kek = to
	_, err = rotation.EndOverlap(s.t.Context())
	require.NoError(s.t, err)
}

// A backup from before a rotation opens nothing of an erased subject, once the former key-encryption key is gone. Where
// the keys were in it, it opens nobody.
func TestABackupFromBeforeARotation(t *testing.T) {
	t.Parallel()
	for name, apart := range map[string]bool{"one database": false, "keys apart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t, apart)
			former, present := openKEK(t, "a"), openKEK(t, "b")
			s.kek = former
			s.grow(3, time.Now().Add(-time.Hour))
			restore, restoreKeys := back(t, s.url), func() {}
			if apart {
				restoreKeys = back(t, s.own)
			}
			s.finish(s.service(""), s.request("p-1"))
			s.rotate(former, present, func() {})
			text := s.read()
			require.Contains(t, text, "mark-0.")
			require.NotContains(t, text, "mark-1.")

			restore()
			if apart { // the present keys open the backup of the events, but for who was erased
				text = s.read()
				require.NotContains(t, text, "mark-1.")
				require.Contains(t, text, `{"$erased":true}`)
				require.Contains(t, text, "mark-0.")
				require.Contains(t, text, "mark-2.")
			}
			restoreKeys()
			_, err := s.tryRead()
			var known *errs.Error
			require.ErrorAs(t, err, &known)
			require.Equal(t, "keys_unavailable", known.Code)
			require.Error(t, s.keyring().Ready(t.Context()))

			s.kek = former
			require.Contains(t, s.read(), "mark-1.", "the backup has it, for who still has the former key")
		})
	}
}

// Subjects are erased while their keys are wrapped anew: none comes back, and none is lost.
func TestErasingWhileKeysAreWrappedAnew(t *testing.T) {
	t.Parallel()
	s := newSystem(t, true)
	former, present := openKEK(t, "a"), openKEK(t, "b")
	s.kek = former
	const persons, erased = 40, 8
	s.grow(persons, time.Now().Add(-time.Hour))
	s.rotate(former, present, func() {
		var all sync.WaitGroup
		for n := range erased {
			id, _, err := s.requester().Request(t.Context(), erase.Asked{Subject: fmt.Sprint("p-", n), Reason: "DPO-118", Principal: "ann"})
			if err != nil {
				t.Error(err)
				return
			}
			service := s.service(filepath.Join(t.TempDir(), "journal"))
			all.Go(func() {
				if _, err := service.Finish(t.Context(), id, func(store.ShredState) {}); err != nil {
					t.Error(err)
				}
				service.Close()
			})
		}
		all.Wait()
	})
	text := s.read()
	require.Equal(t, erased, strings.Count(text, `{"$erased":true}`))
	for n := range persons {
		require.Equal(t, n >= erased, strings.Contains(text, fmt.Sprintf("mark-%d.", n)), n)
	}
	require.Equal(t, persons-erased, count(t, s.own, `SELECT count(*) FROM subject_keys WHERE wrapped IS NOT NULL`))
	require.Equal(t, 1, count(t, s.own, `SELECT count(*) FROM wrapping_keys`))
}
