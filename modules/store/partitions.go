package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
)

// months remembers for which months the partitions of a table exist.
type months struct {
	mu    sync.Mutex
	known map[int]bool // year*12 + month, from 2000-01 on; all earlier months are one
}

func newMonths() *months { return &months{known: make(map[int]bool)} }

// firstMonth stands for all time before 2000, which is one partition.
const firstMonth = 1999*12 + 11

func monthOf(t time.Time) int { return max(t.Year()*12+int(t.Month())-1, firstMonth) }

// ensure makes the partitions of events that these need, in transactions of their own. An append that made one would
// block all reads until it commits.
func (m *months) ensure(ctx context.Context, pool *pgxpool.Pool, events []protect.Sealed) error {
	for _, month := range m.unknown(events) {
		if err := ensureMonth(ctx, pool, "events", time.Date(month/12, time.Month(month%12+1), 1, 0, 0, 0, 0, time.UTC)); err != nil {
			return err
		}
		m.add(month)
	}
	return nil
}

func (m *months) has(month int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[month]
}

func (m *months) add(month int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[month] = true
}

func (m *months) unknown(events []protect.Sealed) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []int
	seen := make(map[int]bool)
	for i := range events {
		if month := monthOf(events[i].Event().Timestamp); !m.known[month] && !seen[month] {
			seen[month] = true
			missing = append(missing, month)
		}
	}
	return missing
}

func (m *months) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.known)
}
