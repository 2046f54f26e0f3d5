package notary

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// head is the last known checkpoint of a log that one of our keys has signed.
type head struct {
	ledger.Signed
	previous int64 // size of the checkpoint before it in the database; 0 for none
	signedAt time.Time
}

// signer signs the checkpoints of one log with all keys, and verifies them.
type signer struct {
	log     ledger.Log
	origin  string
	signers []note.Signer
	keys    ledger.Keys // those of the signers, and retired ones
}

func newSigner(keys []ledger.SigningKey, retired ledger.Keys, log ledger.Log) (*signer, error) {
	s := &signer{log: log, origin: log.Origin(keys[0].Origin())}
	public := retired.Texts(s.origin)
	for _, k := range keys {
		one, err := k.Signer(log)
		if err != nil {
			return nil, err
		}
		s.signers = append(s.signers, one)
		public = append(public, k.VerifierKey(log))
	}
	var err error
	s.keys, err = ledger.ParseKeys(public...)
	return s, err
}

// sign signs a checkpoint and verifies the result.
func (s *signer) sign(size int64, root ledger.Hash) (ledger.Signed, error) {
	signed, err := ledger.Checkpoint{Origin: s.origin, Size: size, Root: root}.Sign(s.signers...)
	if err != nil {
		return ledger.Signed{}, err
	}
	return s.open(signed)
}

// open verifies a checkpoint that one of our keys has signed.
func (s *signer) open(text []byte) (ledger.Signed, error) {
	c, err := ledger.OpenCheckpoint(text, s.keys)
	if err == nil && c.Origin != s.origin {
		err = fmt.Errorf("the checkpoint is of %s, not of %s", c.Origin, s.origin)
	}
	return c, err
}

// ids returns the ids of the signing keys.
func (s *signer) ids() (ids []string) {
	for _, one := range s.signers {
		ids = append(ids, idOf(one))
	}
	return ids
}

func idOf(one note.Signer) string { return fmt.Sprintf("%s+%08x", one.Name(), one.KeyHash()) }

// missing returns the signatures of those of our keys that have not signed a checkpoint yet.
func (s *signer) missing(c ledger.Signed) ([]store.Signature, error) {
	var added []store.Signature
	for _, one := range s.signers {
		id := idOf(one)
		if slices.Contains(c.Keys, id) {
			continue
		}
		signed, err := c.Sign(one)
		if err != nil {
			return nil, err
		}
		_, line, _ := strings.Cut(string(signed), "\n\n")
		added = append(added, store.Signature{Signer: id, Line: strings.TrimSuffix(line, "\n")})
	}
	return added, nil
}
