package app

import (
	"context"
	"net"
	"sync/atomic"

	"audittrail/platform/httpserver"
	"audittrail/platform/lifecycle"
)

// adminRole is the operators' port as the first member of the group: it is there before any role starts
// and until the last one has stopped, and its failure ends the program. It is no role that anybody
// could choose.
type adminRole struct{ *httpserver.Admin }

func (adminRole) Name() string { return "admin" }

func (a adminRole) Run(ctx context.Context, ready func()) error {
	ready()
	return a.Serve(ctx)
}

func (adminRole) Health(context.Context) error { return nil }

// listeners counts the ones that are not up yet, for /startupz, and tells the caller of Run about each.
type listeners struct {
	missing atomic.Int32
	tell    func(name string, addr net.Addr)
}

func (l *listeners) up(name string, addr net.Addr) {
	l.missing.Add(-1)
	if l.tell != nil {
		l.tell(name, addr)
	}
}

func (l *listeners) allUp() bool { return l.missing.Load() <= 0 }

// withoutAdmin is the status of the roles that were chosen.
func withoutAdmin(all []lifecycle.Status) []lifecycle.Status { return all[1:] }
