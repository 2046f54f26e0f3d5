package ingest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// lockedSealer has no keys until it is opened.
type lockedSealer struct {
	protect.Protector
	open  atomic.Bool
	tries atomic.Int64
}

func (s *lockedSealer) Seal(ctx context.Context, v []event.Valid) ([]protect.Sealed, error) {
	s.tries.Add(1)
	if !s.open.Load() {
		return nil, errors.New("the keys are out of reach")
	}
	return s.Protector.Seal(ctx, v)
}

func TestIngestWaitsWhileTheKeysAreOutOfReach(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, append(events(0, 10), "no event")...)
	sealer := &lockedSealer{}
	p := start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) { d.Sealer = sealer }})
	eventually(t, "a second try", func() bool { return sealer.tries.Load() > 1 })
	if good, bad := st.count(); good != 0 || bad != 0 {
		t.Fatalf("%d events and %d rejected were stored without keys", good, bad)
	}
	if p.role.status.err() == nil {
		t.Error("health says nothing of the keys")
	}
	sealer.open.Store(true)
	eventually(t, "the end", func() bool { return st.next(topic, 0) == 11 })
	if good, bad := st.count(); good != 10 || bad != 1 {
		t.Errorf("%d events and %d rejected, want 10 and 1", good, bad)
	}
}
