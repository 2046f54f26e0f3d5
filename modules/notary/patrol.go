package notary

import (
	"context"
	"fmt"
	"slices"
	"time"

	"audittrail/modules/ledger"
)

const (
	// patrolStep is how many leaves one step of a patrol hashes again: half a megabyte, some milliseconds.
	// So a log of 10 million entries is patrolled in ten minutes, a billion in 17 hours.
	patrolStep = 16_384

	// patrolLap is the least time between the starts of two patrols.
	patrolLap = time.Minute
)

// patrol recomputes the log from its first leaf to a checkpoint, slowly, and compares all stored tiles on
// the way: signing looks at the right edge only, so a change far behind it would stay unseen. (That the
// leaves are those of the events is `audittrail verify --database`'s matter.) It is the process's, not a
// term's: what it has found outlives a lost session, and so does how far it is, unless somebody else leads then.
type patrol struct {
	began  time.Time // of this patrol, or of the last one while none is under way
	target head      // the checkpoint that it goes to; of size 0 while none is under way
	at     frontier
	found  error        // what this patrol has found so far
	first  ledger.Range // the first entries over which a stored hash is another
	fault  error        // a refusal: what is wrong, as far as is known. A patrol that finds nothing ends it
}

// step goes on a little. done tells that a patrol has ended and found the log right.
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

// rest leaves a patrol that is under way, and lets the next one begin at once. What was found stays: whoever
// ends a session must not end a refusal.
func (p *patrol) rest() { p.target, p.began = head{}, time.Time{} }

// forward hashes the next leaves, and compares the tiles over them. It goes on only when both is done.
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
			if n < len(stored[i]) && stored[i][n] != h { // what is not stored is computed when it is asked for
				p.misfit(l.log, id, n)
			}
		}
	}
	return nil
}

// misfit notes that a stored hash is not that of the leaves below it. Of several, the one that ends first and
// is narrowest tells most: hashes further up are over the same entries and more.
func (p *patrol) misfit(log ledger.Log, id ledger.TileID, n int) {
	height := ledger.TileHeight * id.Level
	from := (id.Index*ledger.TileWidth + int64(n)) << height
	to := from + 1<<height
	if p.first.To == 0 || to < p.first.To || to == p.first.To && from > p.first.From {
		p.first = ledger.Range{From: from, To: to}
	}
	p.found = refuse(log, tiles, "its leaves and its tiles don't fit each other%s", p.where())
	p.fault = p.found
}

// where names the entries among which the first difference lies, as far as tiles tell it.
func (p *patrol) where() string {
	if p.first.To == 0 {
		return ""
	}
	return fmt.Sprintf("; the first difference is among the entries %d to %d", p.first.From, p.first.To-1)
}
