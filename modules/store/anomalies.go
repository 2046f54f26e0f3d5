package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/errs"
)

// Anomaly is something unusual, with what shows it.
type Anomaly struct {
	ID, Kind, Subject            string
	Detail                       string // what was expected, and what was there, for people
	StartedAt, DetectedAt        time.Time
	Observed, Expected, Distance float64
	State                        string // open, acknowledged or resolved
	DecidedAt                    *time.Time
	DecidedBy, Reason            *string
	Evidence                     Evidence
}

// Evidence is what shows an anomaly: an excerpt, where there is much.
type Evidence struct {
	Events      []EvidenceEvent `json:"events,omitempty"`
	Access      []int64         `json:"access,omitempty"`      // positions in the access log
	DeadLetters []string        `json:"deadLetters,omitempty"` // their ids

	// Kinds are of all events that the numbers come from, also of those in the past. None: nobody knows.
	Kinds []EventKind `json:"kinds,omitempty"`
}

// EventKind is what decides who may see an event.
type EventKind struct {
	EventType     string  `json:"eventType"`
	AggregateType string  `json:"aggregateType"`
	Source        *string `json:"source"`
}

// EvidenceEvent names an event, with what decides who may see it.
type EvidenceEvent struct {
	EventID       string  `json:"eventId"`
	EventType     string  `json:"eventType"`
	AggregateType string  `json:"aggregateType"`
	AggregateID   string  `json:"aggregateId"`
	Source        *string `json:"source"`
	Timestamp     string  `json:"timestamp"`
}

// IsOfAccess reports whether the anomaly comes from the access log.
func (a *Anomaly) IsOfAccess() bool { return len(a.Evidence.Access) > 0 }

// Kind is what decides who may see the event.
func (e *EvidenceEvent) Kind() EventKind { return EventKind{e.EventType, e.AggregateType, e.Source} }

func (s Scope) shows(k EventKind) bool {
	if k.Source == nil {
		return s.Shows(k.EventType, k.AggregateType, "", false)
	}
	return s.Shows(k.EventType, k.AggregateType, *k.Source, true)
}

// shown reports whether a reader may see the anomaly: all of its evidence, and all that its numbers come from, since an
// excerpt says nothing of what it leaves out. Dead letters are within no scope.
func (a *Anomaly) shown(visible scopes, access bool) bool {
	if a.IsOfAccess() && !access {
		return false
	}
	for _, s := range visible {
		if s.everything {
			continue
		}
		if len(a.Evidence.DeadLetters) > 0 || len(a.Evidence.Events) == 0 || len(a.Evidence.Kinds) == 0 {
			return false
		}
		isHidden := func(k EventKind) bool { return !s.shows(k) }
		if slices.ContainsFunc(a.Evidence.Kinds, isHidden) ||
			slices.ContainsFunc(a.Evidence.Events, func(e EvidenceEvent) bool { return isHidden(e.Kind()) }) {
			return false
		}
	}
	return true
}

// AnomalyFilter selects anomalies; zero fields do not filter.
type AnomalyFilter struct {
	Kind, State string
	From, To    time.Time
	Limit       int
	Access      bool // the reader may see those of the access log
}

// anomalyColumns are what scanAnomaly reads.
const anomalyColumns = `id, kind, subject, detail, started_at, detected_at, observed, expected, distance, state, decided_at, decided_by, reason, evidence`

func scanAnomaly(row pgx.CollectableRow) (Anomaly, error) {
	var (
		a        Anomaly
		evidence []byte
	)
	err := row.Scan(&a.ID, &a.Kind, &a.Subject, &a.Detail, &a.StartedAt, &a.DetectedAt, &a.Observed, &a.Expected, &a.Distance,
		&a.State, &a.DecidedAt, &a.DecidedBy, &a.Reason, &evidence)
	if err == nil {
		err = json.Unmarshal(evidence, &a.Evidence)
	}
	a.StartedAt, a.DetectedAt = utc(a.StartedAt), utc(a.DetectedAt)
	return a, err
}

