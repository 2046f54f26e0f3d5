package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// lookEvery is how often servers are looked at; hurriedly while a request waits for a position.
	lookEvery   = 250 * time.Millisecond
	lookHurried = 20 * time.Millisecond

	// lookTimeout is how long a look may take before the replica counts as lost.
	lookTimeout = 2 * time.Second

	// goodLooks is how many looks a replica that was lost must pass before it is read again.
	goodLooks = 3

	// maxSamples is how many moments of the primary are remembered: ten minutes.
	maxSamples = 2400
)

const (
	// What the log had at its end says whose history it is: leaves hold random salts.
	replicaSQL = `SELECT pg_is_in_recovery(), coalesce(pg_last_wal_replay_lsn() - '0/0', 0)::bigint,
			coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::float8, coalesce(b.head, -1), b.leaf
		FROM (SELECT) AS one LEFT JOIN LATERAL (
			SELECT first_position + count - 1 AS head, substring(leaves FROM 32 * (count - 1) + 1 FOR 32) AS leaf FROM ledger_batches
			WHERE log = 'events' ORDER BY first_position DESC LIMIT 1) AS b ON true`

	primarySQL = `SELECT ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END) - '0/0')::bigint`

	// By ledger_batches' primary key; see accessAtSQL.
	leafAtSQL = `SELECT substring(leaves FROM 32 * ($1 - first_position)::int + 1 FOR 32)
		FROM (SELECT * FROM ledger_batches WHERE log = 'events' AND first_position <= $1 ORDER BY first_position DESC LIMIT 1) AS b
		WHERE first_position + count > $1`
)

// Why a replica is not read.
var (
	errPromoted     = errors.New("it is no replica: it was promoted")
	errOtherHistory = errors.New("it has another history than the primary: it follows another server, or has seen commits that the primary lost; build it anew")
	errUnverified   = errors.New("the primary can't be asked whether both have one history")
)

// sight is what a look at a replica finds.
type sight struct {
	follows bool          // it is in recovery
	lsn     int64         // up to where it has replayed
	idle    time.Duration // since the commit that it replayed last
	head    int64         // the last position; -1 if there is none
	leaf    []byte        // of that
}

// Run looks at the replicas until ctx is cancelled. They are not read afterwards.
func (s *Replicas) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { s.primary.watch(ctx) })
	for _, r := range s.all {
		running.Go(func() { s.watch(ctx, r) })
	}
	running.Wait()
}

// watch looks at one replica again and again.
func (s *Replicas) watch(ctx context.Context, r *replica) {
	w := watcher{set: s, of: r, good: goodLooks - 1, link: link{pool: r.Pool}}
	defer w.link.close(ctx)
	for timer := time.NewTimer(0); ; {
		select {
		case <-ctx.Done():
			s.lost(r)
			return
		case <-timer.C:
		case <-r.poke:
		}
		w.look(ctx)
		s.mu.Lock()
		pause := lookEvery
		if s.waiting > 0 {
			pause = lookHurried
		}
		s.mu.Unlock()
		timer.Reset(pause)
	}
}

// watcher is what looking at a replica remembers. One goroutine uses it.
type watcher struct {
	set      *Replicas
	of       *replica
	link     link
	good     int    // looks that it has passed, one after the other
	verified []byte // the last leaf of which the primary had the same
}

// look looks once, and says whether the replica may be read.
func (w *watcher) look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := w.see(bounded)
	if err == nil {
		err = w.judge(bounded, found)
	}
	if ctx.Err() != nil {
		return
	}
	w.tell(ctx, err)
	if err != nil {
		w.good = 0
		w.set.lost(w.of)
		return
	}
	if w.good++; w.good >= goodLooks {
		w.set.found(w.of, found.head)
	}
}

// see asks the replica.
func (w *watcher) see(ctx context.Context) (found sight, err error) {
	err = w.link.use(ctx, func(conn *pgx.Conn) error {
		var idle float64
		err := conn.QueryRow(ctx, replicaSQL).Scan(&found.follows, &found.lsn, &idle, &found.head, &found.leaf)
		found.idle = time.Duration(idle * float64(time.Second))
		return err
	})
	return found, err
}

// judge returns why the replica can't be read. One that was too far behind must come well within the bound.
func (w *watcher) judge(ctx context.Context, found sight) error {
	if !found.follows {
		return errPromoted
	}
	lag, known := w.set.primary.lag(found)
	if !known {
		return errUnverified
	}
	w.set.metrics.lag.WithLabelValues(w.of.Name).Set(lag.Seconds())
	most := w.set.maxLag
	if w.good < goodLooks {
		most /= 2
	}
	if lag > most {
		return fmt.Errorf("it is more than %s behind", most)
	}
	if found.head < 0 || bytes.Equal(found.leaf, w.verified) {
		return nil
	}
	if err := w.set.primary.has(ctx, found.head, found.leaf); err != nil {
		if errors.Is(err, errUnverified) && w.verified != nil {
			return nil // the primary is away, and what it had before was the same
		}
		return err
	}
	w.verified = found.leaf
	return nil
}

