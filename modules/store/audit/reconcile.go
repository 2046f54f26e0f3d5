package audit

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// Reconciliation is the result of Reconcile: the accounting, and where it contradicts itself.
type Reconciliation struct {
	Partitions    []PartitionAccount `json:"partitions"`
	Total         Account            `json:"total"`
	Discrepancies []Discrepancy      `json:"discrepancies"` // at most maxDiscrepancies of each check

	// Unlisted is how many more discrepancies there are than are listed.
	Unlisted int64 `json:"unlisted"`

	// ToRead is how many offsets Kafka has that are still to be read; 0 before CompareKafka.
	ToRead int64 `json:"toRead"`

	topics     []event.TopicID // of Partitions
	kafkaFound int             // discrepancies with Kafka
}

// Balanced reports whether every offset is accounted for and no table contradicts another.
func (r *Reconciliation) Balanced() bool { return len(r.Discrepancies) == 0 }

// Account counts what became of a range of offsets.
type Account struct {
	Offsets      int64 `json:"offsets"` // next offset minus first offset
	Stored       int64 `json:"stored"`
	Duplicates   int64 `json:"duplicates"`
	DeadLettered int64 `json:"deadLettered"`
	Absent       int64 `json:"absent"`
}

// PartitionAccount is the account of one partition of one incarnation of a topic.
type PartitionAccount struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"firstOffset"`
	NextOffset  int64  `json:"nextOffset"`

	// What Kafka has, and how much of it is still to be read; nil if Kafka was not asked or has the log no more.
	KafkaFirst *int64 `json:"kafkaFirst"`
	KafkaEnd   *int64 `json:"kafkaEnd"` // exclusive
	ToRead     *int64 `json:"toRead"`

	Account
}

// Discrepancy is one contradiction.
type Discrepancy struct {
	Check     string `json:"check"`               // stable name of the broken rule
	Topic     string `json:"topic,omitempty"`     // empty if it is about no topic
	Partition *int32 `json:"partition,omitempty"` // of Topic
	From      *int64 `json:"from,omitempty"`      // offsets [From, To)
	To        *int64 `json:"to,omitempty"`
	Batch     *int64 `json:"batch,omitempty"`    // of ledger_batches, event_keys and events
	Position  *int64 `json:"position,omitempty"` // in the ledger
	Expected  any    `json:"expected"`           // int64, or string
	Found     any    `json:"found"`
	Detail    string `json:"detail"` // the rule
}

// Place says where the discrepancy is: topic/partition [from, to), batch, position.
func (d *Discrepancy) Place() string {
	text := d.Topic
	if d.Partition != nil {
		text = fmt.Sprintf("%s/%d", d.Topic, *d.Partition)
	}
	if d.From != nil && d.To != nil {
		text += fmt.Sprintf(" [%d, %d)", *d.From, *d.To)
	}
	if d.Batch != nil {
		text += fmt.Sprintf(" batch %d", *d.Batch)
	}
	if d.Position != nil {
		text += fmt.Sprintf(" position %d", *d.Position)
	}
	return strings.TrimPrefix(text, " ")
}

// maxDiscrepancies bounds the memory of a Reconcile over badly damaged tables.
const maxDiscrepancies = 1000

// maxPartitions is more than Kafka has. It bounds the memory if somebody filled ingest_offsets.
const maxPartitions = 1 << 20

// TransactionStarter begins transactions: a *pgx.Conn or a *pgxpool.Pool.
type TransactionStarter interface {
	BeginTx(ctx context.Context, opts pgx.TxOptions) (pgx.Tx, error)
}

// Reconcile checks that every offset from a partition's first to its next one is accounted for, and that
// ingest_ranges, ingest_admissions, events, event_keys, ledger_batches and dead_letters agree with each other. It
// reads one snapshot, so ingest may go on, and takes no lock that ingest waits for. progress, which may be nil,
// is called before each step.
//
// It reads all events once, about 2 s per million. It detects mistakes, and tampering that leaves the accounting
// as it was. It is no proof, since somebody who can change one table can change all of them.
func Reconcile(ctx context.Context, db TransactionStarter, progress func(step, of int, what string)) (*Reconciliation, error) {
	if progress == nil {
		progress = func(int, int, string) {}
	}
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	// There is one group per batch, so their hashes fit. The role's own timeout is for short queries.
	if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '64MB'; SET LOCAL statement_timeout = 0`); err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	r := &Reconciliation{Partitions: []PartitionAccount{}, Discrepancies: []Discrepancy{}}
	checks := reconcileChecks()
	progress(1, len(checks)+1, "adding up the offsets")
	if err := r.try(ctx, tx, "adding up the offsets", r.account); err != nil {
		return nil, err
	}
	for i, check := range checks {
		progress(i+2, len(checks)+1, check.what)
		err := r.try(ctx, tx, check.what, func(ctx context.Context, tx pgx.Tx) error { return r.run(ctx, tx, check.sql) })
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// try runs a check in a savepoint. If the check fails on what the tables hold, that is a discrepancy, and the other
// checks still run.
func (r *Reconciliation) try(ctx context.Context, tx pgx.Tx, what string, check func(context.Context, pgx.Tx) error) error {
	within, err := tx.Begin(ctx)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	err = check(ctx, within)
	if err != nil && unreadable(err) {
		found := &UnreadableError{What: what, err: err}
		r.Discrepancies = append(r.Discrepancies, Discrepancy{Check: "unreadable", Expected: "an answer", Found: found.Reason(), Detail: what})
	} else if err != nil {
		return fmt.Errorf("reconcile: %s: %w", what, err)
	}
	if err := within.Rollback(ctx); err != nil { // nothing was written
		return fmt.Errorf("reconcile: %w", err)
	}
	return nil
}

// account sums the ranges of each partition.
func (r *Reconciliation) account(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, accountSQL)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			p  PartitionAccount
			id [16]byte
		)
		if err := rows.Scan(&id, &p.Topic, &p.Partition, &p.FirstOffset, &p.NextOffset,
			&p.Stored, &p.Duplicates, &p.DeadLettered, &p.Absent); err != nil {
			return err
		}
		p.Offsets = p.NextOffset - p.FirstOffset
		r.Total.add(p.Account)
		if len(r.Partitions) < maxPartitions {
			r.Partitions, r.topics = append(r.Partitions, p), append(r.topics, id)
		}
	}
	return rows.Err()
}

