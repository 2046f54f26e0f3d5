package app

import (
	"context"
	"log/slog"
	"time"

	"audittrail/platform/postgres"
)

// Connections returns how many connections to the database of postgres.url a process with this configuration may have at
// once: its roles', and the one that asks whether the schema fits.
func (c Config) Connections() int {
	n := 1
	for _, r := range chosen(c) {
		n += r.connections(c)
	}
	return n
}

// warnRoom says, once PostgreSQL answers, whether it has fewer connections for the login than this process may need.
// Other processes need theirs beside them.
func (p *parts) warnRoom(ctx context.Context) {
	for timer := time.NewTimer(0); ; timer.Reset(gateInterval) {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		room, err := p.room(ctx)
		if err != nil {
			continue // the gate says why
		}
		if need := p.cfg.Connections(); room < need {
			p.log.WarnContext(ctx, "PostgreSQL has too few connections for this process: raise max_connections, or lower postgres.max_conns",
				slog.Int("needed", need), slog.Int("available", room))
		}
		return
	}
}

func (p *parts) room(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	return postgres.Room(ctx, p.probe)
}
