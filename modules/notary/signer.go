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

// head is a checkpoint of a log that one of our keys signed, the last one that is known.
type head struct {
	ledger.Signed
	previous int64 // size of the checkpoint that is kept before it; 0 for none
	signedAt time.Time
}

// signer signs one log's checkpoints with all keys, and knows them again.
type signer struct {
	log     ledger.Log
	origin  string
	signers []note.Signer
	keys    ledger.Keys // of the signers, and retired ones
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

// sign signs, and reads back what it signed.
func (s *signer) sign(size int64, root ledger.Hash) (ledger.Signed, error) {
	signed, err := ledger.Checkpoint{Origin: s.origin, Size: size, Root: root}.Sign(s.signers...)
	if err != nil {
		return ledger.Signed{}, err
	}
	return s.open(signed)
}

// open reads a checkpoint that one of our keys signed.
func (s *signer) open(text []byte) (ledger.Signed, error) {
	c, err := ledger.OpenCheckpoint(text, s.keys)
	if err == nil && c.Origin != s.origin {
		err = fmt.Errorf("the checkpoint is of %s, not of %s", c.Origin, s.origin)
	}
	return c, err
}

// ids are the keys that sign, as people tell them apart.
func (s *signer) ids() (ids []string) {
	for _, one := range s.signers {
		ids = append(ids, idOf(one))
	}
	return ids
}

func idOf(one note.Signer) string { return fmt.Sprintf("%s+%08x", one.Name(), one.KeyHash()) }

// missing are the signatures by those of our keys that have not signed a checkpoint.
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
