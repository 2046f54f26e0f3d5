package kafkatest

import (
	"os"
	"path/filepath"
)

// Snapshot copies the disk of a broker that is stopped. restore puts it back, and the broker must be stopped then,
// too: whatever came in between is lost, as by a disk that is put back to an earlier state.
func (k *Kafka) Snapshot() (restore func()) {
	k.t.Helper()
	data, kept := k.own().Data(), filepath.Join(k.t.TempDir(), "snapshot")
	k.must("copy", func() error { return os.CopyFS(kept, os.DirFS(data)) })
	return func() {
		k.t.Helper()
		k.must("restore", func() error {
			if err := os.RemoveAll(data); err != nil {
				return err
			}
			return os.CopyFS(data, os.DirFS(kept))
		})
	}
}
