package systemtest

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"
)

// commandComplete is the kind of PostgreSQL's message that a statement succeeded; its body is the
// statement's tag.
const commandComplete = 'C'

// TestCommitAnswerLost proves that a batch whose COMMIT succeeded, but whose answer never came, is not
// stored again: a proxy cuts the connection at every third COMMIT's answer.
func TestCommitAnswerLost(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	p := newProxy(t, s.url)
	var commits, cuts atomic.Int64
	p.toClient = func(kind byte, body []byte) bool {
		if kind != commandComplete || !bytes.Equal(body, []byte("COMMIT\x00")) || commits.Add(1)%3 != 0 {
			return true
		}
		cuts.Add(1)
		return false
	}
	f := newFeed(s)
	f.send(t.Context(), 5_000)
	direct := s.url
	s.url = through(t, direct, p.address)
	ingest := s.ingest("ingest", "--ingest.max_batch_events", "250")
	f.send(t.Context(), 5_000)
	s.caughtUp(2*time.Minute, ingest)
	ingest.stop()
	s.url = direct
	s.balanced()
	f.holdsAll()
	if n := cuts.Load(); n < 5 {
		t.Errorf("only %d answers were cut: this proves little", n)
	}
	t.Logf("%d of %d COMMITs' answers were cut", cuts.Load(), commits.Load())
}
