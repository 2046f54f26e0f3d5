package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/errs"
)

// Seat is the server that all reads of one request go to: a replica or the primary. What one read has seen, the next
// one therefore sees too. If the replica fails, or lacks a position that the request has seen, the request goes on at
// the primary. It is safe for concurrent use.
type Seat struct {
	replicas *Replicas // nil: there is only the primary
	least    int64     // the position that the caller asked for

	mu    sync.Mutex // guards all below
	taken bool
	on    *replica // nil for the primary
	leave func()
	need  int64 // the position that the server must have
	seen  int64 // the position that the server was seen to have
}

type seatKey struct{}

// WithSeat returns a context whose reads may be answered by a replica, all of them by the same one. The server has at
// least the position given, or its reads fail with position_not_reached; -1 asks for nothing. Leave MUST be called when the request
// is over. Reads by a context without a seat are the primary's.
func (r *Reader) WithSeat(ctx context.Context, least int64) (context.Context, *Seat) {
	s := &Seat{replicas: r.replicas, least: least, need: least, seen: -1, leave: func() {}}
	return context.WithValue(ctx, seatKey{}, s), s
}

// seatOf returns nil if the context has none. All methods take nil.
func seatOf(ctx context.Context) *Seat {
	s, _ := ctx.Value(seatKey{}).(*Seat)
	return s
}

// withoutSeat is for what only the primary can do.
func withoutSeat(ctx context.Context) context.Context {
	return context.WithValue(ctx, seatKey{}, (*Seat)(nil))
}

// Position returns a position that the server was seen to have, with all before it; -1 if nothing was read.
func (s *Seat) Position() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// IsReplica reports whether the request reads from a replica.
func (s *Seat) IsReplica() bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on != nil
}

// Leave ends the request.
func (s *Seat) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leave()
	s.leave = func() {}
}

// ToPrimary has the request go on at the primary.
func (s *Seat) ToPrimary() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replicas == nil || s.taken && s.on == nil {
		return
	}
	s.leave()
	s.replicas.mu.Lock()
	s.leave = s.replicas.enter(nil)
	s.replicas.mu.Unlock()
	s.taken, s.on = true, nil
}

// raise has all further reads see at least this position, since the answer depends on it.
func (s *Seat) raise(position int64) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.need = max(s.need, position)
}

// needed is the position that the server must have.
func (s *Seat) needed() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.need
}

// server returns the replica to read from, or nil for the primary.
func (s *Seat) server(ctx context.Context) *replica {
	if s == nil || s.replicas == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken {
		s.taken = true
		s.on, s.leave = s.replicas.take(ctx, s.need)
	}
	return s.on
}

// headAge is how old the known head of a connection's server may be.
const headAge = 250 * time.Millisecond

// headKey is what a connection keeps the head of its server under.
const headKey = "audittrail.head"

// knownHead is the head of a connection's server at a moment. A server never goes back under a connection.
type knownHead struct {
	position int64
	at       time.Time
}

var (
	errBehind     = errors.New("the replica has not got the position yet")
	errNotReached = errs.New(errs.Unavailable, "position_not_reached",
		"no server has this position yet; try again later, or ask for a lower one").InField("Audittrail-Min-Position")
)

// checked returns f behind a look at the server's head: errBehind where a replica has not got what is needed.
func (s *Seat) checked(onReplica bool, f func(context.Context, *pgx.Conn) error) func(context.Context, *pgx.Conn) error {
	return func(ctx context.Context, conn *pgx.Conn) error {
		need := s.needed()
		head, err := headOf(ctx, conn, need)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.seen = max(s.seen, head)
		s.mu.Unlock()
		switch {
		case onReplica && head < need:
			return errBehind
		case head < s.least:
			return errNotReached
		}
		return f(ctx, conn)
	}
}

// headOf returns the head of the connection's server, as it was a moment ago or, where that is less than need, now.
func headOf(ctx context.Context, conn *pgx.Conn, need int64) (int64, error) {
	kept := conn.PgConn().CustomData()
	if known, ok := kept[headKey].(knownHead); ok && known.position >= need && time.Since(known.at) < headAge {
		return known.position, nil
	}
	head, err := readHead(ctx, conn)
	if err == nil {
		kept[headKey] = knownHead{head, time.Now()}
	}
	return head, err
}

// read reads from the seat's replica, and from the primary where that fails.
func (r *Reader) readSeated(ctx, bounded context.Context, s *Seat, what string, f func(context.Context, *pgx.Conn) error) error {
	if on := s.server(bounded); on != nil {
		reachable, cancel := on.while(bounded, s.replicas)
		err := readFrom(ctx, reachable, on.Pool, what, s.checked(true, f))
		lost := reachable.Err() != nil && bounded.Err() == nil
		cancel()
		if err == nil || !lost && !isTheReplicas(ctx, err) {
			return err
		}
		s.replicas.failed(ctx, on, err)
		s.ToPrimary()
	}
	return readFrom(ctx, bounded, r.pool, what, s.checked(false, f))
}

// isTheReplicas reports whether a read may do better at the primary: the replica can't be reached, is behind, or has ended
// the statement because it was in the way of what it replays (40001). What a caller can do about is none.
func isTheReplicas(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	var known *errs.Error
	return !errors.As(err, &known) || known.Kind == errs.Unavailable && known.Code == errAway.Code
}