func (a *Account) add(b Account) {
	a.Offsets += b.Offsets
	a.Stored += b.Stored
	a.Duplicates += b.Duplicates
	a.DeadLettered += b.DeadLettered
	a.Absent += b.Absent
}

// run adds what one check finds. All checks have the same columns.
func (r *Reconciliation) run(ctx context.Context, tx pgx.Tx, sql string) error {
	rows, err := tx.Query(ctx, discrepanciesSQL+`(`+sql+`) AS found (what, topic, partition, first, next, batch, position, expected, found, detail)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n >= maxDiscrepancies {
			r.Unlisted++
			continue
		}
		var (
			d               Discrepancy
			topic, detail   *string
			expected, found *string
		)
		if err := rows.Scan(&d.Check, &topic, &d.Partition, &d.From, &d.To, &d.Batch, &d.Position,
			&expected, &found, &detail); err != nil {
			return err
		}
		if topic != nil {
			d.Topic = *topic
		}
		if detail != nil {
			d.Detail = *detail
		}
		d.Expected, d.Found = number(expected), number(found)
		r.Discrepancies = append(r.Discrepancies, d)
	}
	return rows.Err()
}

// number returns a column's text as an int64 if it is one, and "nothing" for NULL.
func number(text *string) any {
	if text == nil {
		return "nothing"
	}
	if n, err := strconv.ParseInt(*text, 10, 64); err == nil {
		return n
	}
	return *text
}
