package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
	"audittrail/platform/errs"
)

// ShredState is how far an erasure has come.
type ShredState string

// The states.
const (
	ShredRequested ShredState = "requested"
	ShredErased    ShredState = "erased" // the key is destroyed; what tells of the values is not swept yet
	ShredDone      ShredState = "done"
)

// NewShred is somebody's wish that a subject is erased.
type NewShred struct {
	ID      event.ID
	At      time.Time
	Subject protect.SubjectHash
	By      string
	Reason  string
	Found   []byte // JSON: what the request saw that no erasure reaches
}

// Shred is an erasure.
type Shred struct {
	NewShred

	Restored bool // done before, in a database that a backup has replaced
	State    ShredState
	ErasedAt time.Time // zero: not yet, unless Restored
	Earlier  time.Time // when the subject was erased before; zero if never
	Keys     []protect.KeyID
	Swept    Swept
	Vacuumed bool

	FinishedAt  time.Time // zero: not yet
	Certificate int64     // position in the access log; -1 until there is one
}

// Swept counts what a sweep has found.
type Swept struct {
	Events  int64 // with values of a destroyed key
	Digests int64 // that were erased
	Tokens  int64 // that were deleted
}

// Shreds is the table of erasures.
type Shreds struct {
	pool *pgxpool.Pool
	log  *AccessLog
}

// NewShreds returns Shreds on a pool of the role audittrail_api or audittrail_maintain: only the latter may carry out
// what both may request.
func NewShreds(pool *pgxpool.Pool) *Shreds { return &Shreds{pool, NewAccessLog(pool)} }

