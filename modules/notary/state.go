package notary

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/ledger"
)

// State is what the notary remembers outside the database, as its state file has it.
type State struct {
	Format string     `json:"format"` // "audittrail-notary/v1"
	Origin string     `json:"origin"` // ledger.origin
	Logs   []LogState `json:"logs"`   // the logs that were signed, at most one each
}

// LogState is what the notary signed last of one log.
type LogState struct {
	Log        ledger.Log `json:"log"`
	Checkpoint string     `json:"checkpoint"` // the signed note
	Previous   int64      `json:"previous"`   // size of the checkpoint before it; 0 for none
	SignedAt   time.Time  `json:"signedAt"`
}

const (
	stateFormat = "audittrail-notary/v1"
	maxState    = 4 << 20 // two checkpoints with all the signatures that one may have, and more
)

// memory keeps a State. Save MUST be durable, and all or nothing, before it returns.
type memory interface {
	Load() (State, error) // fs.ErrNotExist where nothing was ever saved
	Save(s State) error
}

// stateFile is the path of a state file.
type stateFile string

// ReadState reads a state file; the error is fs.ErrNotExist where there is none. It verifies no signature.
func ReadState(path string) (State, error) { return stateFile(path).Load() }

// Load implements memory.
func (p stateFile) Load() (State, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return State{}, fmt.Errorf("notary.state_file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err != nil {
		return State{}, fmt.Errorf("notary.state_file: %w", err)
	}
	var s State
	err = json.Unmarshal(text, &s, json.RejectUnknownMembers(true))
	if err != nil || len(text) > maxState || s.Format != stateFormat {
		return State{}, fmt.Errorf("notary.state_file: %s is not a notary's state (%s); restore it, or move it away: "+
			"the notary then begins anew from the checkpoints in the database, and can't tell whether that was rolled back", p, stateFormat)
	}
	return s, nil
}

// Save implements memory: the new state lies beside the old one, on the disk, before it takes its place.
func (p stateFile) Save(s State) error {
	s.Format = stateFormat
	text, err := json.Marshal(s, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("notary.state_file: %w", err)
	}
	if err := replace(string(p), append(text, '\n')); err != nil {
		return fmt.Errorf("notary.state_file: %w", err)
	}
	return nil
}

func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // of mode 0600, and nobody else's
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes the new name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recall reads the memory and verifies that these keys have signed it; found is false where there is none.
func (r *Role) recall(origin string) (heads map[ledger.Log]head, found bool, err error) {
	s, err := r.memory.Load()
	if errors.Is(err, os.ErrNotExist) {
		return map[ledger.Log]head{}, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if s.Origin != origin {
		return nil, false, fmt.Errorf("notary.state_file: the state is of %q, but ledger.origin is %q: each ledger has a file of its own", s.Origin, origin)
	}
	heads = make(map[ledger.Log]head)
	for _, l := range s.Logs {
		signer, known := r.signers[l.Log]
		if _, twice := heads[l.Log]; !known || twice {
			return nil, false, fmt.Errorf("notary.state_file: names the log %q twice, or there is none", l.Log)
		}
		signed, err := signer.open([]byte(l.Checkpoint))
		var bad *ledger.CheckpointError
		if errors.As(err, &bad) && bad.Kind == ledger.UnknownKey {
			return nil, false, fmt.Errorf("notary.state_file: %w; while keys are rotated ledger.signing_key names the old one behind the new one", err)
		}
		if err != nil {
			return nil, false, fmt.Errorf("notary.state_file: %w", err)
		}
		heads[l.Log] = head{Signed: signed, previous: l.Previous, signedAt: l.SignedAt}
	}
	return heads, true, nil
}
