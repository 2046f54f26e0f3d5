// Package access says who may do what: permissions, the roles that hold them, and which events a role shows
// (role-based access control), and it keeps the log of who looked at what.
//
// It knows nothing of HTTP and tokens: package httpapi asks it before a handler runs, and readers in package store
// keep to the scope that it gives.
package access

import (
	"context"
	"slices"

	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// Permission is a thing that a caller may do.
type Permission string

// The permissions.
const (
	EventsRead       Permission = "events:read"      // search, by id, aggregates, state, diff, traces, feed
	ProofsRead       Permission = "proofs:read"      // evidence, and the ledger's paths
	Export           Permission = "export"           // whole results
	AnalyticsRead    Permission = "analytics:read"   // counts and anomalies
	AnalyticsWrite   Permission = "analytics:write"  // acknowledge and resolve anomalies
	PIIRead          Permission = "pii:read"         // open sealed values, search on them; dead letters' values
	AccessRead       Permission = "access:read"      // who looked at what
	IngestRead       Permission = "ingest:read"      // the accounting of every partition
	DeadLettersRead  Permission = "deadletters:read" // what could not become an event
	DeadLettersWrite Permission = "deadletters:write"
	DeadLettersEdit  Permission = "deadletters:edit" // redrive with another value
	ReplayRead       Permission = "replay:read"
	ReplayWrite      Permission = "replay:write"
	SubjectsShred    Permission = "subjects:shred" // erase a person's data
	HoldsWrite       Permission = "holds:write"    // legal holds
)

// None is what an operation declares that wants a valid token alone, or not even that.
const None Permission = "none"

// Permissions returns all permissions, in the order of their description.
func Permissions() []Permission {
	return []Permission{
		EventsRead, ProofsRead, Export, AnalyticsRead, AnalyticsWrite, PIIRead, AccessRead, IngestRead, DeadLettersRead,
		DeadLettersWrite, DeadLettersEdit, ReplayRead, ReplayWrite, SubjectsShred, HoldsWrite,
	}
}

// unscopable are permissions over what no scope divides.
func unscopable() []Permission {
	return []Permission{AccessRead, IngestRead, SubjectsShred, HoldsWrite}
}

// Grant is what one caller may do. The zero value is nothing.
type Grant struct {
	roles  []string
	scopes map[Permission]store.Scope // of each permission that the caller has
}

// Roles are the caller's roles that the configuration knows, in order.
func (g Grant) Roles() []string { return slices.Clone(g.roles) }

// Has reports whether the caller has a permission.
func (g Grant) Has(p Permission) bool {
	_, ok := g.scopes[p]
	return ok
}

// Scope is which events a permission is for; none where the caller lacks it.
func (g Grant) Scope(p Permission) store.Scope { return g.scopes[p] }

// Permissions are the caller's permissions, in the order of [Permissions].
func (g Grant) Permissions() []Permission {
	return slices.DeleteFunc(Permissions(), func(p Permission) bool { return !g.Has(p) })
}

type grantKey struct{}

// WithGrant returns a context that carries what its caller may do.
func WithGrant(ctx context.Context, g Grant) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// GrantOf returns what the caller of a request may do: nothing where nobody said.
func GrantOf(ctx context.Context) Grant {
	g, _ := ctx.Value(grantKey{}).(Grant)
	return g
}

// Require returns a context whose reads see what the caller may see by a permission, or an error where the caller
// lacks it.
func Require(ctx context.Context, p Permission) (context.Context, error) {
	g := GrantOf(ctx)
	if !g.Has(p) {
		return nil, errs.New(errs.Forbidden, "forbidden", "this wants the permission %s, which none of your roles has", p)
	}
	return store.WithScope(ctx, g.Scope(p)), nil
}
