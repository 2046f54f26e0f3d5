package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"audittrail/modules/store"
	"audittrail/platform/config"
)

// Options are the keys below `access`.
type Options struct {
	Mode      string        `key:"mode" default:"strict" help:"strict: without an entry in the access log there is no answer, but a 503; best_effort: it is counted, and the answer leaves"`
	Roles     []RoleOptions `key:"roles" help:"adds to the built-in roles viewer, analyst, auditor, operator and admin, or replaces one of the same name: a list of {name, permissions, scope: {eventTypes, aggregateTypes, sources}}; a scope's lists hold names with * and ?, of each list one must fit"`
	Retention time.Duration `key:"retention" help:"not in effect yet. How long access entries are kept; 0: for ever"`
}

// What `access.mode` may be.
const (
	modeStrict     = "strict"
	modeBestEffort = "best_effort"
)

// RoleOptions are one role.
type RoleOptions struct {
	Name        string       `key:"name"`
	Permissions []string     `key:"permissions"`
	Scope       ScopeOptions `key:"scope"`
}

// ScopeOptions say which events a role shows; all where nothing is given.
type ScopeOptions struct {
	EventTypes     []string `key:"eventTypes"`
	AggregateTypes []string `key:"aggregateTypes"`
	Sources        []string `key:"sources"`
}

func (o ScopeOptions) scope() store.Scope {
	if len(o.EventTypes)+len(o.AggregateTypes)+len(o.Sources) == 0 {
		return store.Everything()
	}
	return store.Only(store.ScopePart(o))
}

// builtIn are the roles that there are without a configuration.
func builtIn() []RoleOptions {
	names := func(all ...Permission) []string {
		out := make([]string, len(all))
		for i, p := range all {
			out[i] = string(p)
		}
		return out
	}
	return []RoleOptions{
		{Name: "viewer", Permissions: names(EventsRead, ProofsRead)},
		{Name: "analyst", Permissions: names(EventsRead, Export, AnalyticsRead, AnalyticsWrite)},
		{Name: "auditor", Permissions: names(EventsRead, ProofsRead, Export, AnalyticsRead, PIIRead, AccessRead,
			IngestRead, DeadLettersRead, ReplayRead)},
		{Name: "operator", Permissions: names(EventsRead, IngestRead, DeadLettersRead, ReplayRead, DeadLettersWrite, ReplayWrite)},
		{Name: "admin", Permissions: names(Permissions()...)},
	}
}

// RoleNames are the roles that there are.
func (o Options) RoleNames() []string {
	return slices.Sorted(maps.Keys(NewPolicy(o).roles))
}

// Validate reports every key that can't work.
func (o Options) Validate() error {
	var errs []error
	if o.Mode != modeStrict && o.Mode != modeBestEffort {
		errs = append(errs, config.Invalid("mode", "must be strict or best_effort"))
	}
	seen := map[string]bool{}
	for i, r := range o.Roles {
		invalid := func(key, text string, args ...any) {
			errs = append(errs, config.Invalid(fmt.Sprintf("roles[%d].%s", i, key), text, args...))
		}
		if r.Name == "" {
			invalid("name", "must not be empty")
		}
		if seen[r.Name] {
			invalid("name", "is that of an earlier role in the list")
		}
		seen[r.Name] = true
		for j, name := range r.Permissions {
			p := Permission(name)
			switch {
			case !slices.Contains(Permissions(), p):
				invalid(fmt.Sprintf("permissions[%d]", j), "is no permission; there are: %v", Permissions())
			case slices.Contains(unscopable(), p) && !r.Scope.scope().IsEverything():
				invalid(fmt.Sprintf("permissions[%d]", j), "can't be scoped: give it to a role of its own, without a scope")
			}
		}
		checkGlobs := func(key string, globs []string) {
			switch {
			case globs != nil && len(globs) == 0: // nobody who writes it means everything
				invalid("scope."+key, "must not be empty: leave it out where it is to let all pass")
			case slices.Contains(globs, ""):
				invalid("scope."+key, "must not hold an empty name; * fits all")
			}
		}
		checkGlobs("eventTypes", r.Scope.EventTypes)
		checkGlobs("aggregateTypes", r.Scope.AggregateTypes)
		checkGlobs("sources", r.Scope.Sources)
	}
	return errors.Join(errs...)
}

// Policy is the roles that there are. It never changes, and is safe for concurrent use.
type Policy struct{ roles map[string]RoleOptions }

// NewPolicy makes a policy of valid options.
func NewPolicy(o Options) *Policy {
	p := &Policy{roles: map[string]RoleOptions{}}
	for _, r := range append(builtIn(), o.Roles...) {
		p.roles[r.Name] = r
	}
	return p
}

// Grant adds up what the roles allow. Roles that nobody knows allow nothing. A permission is for all events as soon as
// one role has it without a scope.
func (p *Policy) Grant(roles []string) Grant {
	g := Grant{scopes: map[Permission]store.Scope{}}
	for _, name := range roles {
		role, known := p.roles[name]
		if !known || slices.Contains(g.roles, name) {
			continue
		}
		g.roles = append(g.roles, name)
		for _, permission := range role.Permissions {
			p := Permission(permission)
			g.scopes[p] = g.scopes[p].Or(role.Scope.scope())
		}
	}
	return g
}
