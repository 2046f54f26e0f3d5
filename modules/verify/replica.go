package verify

import (
	"context"
	"slices"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// DefaultReplicaWait is how long a replica may take to reach what was signed, unless Options say another.
const DefaultReplicaWait = time.Minute

// A replica shows its primary as it was a moment ago, and so less than the notary's state file remembers,
// which was read before. That is no history that was put back. So a snapshot of a replica is taken anew
// until it has all that was signed. Only the server says that it is a replica: one that lies is waited for
// in vain.

// openSnapshot opens what is to be verified.
func (r *run) openSnapshot(ctx context.Context) (*store.Snapshot, error) {
	end := time.Now().Add(r.opts.ReplicaWait)
	for {
		s, err := store.OpenSnapshot(ctx, r.opts.Workers, r.opts.Connect)
		if err != nil {
			return nil, err
		}
		if r.behind, err = r.isBehind(ctx, s.Views()[0]); err == nil && (!r.behind || !time.Now().Before(end)) {
			return s, nil
		}
		_ = s.Close() // nothing was written
		if err != nil {
			return nil, err
		}
		r.progress.phase("waiting for the replica to catch up")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(time.Second, time.Until(end))):
		}
	}
}

// isBehind says whether the server is a replica that lacks entries which were signed, or checkpoints that were
// kept. Nothing is read through what is no table: that is for schema to report.
func (r *run) isBehind(ctx context.Context, v *store.View) (bool, error) {
	replica, err := v.Replica(ctx)
	if err != nil || !replica {
		return false, passable(err)
	}
	if _, replaced, err := v.OddTables(ctx); err != nil || replaced {
		return false, passable(err)
	}
	for _, log := range ledger.Logs() {
		entries, kept, err := v.Sizes(ctx, log)
		if err != nil {
			return false, passable(err)
		}
		if slices.ContainsFunc(r.outside[log], func(o outside) bool { return entries < o.size || kept < o.previous }) {
			return true, nil
		}
	}
	return false, nil
}

// orBehind is another cause of what is missing, where there is one.
func (r *run) orBehind() string {
	if !r.behind {
		return ""
	}
	return "; or this server, a replica, is that far behind its primary"
}
