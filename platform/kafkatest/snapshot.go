package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
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

// Damage changes a byte in the log of partition 0 of a topic, where text stands first, as a failing disk does. A
// broker does not look at it again.
func (k *Kafka) Damage(topic, text string) {
	k.t.Helper()
	segment := filepath.Join(k.own().Data(), topic+"-0", "00000000000000000000.log")
	k.must("damage", func() error {
		content, err := os.ReadFile(segment)
		if err != nil {
			return err
		}
		at := bytes.Index(content, []byte(text))
		if at < 0 {
			return fmt.Errorf("%s does not hold %q", segment, text)
		}
		file, err := os.OpenFile(segment, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteAt([]byte{content[at] ^ 1}, int64(at))
		return errors.Join(err, file.Close())
	})
}
