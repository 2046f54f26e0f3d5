package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// model is the plainest thing that an append could be: a map and a list.
type model struct {
	content map[string]int // event id to the total that took it
	next    map[int]int64  // partition to next offset
	stored  int
}

// append judges a batch as Append must.
func (m *model) append(b store.Batch, totals map[event.Coordinates]int) store.Receipt {
	want := store.Receipt{First: -1, DeadLettered: len(b.Rejected)}
	for _, e := range b.Events {
		id, total := e.Event().ID.String(), totals[e.Raw().Coordinates]
		switch holder, taken := m.content[id]; {
		case !taken:
			m.content[id] = total
			if want.First < 0 {
				want.First = int64(m.stored)
			}
			want.Stored++
		case holder == total:
			want.Duplicates++
		default:
			want.Conflicts++
			want.DeadLettered++
		}
	}
	m.stored += want.Stored
	for _, r := range b.Ranges {
		m.next[int(r.Number)] = r.To
	}
	return want
}

// TestAppendAgainstAModel: any sequence of batches over any partitions, with repeats, conflicts, rejects
// and absent offsets, has the outcome of the model; sent again it has none.
func TestAppendAgainstAModel(t *testing.T) {
	t.Parallel()
	// All checks go on in one store: its ids and offsets only ever grow, as in life.
	s := newStore(t)
	const partitions = 3
	s.begin(t, partitions)
	m := model{content: make(map[string]int), next: make(map[int]int64)}
	fresh := 0
	rapid.Check(t, func(rt *rapid.T) {
		fresh += 20
		for range rapid.IntRange(1, 6).Draw(rt, "batches") {
			b, totals := drawBatch(rt, t, m.next, partitions, fresh)
			if len(b.Ranges) == 0 {
				continue
			}
			want := m.append(b, totals)
			got, err := s.Append(t.Context(), b)
			require.NoError(t, err)
			outcomes := got.Outcomes
			require.Len(t, outcomes, len(b.Ranges))
			got.Outcomes = nil
			require.Equal(t, want, got)

			again, err := s.Append(t.Context(), b)
			require.NoError(t, err)
			require.Len(t, again.Already, len(b.Ranges))
			require.Zero(t, again.Stored+again.Duplicates+again.DeadLettered)
			require.ElementsMatch(t, outcomes, again.Outcomes, "what became of it is still known")
		}
	})
	require.Equal(t, m.stored, s.count(t, `SELECT count(*) FROM events`))
	s.balance(t)
}

// drawBatch draws up to 12 offsets of each partition, few ids (new and old ones) and fewer contents.
func drawBatch(rt *rapid.T, t *testing.T, next map[int]int64, partitions, fresh int) (store.Batch, map[event.Coordinates]int) {
	from, to := make(map[int]int64), make(map[int]int64)
	totals := make(map[event.Coordinates]int)
	var records []event.Raw
	for p := range partitions {
		n := rapid.IntRange(0, 12).Draw(rt, "offsets")
		if n == 0 {
			continue
		}
		from[p], to[p] = next[p], next[p]+int64(n)
		for offset := from[p]; offset < to[p]; offset++ {
			switch kind := rapid.IntRange(0, 9).Draw(rt, "kind"); kind {
			case 0: // absent
			case 1:
				records = append(records, raw(p, offset, `not an event`))
			default:
				total := rapid.IntRange(0, 1).Draw(rt, "total")
				r := record(p, offset, id(max(1, fresh-rapid.IntRange(-20, 20).Draw(rt, "id"))), total)
				totals[r.Coordinates] = total
				records = append(records, r)
			}
		}
	}
	return batch(t, from, to, records...), totals
}