const (
	// The join uses ledger_batches' unique (log, batch).
	shredColumns = `SELECT s.id, s.requested_at, s.subject, s.requested_by, s.reason, s.found, s.restored, s.state, s.erased_at, s.earlier_at,
			s.keys, s.events, s.digests, s.tokens, s.vacuumed, s.finished_at, coalesce(b.first_position + (s.entry & 16383), -1)
		FROM shreds AS s LEFT JOIN ledger_batches AS b ON b.log = 'access' AND b.batch = s.entry >> 14 `

	requestShredSQL = `INSERT INTO shreds (id, requested_at, subject, requested_by, reason, found) VALUES ($1, $2, $3, $4, $5, $6)`
	shredSQL        = shredColumns + `WHERE s.id = $1`

	// It uses shreds_open.
	openShredsSQL = `(` + shredColumns + `WHERE s.state <> 'done' AND s.state = 'requested' ORDER BY s.number LIMIT $1)
		UNION ALL (` + shredColumns + `WHERE s.state <> 'done' AND s.state <> 'requested' ORDER BY s.number LIMIT $1)`

	// A look for each of some shreds' keys, by the primary key of sealed_refs.
	lateShredsSQL = shredColumns + `WHERE s.state = 'done' AND s.finished_at > $1
			AND EXISTS (SELECT FROM sealed_refs AS r WHERE r.key = ANY (s.keys))
		ORDER BY s.number LIMIT $2`

	erasedSQL = `UPDATE shreds SET state = 'erased', erased_at = $2, earlier_at = $3, keys = $4 WHERE id = $1 AND state = 'requested'`
	sweepSQL  = `WITH swept AS (SELECT events, digests, tokens FROM sweep_key($2, $3))
		UPDATE shreds AS s SET events = s.events + w.events, digests = s.digests + w.digests, tokens = s.tokens + w.tokens
		FROM swept AS w WHERE s.id = $1 RETURNING w.events, w.digests, w.tokens`
	finishShredSQL = `UPDATE shreds SET state = 'done', finished_at = $2, vacuumed = $3 WHERE id = $1 AND state = 'erased'`
	certifySQL     = `UPDATE shreds SET entry = $2 WHERE id = $1`

	// What a journal says was done, and this database does not know.
	missingShredsSQL = `SELECT id FROM unnest($1::uuid[]) AS j (id) WHERE NOT EXISTS (SELECT FROM shreds AS s WHERE s.id = j.id)`
	restoreShredSQL  = `INSERT INTO shreds (id, requested_at, subject, requested_by, reason, found, restored, erased_at, keys)
		VALUES ($1, $2, $3, $4, $5, '{}', true, $6, $7)
		ON CONFLICT (id) DO UPDATE SET state = 'requested', restored = true, finished_at = NULL, entry = NULL, erased_at = excluded.erased_at, keys = excluded.keys
		WHERE shreds.state <> 'requested'`

	// A transaction that writes and began before a moment is over when the oldest that runs is as young as the youngest
	// was then.
	youngestSQL = `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`
	oldestSQL   = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint`
)

func scanShred(row pgx.CollectableRow) (s Shred, err error) {
	var (
		subject                   []byte
		keys                      [][16]byte
		erased, earlier, finished *time.Time
	)
	err = row.Scan((*[16]byte)(&s.ID), &s.At, &subject, &s.By, &s.Reason, &s.Found, &s.Restored, &s.State, &erased, &earlier,
		&keys, &s.Swept.Events, &s.Swept.Digests, &s.Swept.Tokens, &s.Vacuumed, &finished, &s.Certificate)
	if err != nil {
		return s, err
	}
	if len(subject) != len(s.Subject) {
		return s, fmt.Errorf("shred %s: %w", s.ID, errCorrupt)
	}
	s.Subject, s.At = protect.SubjectHash(subject), utc(s.At)
	for _, key := range keys {
		s.Keys = append(s.Keys, key)
	}
	for from, to := range map[*time.Time]*time.Time{erased: &s.ErasedAt, earlier: &s.Earlier, finished: &s.FinishedAt} {
		if from != nil {
			*to = utc(*from)
		}
	}
	return s, nil
}

// Request keeps a wish, with its entry of the access log: both or none.
func (s *Shreds) Request(ctx context.Context, n NewShred, entry AccessEntry) error {
	if err := s.log.months.ensure(ctx, s.pool, timesOfEntries(entry)); err != nil {
		return publicError(ctx, false, fmt.Errorf("request an erasure: %w", err))
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, requestShredSQL, [16]byte(n.ID), n.At, n.Subject[:], storable(n.By), storable(n.Reason), n.Found); err != nil {
			return err
		}
		_, err := appendEntry(ctx, tx, entry)
		return err
	})
	if err != nil {
		return publicError(ctx, false, fmt.Errorf("request an erasure: %w", err))
	}
	return nil
}

var errNoShred = errs.New(errs.NotFound, "not_found", "there is no erasure with this id")

// Get returns an erasure.
func (s *Shreds) Get(ctx context.Context, id event.ID) (Shred, error) {
	rows, _ := s.pool.Query(ctx, shredSQL, [16]byte(id))
	found, err := pgx.CollectExactlyOneRow(rows, scanShred)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, errNoShred
	}
	if err != nil {
		return found, publicError(ctx, false, fmt.Errorf("read an erasure: %w", err))
	}
	return found, nil
}

// Open returns erasures that are not done: first those whose keys are still there, however many wait for their sweep, and
// then these; the oldest first, and at most so many of each.
func (s *Shreds) Open(ctx context.Context, limit int) ([]Shred, error) {
	rows, _ := s.pool.Query(ctx, openShredsSQL, limit)
	open, err := pgx.CollectRows(rows, scanShred)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return open, nil
}

// Late returns erasures that were done since a moment and have something to sweep again: it was stored after that.
func (s *Shreds) Late(ctx context.Context, since time.Time, limit int) ([]Shred, error) {
	rows, _ := s.pool.Query(ctx, lateShredsSQL, since, limit)
	late, err := pgx.CollectRows(rows, scanShred)
	if err != nil {
		return nil, fmt.Errorf("read erasures that are done: %w", err)
	}
	return late, nil
}

// Erased notes that the keys are destroyed. earlier is zero if the subject was never erased before.
func (s *Shreds) Erased(ctx context.Context, id event.ID, at, earlier time.Time, keys []protect.KeyID) error {
	var before *time.Time
	if !earlier.IsZero() {
		before = &earlier
	}
	if _, err := s.pool.Exec(ctx, erasedSQL, [16]byte(id), at, before, uuids(keys)); err != nil {
		return fmt.Errorf("note an erasure: %w", err)
	}
	return nil
}

// Sweep forgets what tells of some events with values of a destroyed key, and counts it. Nothing found: all is swept.
func (s *Shreds) Sweep(ctx context.Context, id event.ID, key protect.KeyID, most int) (found Swept, err error) {
	if err = s.pool.QueryRow(ctx, sweepSQL, [16]byte(id), [16]byte(key), most).Scan(&found.Events, &found.Digests, &found.Tokens); err != nil {
		return found, fmt.Errorf("sweep: %w", err)
	}
	return found, nil
}

// Finish notes that an erasure is done, with its entry of the access log: the certificate. Of several processes that
// finish it one writes the entry.
func (s *Shreds) Finish(ctx context.Context, id event.ID, at time.Time, vacuumed bool, entry AccessEntry) error {
	err := s.log.months.ensure(ctx, s.pool, timesOfEntries(entry))
	if err == nil {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, finishShredSQL, [16]byte(id), at, vacuumed)
			if err != nil || tag.RowsAffected() == 0 {
				return err
			}
			entryID, err := appendEntry(ctx, tx, entry)
			if err == nil {
				_, err = tx.Exec(ctx, certifySQL, [16]byte(id), entryID)
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("finish an erasure: %w", err)
	}
	return nil
}

// Missing returns which erasures this database does not know.
func (s *Shreds) Missing(ctx context.Context, ids []event.ID) ([]event.ID, error) {
	asked := make([][16]byte, len(ids))
	for i, id := range ids {
		asked[i] = id
	}
	rows, _ := s.pool.Query(ctx, missingShredsSQL, asked)
	missing, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id event.ID, err error) {
		err = row.Scan((*[16]byte)(&id))
		return id, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for erasures: %w", err)
	}
	return missing, nil
}

// Restore has an erasure done again that was done at a moment, in a database that a backup has replaced.
func (s *Shreds) Restore(ctx context.Context, n NewShred, at time.Time, keys []protect.KeyID, entry AccessEntry) error {
	err := s.log.months.ensure(ctx, s.pool, timesOfEntries(entry))
	if err == nil {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, restoreShredSQL, [16]byte(n.ID), n.At, n.Subject[:], storable(n.By), storable(n.Reason), at, uuids(keys))
			if err == nil && tag.RowsAffected() > 0 {
				_, err = appendEntry(ctx, tx, entry)
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("repeat an erasure: %w", err)
	}
	return nil
}

// Youngest returns the number of the youngest transaction.
func (s *Shreds) Youngest(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, youngestSQL).Scan(&n)
	return n, err
}

// Oldest returns the number of the oldest transaction that may still write.
func (s *Shreds) Oldest(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, oldestSQL).Scan(&n)
	return n, err
}

// Lead gives the caller the lead in erasing, if no other process has it.
func (s *Shreds) Lead(ctx context.Context) (*Lead, bool, error) {
	return tryLead(ctx, s.pool, lockErasure, "erasure")
}

// VacuumErased gives the space of what was erased free. owner is a pool of the role audittrail_owner; keys says whether
// it is the database of the keys, or that of the events.
func VacuumErased(ctx context.Context, owner *pgxpool.Pool, keys bool) error {
	sql := `VACUUM sealed_tokens, sealed_refs, event_keys`
	if keys {
		sql = `VACUUM subject_keys`
	}
	if _, err := owner.Exec(ctx, sql); err != nil {
		return fmt.Errorf("vacuum: %w", err)
	}
	return nil
}

// appendEntry appends one entry to the access log within a transaction, and returns its id. Its month MUST be there.
func appendEntry(ctx context.Context, tx pgx.Tx, e AccessEntry) (id int64, err error) {
	leaf := ledger.LeafHash(e.Canonical)
	var batch int64
	err = tx.QueryRow(ctx, appendAccessSQL+` RETURNING batch`, []time.Time{e.Time}, []string{string(e.Canonical)}, 1, e.Time, e.Time, e.Time, leaf[:]).Scan(&batch)
	if err != nil {
		return 0, fmt.Errorf("append to the access log: %w", err)
	}
	return batch << indexBits, nil
}

func timesOfEntries(e AccessEntry) func(func(time.Time) bool) {
	return func(yield func(time.Time) bool) { yield(e.Time) }
}

func uuids(keys []protect.KeyID) [][16]byte {
	out := make([][16]byte, len(keys))
	for i, key := range keys {
		out[i] = key
	}
	return out
}

// Countable is as far as a survey counts.
const Countable = 10_000

const (
	// They use the primary key of sealed_refs, and read no more than they count.
	refsSQL = `SELECT count(*) FROM (SELECT FROM sealed_refs WHERE key = $1 LIMIT $2) AS r`

	lettersSQL  = `SELECT count(*) FROM (SELECT FROM dead_letters WHERE value IS NOT NULL LIMIT $1) AS d`
	replayedSQL = `SELECT count(*) FROM replays WHERE sent > 0 AND coalesce(finished_at, now()) >= $1`
)

// Survey says what there is of a subject's key in the event store, and what of it may be elsewhere.
type Survey struct {
	Events      int64    // with values under the key, at most Countable
	DeadLetters int64    // that have their value, at most Countable
	Replays     int64    // that have sent events and ended since the key was made, or go on
	Topics      []string // that ingest has read
}

// Survey counts. key is nil if the subject has none, and since is when it was made.
func (s *Shreds) Survey(ctx context.Context, key *protect.KeyID, since time.Time) (found Survey, err error) {
	if key != nil {
		err = s.pool.QueryRow(ctx, refsSQL, [16]byte(*key), Countable).Scan(&found.Events)
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, lettersSQL, Countable).Scan(&found.DeadLetters)
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, replayedSQL, since).Scan(&found.Replays)
	}
	var topics []AdmittedTopic
	if err == nil {
		topics, err = Topics(ctx, s.pool)
	}
	if err != nil {
		return found, publicError(ctx, false, fmt.Errorf("survey a subject: %w", err))
	}
	for _, t := range topics {
		found.Topics = append(found.Topics, t.Topic)
	}
	return found, nil
}

// Login returns the database login that the pool has.
func (s *Shreds) Login(ctx context.Context) (name string, err error) {
	if err = s.pool.QueryRow(ctx, `SELECT session_user`).Scan(&name); err != nil {
		return "", fmt.Errorf("read the database login: %w", err)
	}
	return name, nil
}