// tell notes the reason, and logs each change of it once.
func (w *watcher) tell(ctx context.Context, err error) {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	w.set.mu.Lock()
	before := w.of.reason
	w.of.reason = reason
	w.set.mu.Unlock()
	switch {
	case reason == before:
	case err != nil:
		w.set.log.WarnContext(ctx, "a replica can't be read", "replica", w.of.Name, "reason", err)
	default:
		w.set.log.InfoContext(ctx, "a replica can be read", "replica", w.of.Name)
	}
}

// Notes tells why replicas are not read.
func (s *Replicas) Notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var notes []string
	for _, r := range s.all {
		if r.reason != "" {
			notes = append(notes, "replica "+r.Name+" can't be read: "+r.reason)
		}
	}
	return notes
}

// found notes that the replica can be read, and what it has.
func (s *Replicas) found(r *replica, head int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.usable {
		r.usable, r.since = true, time.Now()
		r.reachable, r.lose = context.WithCancel(context.Background())
		s.metrics.usable.WithLabelValues(r.Name).Set(1)
	}
	r.head = head
	close(s.changed)
	s.changed = make(chan struct{})
}

// lost ends all reads from the replica: they go on at the primary.
func (s *Replicas) lost(r *replica) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.usable = false
	r.lose()
	s.metrics.usable.WithLabelValues(r.Name).Set(0)
	close(s.changed)
	s.changed = make(chan struct{})
}

// failed notes that a read failed at the replica, and has it looked at.
func (s *Replicas) failed(ctx context.Context, r *replica, err error) {
	s.metrics.fallbacks.WithLabelValues(r.Name).Inc()
	s.log.DebugContext(ctx, "a read goes on at the primary", "replica", r.Name, "reason", err)
	r.hurry()
}

// primary is what is known of the primary.
type primary struct {
	link  link
	asked chan struct{} // holds one while the link is used

	mu      sync.Mutex
	samples []sample // guarded by mu; oldest first, and each further than the one before
}

// use is link.use for one at a time.
func (p *primary) use(ctx context.Context, f func(*pgx.Conn) error) error {
	select {
	case p.asked <- struct{}{}:
		defer func() { <-p.asked }()
		return p.link.use(ctx, f)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sample is how far the primary's log reached, at least, at a moment.
type sample struct {
	at  time.Time
	lsn int64
}

// watch notes how far the primary's log reaches.
func (p *primary) watch(ctx context.Context) {
	defer func() {
		p.asked <- struct{}{} // for ever
		p.link.close(ctx)
	}()
	for timer := time.NewTimer(0); ; timer.Reset(lookEvery) {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		p.sample(ctx)
	}
}

func (p *primary) sample(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	now, lsn := time.Now(), int64(0)
	err := p.use(bounded, func(conn *pgx.Conn) error { return conn.QueryRow(bounded, primarySQL).Scan(&lsn) })
	if err != nil {
		return // what was known stays
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// After a failover the new primary's log may end earlier.
	p.samples = slices.DeleteFunc(p.samples, func(s sample) bool { return s.lsn > lsn })
	n := len(p.samples)
	switch {
	case n > 0 && p.samples[n-1].lsn == lsn: // it has been so for longer
		return
	case n == maxSamples:
		p.samples = slices.Delete(p.samples, 0, 1)
	}
	p.samples = append(p.samples, sample{now, lsn})
}

// lag is how long ago the primary had the first thing that a replica has not replayed; 0 if it has replayed all. It
// is not known while the primary was never asked.
func (p *primary) lag(of sight) (lag time.Duration, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.samples) == 0 {
		return 0, false
	}
	i := slices.IndexFunc(p.samples, func(s sample) bool { return s.lsn > of.lsn })
	if i < 0 {
		return 0, true
	}
	lag = time.Since(p.samples[i].at)
	if i == 0 { // it may have been longer ago
		lag = max(lag, of.idle)
	}
	return lag, true
}

// has is errOtherHistory if the primary has another leaf at the position. A replica may see a commit some moments
// before the primary does.
func (p *primary) has(ctx context.Context, position int64, leaf []byte) error {
	for range 10 {
		var same []byte
		err := p.use(ctx, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, leafAtSQL, position).Scan(&same) })
		switch {
		case err == nil && bytes.Equal(same, leaf):
			return nil
		case err == nil:
			return errOtherHistory
		case !errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("%w: %w", errUnverified, err)
		}
		select {
		case <-ctx.Done():
			return errOtherHistory
		case <-time.After(lookHurried):
		}
	}
	return errOtherHistory
}

// link is a connection that looks, apart from its pool, which may be busy.
type link struct {
	pool *pgxpool.Pool
	conn *pgx.Conn // nil while there is none
}

// use calls f with the connection. A connection on which f failed is closed.
func (l *link) use(ctx context.Context, f func(*pgx.Conn) error) error {
	if l.conn == nil {
		config := l.pool.Config()
		if config.BeforeConnect != nil {
			if err := config.BeforeConnect(ctx, config.ConnConfig); err != nil {
				return err
			}
		}
		conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
		if err != nil {
			return err
		}
		l.conn = conn
	}
	err := f(l.conn)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		l.close(ctx)
	}
	return err
}

func (l *link) close(ctx context.Context) {
	if l.conn == nil {
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = l.conn.Close(bounded) // it is gone either way
	l.conn = nil
}