var errNoAnomaly = errs.New(errs.NotFound, "not_found", "there is no anomaly with this id")

// Anomalies returns the anomalies that fit, the latest first. It uses anomalies_started.
func (r *Reader) Anomalies(ctx context.Context, f AnomalyFilter) (found []Anomaly, err error) {
	c := &conditions{}
	c.addText("kind = %s", f.Kind)
	c.addText("state = %s", f.State)
	if !f.From.IsZero() {
		c.add("started_at >= %s", f.From)
	}
	if !f.To.IsZero() {
		c.add("started_at < %s", f.To)
	}
	err = r.read(ctx, "read anomalies", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT "+anomalyColumns+" FROM anomalies WHERE "+c.sql()+" ORDER BY started_at DESC, id", append([]any{pgx.QueryExecModeExec}, c.args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() && len(found) < f.Limit {
			a, err := scanAnomaly(rows)
			if err != nil {
				return err
			}
			if a.shown(scopesOf(ctx), f.Access) {
				found = append(found, a)
			}
		}
		rows.Close()
		return rows.Err()
	})
	return found, err
}

// Anomaly returns one anomaly. To a reader who may not see all of its evidence there is none.
func (r *Reader) Anomaly(ctx context.Context, id string, access bool) (a Anomaly, err error) {
	err = r.read(withoutSeat(ctx), "read anomaly", func(ctx context.Context, conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, "SELECT "+anomalyColumns+" FROM anomalies WHERE id = $1", id) // CollectExactlyOneRow reports the error
		a, err = pgx.CollectExactlyOneRow(rows, scanAnomaly)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && !a.shown(scopesOf(ctx), access) {
			return errNoAnomaly
		}
		return err
	})
	return a, err
}

// decideSQL lets nobody take a decision back: what is resolved stays so.
const decideSQL = `UPDATE anomalies SET state = $2, decided_at = now(), decided_by = $3, reason = $4 WHERE id = $1 AND state <> 'resolved'`

// DecideAnomaly sets an anomaly's state, with who and why. It fails with Conflict where it is resolved already. The
// caller MUST have looked whether the decider may see it.
func (r *Reader) DecideAnomaly(ctx context.Context, id, state, by, reason string) error {
	return r.read(withoutSeat(ctx), "decide on an anomaly", func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, decideSQL, id, state, by, reason)
		if err == nil && tag.RowsAffected() == 0 {
			err = errs.New(errs.Conflict, "anomaly_resolved", "the anomaly is resolved already")
		}
		return err
	})
}

const addAnomalySQL = `INSERT INTO anomalies (id, kind, subject, detail, started_at, observed, expected, distance, evidence)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`

// AddAnomalies stores findings, and returns those that are new.
func (a *Analytics) AddAnomalies(ctx context.Context, found []Anomaly) (added []Anomaly, err error) {
	for _, one := range found {
		evidence, err := json.Marshal(one.Evidence)
		if err != nil {
			return added, err
		}
		tag, err := a.conn.Exec(ctx, addAnomalySQL, one.ID, one.Kind, one.Subject, one.Detail, one.StartedAt, one.Observed, one.Expected, one.Distance, evidence)
		if err != nil {
			return added, fmt.Errorf("store an anomaly: %w", err)
		}
		if tag.RowsAffected() == 1 {
			added = append(added, one)
		}
	}
	return added, nil
}

// It uses anomalies_open.
const openAnomaliesSQL = `SELECT kind, count(*) FROM anomalies WHERE state = 'open' GROUP BY kind`

// OpenAnomalies returns how many anomalies of each kind nobody has acknowledged or resolved.
func (a *Analytics) OpenAnomalies(ctx context.Context) (map[string]int64, error) {
	open := map[string]int64{}
	var kind string
	var n int64
	rows, _ := a.conn.Query(ctx, openAnomaliesSQL) // ForEachRow reports the error
	if _, err := pgx.ForEachRow(rows, []any{&kind, &n}, func() error { open[kind] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count open anomalies: %w", err)
	}
	return open, nil
}
