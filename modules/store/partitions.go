package store

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
)

// months makes the partitions of a table, and remembers for which months they exist.
type months struct {
	parent string // the table

	mu    sync.Mutex
	known map[int]bool // year*12 + month, from 2000-01 on; all earlier months are one
}

func newMonths(parent string) *months { return &months{parent: parent, known: make(map[int]bool)} }

// firstMonth stands for all time before 2000, which is one partition.
const firstMonth = 1999*12 + 11

func monthOf(t time.Time) int { return max(t.Year()*12+int(t.Month())-1, firstMonth) }

// firstDay is a month's first moment.
func firstDay(month int) time.Time {
	return time.Date(month/12, time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC)
}

// ensure makes the partitions for these times, in transactions of their own. An append that made one would block all
// reads until it commits.
func (m *months) ensure(ctx context.Context, pool *pgxpool.Pool, times iter.Seq[time.Time]) error {
	for _, month := range m.unknown(times) {
		if err := ensureMonth(ctx, pool, m.parent, firstDay(month)); err != nil {
			return err
		}
		m.mu.Lock()
		m.known[month] = true
		m.mu.Unlock()
	}
	return nil
}

func (m *months) unknown(times iter.Seq[time.Time]) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []int
	seen := make(map[int]bool)
	for t := range times {
		if month := monthOf(t); !m.known[month] && !seen[month] {
			seen[month] = true
			missing = append(missing, month)
		}
	}
	return missing
}

// timesOf are the events' timestamps.
func timesOf(events []protect.Sealed) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for i := range events {
			if !yield(events[i].Event().Timestamp) {
				return
			}
		}
	}
}

func (m *months) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
}
