package dev

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/files"
)

// bannerWait is how long the banner waits for the first event.
const bannerWait = time.Second

// headInterval is between two looks for the first event; later ones are further apart.
const headInterval = 50 * time.Millisecond

// welcome says what is where once the listeners are up, and then when the first event was stored.
func (s *stack) welcome(ctx context.Context, listening <-chan listener) error {
	up := map[string]string{}
	for missing := s.listeners(); missing > 0; missing-- {
		select {
		case <-ctx.Done():
			return nil
		case l := <-listening:
			up[l.name] = reachable(l.addr.String())
		}
	}
	if err := s.shareURL(); err != nil {
		return err
	}
	// The banner comes with the first event, or soon: behind what the roles log while they start.
	soon, cancel := context.WithTimeout(ctx, bannerWait)
	defer cancel()
	first := s.awaitFirst(soon)
	if _, err := fmt.Fprint(s.Out, s.banner(up)); err != nil {
		return err
	}
	if first == nil {
		first = s.awaitFirst(ctx)
	}
	if first == nil {
		return nil
	}
	_, err := fmt.Fprint(s.Out, s.firstEvent(up["api"], first))
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
func (s *stack) listeners() int {
	if slices.Contains(s.Config.Roles, "api") {
		return 2
	}
	return 1
}

// shareURL lets the commands that work on the database find the embedded one; the URL holds a password.
func (s *stack) shareURL() error {
	if s.postgres == nil {
		return nil
	}
	return files.Write(s.folder.Path(partPostgresURL), []byte(s.Config.Postgres.URL+"\n"), 0o600)
}

// awaitFirst waits for the first event beyond what was stored before; nil where ctx ends first.
func (s *stack) awaitFirst(ctx context.Context) *event.Stored {
	reader := store.NewReader(store.ReaderOptions{Pool: s.db})
	for wait := headInterval; ; wait = min(wait*21/20, time.Second) {
		page, err := reader.Feed(ctx, store.Filter{}, s.head, 1)
		if err == nil && len(page.Items) > 0 {
			return &page.Items[0]
		}
		// An error is the roles' to report: they use the same database all the time.
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
