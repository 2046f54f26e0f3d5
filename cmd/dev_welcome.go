package cmd

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/files"
)

// bannerWait is how long the banner waits for the first event.
const bannerWait = time.Second

// headInterval is between two looks for the first event; later ones are further apart.
const headInterval = 50 * time.Millisecond

// readHead notes where history ends before this start, so that the first new event is known.
func (d *dev) readHead(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, d.cfg.Postgres.URL)
	if err != nil {
		return err
	}
	defer pool.Close()
	d.head, err = store.NewReader(store.ReaderOptions{Pool: pool}).Head(ctx)
	return err
}

// welcome says what is where once the listeners are up, and then when the first event was stored.
func (d *dev) welcome(ctx context.Context, listening <-chan listener) error {
	up := map[string]string{}
	for missing := d.listeners(); missing > 0; missing-- {
		select {
		case <-ctx.Done():
			return nil
		case l := <-listening:
			up[l.name] = reachable(l.addr.String())
		}
	}
	if err := d.shareURL(); err != nil {
		return err
	}
	// The banner comes with the first event, or soon: behind what the roles log while they start.
	soon, cancel := context.WithTimeout(ctx, bannerWait)
	defer cancel()
	first, err := d.awaitFirst(soon)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(d.out, d.banner(up)); err != nil {
		return err
	}
	if first == nil {
		if first, err = d.awaitFirst(ctx); err != nil || first == nil {
			return err
		}
	}
	_, err = fmt.Fprint(d.out, d.firstEvent(up["api"], first))
	return err
}

// reachable turns an address that stands for all of this machine's into one that can be asked.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// listeners is how many app.Run will tell of.
func (d *dev) listeners() int {
	if slices.Contains(d.cfg.Roles, "api") {
		return 2
	}
	return 1
}

// shareURL lets the commands that work on the database find the embedded one; the URL holds a password.
func (d *dev) shareURL() error {
	if d.postgres == nil {
		return nil
	}
	return files.Write(d.folder.Path(partPostgresURL), []byte(d.cfg.Postgres.URL+"\n"), 0o600)
}

// awaitFirst waits for the first event beyond what was stored before; nil where ctx ends first.
func (d *dev) awaitFirst(ctx context.Context) (*event.Stored, error) {
	pool, err := pgxpool.New(ctx, d.cfg.Postgres.URL)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	reader := store.NewReader(store.ReaderOptions{Pool: pool})
	for wait := headInterval; ; wait = min(wait*21/20, time.Second) {
		page, err := reader.Feed(ctx, d.head, 1)
		if err == nil && len(page.Items) > 0 {
			return &page.Items[0], nil
		}
		// An error is the roles' to report: they use the same database all the time.
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, nil
		case <-timer.C:
		}
	}
}
