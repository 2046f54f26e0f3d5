package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/protect"
)

const (
	// listenShreddedSQL listens to what destroy_subject_keys says (migrations/0015).
	listenShreddedSQL = `LISTEN audittrail_shredded`

	heartbeatEvery   = 2 * time.Second
	heartbeatTimeout = 3 * time.Second
)

// Listen tells of keys that are destroyed, by whatever process. It asks the server for a sign of life every few seconds:
// a server that answers has sent all that was announced before. It ends, always with an error, when ctx is cancelled or
// the connection is lost. The connection is taken out of the pool for good.
func (k *Keys) Listen(ctx context.Context, to protect.Announcements) error {
	return listening(ctx, k.pool, "listen for destroyed keys", listenShreddedSQL, func(conn *pgx.Conn) error {
		to.Destroyed() // what was destroyed before was not heard
		for {
			asked := time.Now()
			if err := heartbeat(ctx, conn); err != nil {
				return err
			}
			to.Heard(asked)
			if err := hearUntil(ctx, conn, asked.Add(heartbeatEvery), to.Destroyed); err != nil {
				return err
			}
		}
	})
}

func heartbeat(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// hearUntil calls heard for each notification until a moment.
func hearUntil(ctx context.Context, conn *pgx.Conn, until time.Time, heard func()) error {
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for {
		_, err := conn.WaitForNotification(bounded)
		switch {
		case err == nil:
			heard()
		case ctx.Err() == nil && bounded.Err() != nil && !conn.IsClosed():
			return nil
		default:
			return err
		}
	}
}
