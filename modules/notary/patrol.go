package notary

import (
	"context"
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
// leaves are those of the events is `audittrail verify --database`'s matter.)
type patrol struct {
	lap    time.Duration
	began  time.Time // of this patrol, or of the last one while none is under way
	target head      // the checkpoint that it goes to; of size 0 while none is under way
	at     frontier
	found  error // what this patrol has found so far
	fault  error // a refusal: what is wrong, as far as is known. A patrol that finds nothing ends it
}

// step goes on a little. done tells that a patrol has ended and found the log right.
func (p *patrol) step(ctx context.Context, l *logTerm, now time.Time) (done bool, err error) {
	if p.target.Size == 0 {
		if l.head.Size == 0 || now.Sub(p.began) < p.lap {
			return false, p.fault
		}
		p.began, p.target, p.at, p.found = now, l.head, frontier{}, nil
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
		p.found = refuse(l.log, forked, "recomputed from its leaves it has the root %s at %d entries, but %s was signed", root, p.target.Size, p.target.Root)
	}
	p.target, p.fault = head{}, p.found
	return p.fault == nil, p.fault
}

// forward hashes the next leaves, and compares the tiles over them.
func (p *patrol) forward(ctx context.Context, l *logTerm) error {
	made := map[ledger.TileID]map[int]ledger.Hash{}
	err := p.at.extend(ctx, l.rows, min(p.target.Size, p.at.size+patrolStep), func(level int, index int64, h ledger.Hash) {
		id := ledger.TileID{Level: level, Index: index / ledger.TileWidth}
		if made[id] == nil {
			made[id] = make(map[int]ledger.Hash)
		}
		made[id][int(index%ledger.TileWidth)] = h
	})
	if err != nil || len(made) == 0 {
		return err
	}
	ids := make([]ledger.TileID, 0, len(made))
	for id := range made {
		ids = append(ids, id)
	}
	stored, err := l.rows.Tiles(ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		for n, h := range made[id] {
			if n < len(stored[i]) && stored[i][n] != h { // what is not stored is computed when it is asked for
				p.found = refuse(l.log, tiles, "hash %d of the tile %d of level %d does not fit the leaves below it", n, id.Index, id.Level)
				p.fault = p.found
			}
		}
	}
	return nil
}
