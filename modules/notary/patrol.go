package notary

import (
	"context"
	"fmt"
	"slices"
	"time"

	"audittrail/modules/ledger"
)

const (
	// patrolStep is how many leaves one step of a patrol hashes: half a megabyte, in some milliseconds. A patrol
	// of 10 million entries takes ten minutes, of a billion 17 hours.
	patrolStep = 16_384

	// patrolLap is the least time between the starts of two patrols.
	patrolLap = time.Minute
)

// patrol slowly recomputes the log from its first leaf to a checkpoint, and compares all stored tiles on the way.
// Signing reads only the right edge of the tree, so it would not notice a change further left. (`audittrail
// verify --database` checks that the leaves are those of the events.) A patrol belongs to the process, not to a
// term: what it has found survives a lost session, and so does its progress, unless another process leads.
type patrol struct {
	began  time.Time // of this patrol, or of the last one if none is running
	target head      // the checkpoint that it goes to; of size 0 if none is running
	at     frontier
	found  error        // what this patrol has found so far
	first  ledger.Range // the first entries over which a stored hash differs
	fault  error        // the current refusal, from this or the last patrol; a patrol that finds nothing ends it
}

// step goes on by patrolStep leaves. done is true if a patrol has ended and found nothing.
func (p *patrol) step(ctx context.Context, l *watched, now time.Time, lap time.Duration) (done bool, err error) {
	if p.target.Size == 0 {
		if l.head.Size == 0 || now.Sub(p.began) < lap {
			return false, p.fault
		}
		*p = patrol{began: now, target: l.head, fault: p.fault}
	}
	if err := p.forward(ctx, l); err != nil {
		if err = asRefusal(l.log, err); !refused(err) {
			return false, err
		}
		p.found, p.fault = err, err
		p.target = head{} // what follows can't be computed
		return false, p.fault
	}
	if p.at.size < p.target.Size {
		return false, p.fault
	}
	if root := p.at.root(); root != p.target.Root {
		p.found = refuse(l.log, forked, "recomputed from its leaves it has the root %s at %d entries, but %s was signed%s", root, p.target.Size, p.target.Root, p.where())
	}
	p.target, p.fault = head{}, p.found
	return p.fault == nil, p.fault
}

// abandon ends a running patrol, and lets the next one begin at once. The fault stays: a lost session must not end a
// refusal.
func (p *patrol) abandon() { p.target, p.began = head{}, time.Time{} }

// forward hashes the next leaves and compares the tiles over them. Its progress counts only if both succeed.
func (p *patrol) forward(ctx context.Context, l *watched) error {
	made := map[ledger.TileID]map[int]ledger.Hash{}
	at := frontier{size: p.at.size, nodes: slices.Clone(p.at.nodes)}
	err := at.extend(ctx, l.rows, min(p.target.Size, at.size+patrolStep), func(level int, index int64, h ledger.Hash) {
		id := ledger.TileID{Level: level, Index: index / ledger.TileWidth}
		if made[id] == nil {
			made[id] = make(map[int]ledger.Hash)
		}
		made[id][int(index%ledger.TileWidth)] = h
	})
	if err != nil {
		return err
	}
	if len(made) == 0 {
		p.at = at
		return nil
	}
	ids := make([]ledger.TileID, 0, len(made))
	for id := range made {
		ids = append(ids, id)
	}
	stored, err := l.rows.Tiles(ctx, ids)
	if err != nil {
		return err
	}
	p.at = at
	for i, id := range ids {
		for n, h := range made[id] {
			if n < len(stored[i]) && stored[i][n] != h { // hashes that are not stored are computed on demand
				p.misfit(l.log, id, n)
			}
		}
	}
	return nil
}

// misfit notes that a stored hash is not that of its leaves. Of several such hashes it keeps the one that ends
// first and covers the fewest entries: hashes of higher levels cover the same entries and more.
func (p *patrol) misfit(log ledger.Log, id ledger.TileID, n int) {
	height := ledger.TileHeight * id.Level
	from := (id.Index*ledger.TileWidth + int64(n)) << height
	to := from + 1<<height
	if p.first.To == 0 || to < p.first.To || to == p.first.To && from > p.first.From {
		p.first = ledger.Range{From: from, To: to}
	}
	p.found = refuse(log, tiles, "its leaves and its tiles do not fit each other%s", p.where())
	p.fault = p.found
}

// where names the entries that hold the first difference, as far as tiles show it.
func (p *patrol) where() string {
	if p.first.To == 0 {
		return ""
	}
	return fmt.Sprintf("; the first difference is among the entries %d to %d", p.first.From, p.first.To-1)
}
