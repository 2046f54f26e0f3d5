package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// The table of the roles that there are without a configuration, as docs/SECURITY.md has it.
const builtIn = `
	permission        viewer analyst auditor operator admin
	events:read       x      x       x       x        x
	proofs:read       x      -       x       -        x
	export            -      x       x       -        x
	analytics:read    -      x       x       -        x
	analytics:write   -      x       -       -        x
	pii:read          -      -       x       -        x
	access:read       -      -       x       -        x
	ingest:read       -      -       x       x        x
	deadletters:read  -      -       x       x        x
	deadletters:write -      -       -       x        x
	deadletters:edit  -      -       -       -        x
	replay:read       -      -       x       x        x
	replay:write      -      -       -       x        x
	subjects:shred    -      -       -       -        x
	holds:write       -      -       -       -        x`

func TestBuiltInRoles(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(builtIn), "\n")
	roles := strings.Fields(lines[0])[1:]
	policy := access.NewPolicy(access.Options{})
	var permissions []access.Permission
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		permission := access.Permission(cells[0])
		permissions = append(permissions, permission)
		for i, role := range roles {
			grant := policy.Grant([]string{role})
			require.Equal(t, cells[i+1] == "x", grant.Has(permission), "%s of %s", permission, role)
			require.Equal(t, grant.Has(permission), grant.Scope(permission).IsEverything(), "%s of %s", permission, role)
		}
	}
	require.Equal(t, access.Permissions(), permissions)
}

func TestGrants(t *testing.T) {
	t.Parallel()
	orders, shop := access.ScopeOptions{EventTypes: []string{"Order*"}}, access.ScopeOptions{Sources: []string{"shop"}}
	policy := access.NewPolicy(access.Options{Mode: "strict", Roles: []access.RoleOptions{
		{Name: "viewer", Permissions: []string{"proofs:read"}}, // in place of the built-in one
		{Name: "orders", Permissions: []string{"events:read", "export"}, Scope: orders},
		{Name: "shop", Permissions: []string{"events:read"}, Scope: shop},
		{Name: "nothing"},
	}})
	part := func(o access.ScopeOptions) store.ScopePart { return store.ScopePart(o) }
	for name, c := range map[string]struct {
		roles  []string
		known  []string
		grants map[access.Permission][]store.ScopePart // nil for a permission over everything
	}{
		"no roles":                     {nil, nil, nil},
		"roles that nobody knows":      {[]string{"root", "Admin", " admin", "admin ", ""}, nil, nil},
		"a role without permissions":   {[]string{"nothing"}, []string{"nothing"}, nil},
		"a built-in role, replaced":    {[]string{"viewer"}, []string{"viewer"}, map[access.Permission][]store.ScopePart{access.ProofsRead: nil}},
		"a scoped role":                {[]string{"orders"}, []string{"orders"}, map[access.Permission][]store.ScopePart{access.EventsRead: {part(orders)}, access.Export: {part(orders)}}},
		"named twice":                  {[]string{"shop", "shop"}, []string{"shop"}, map[access.Permission][]store.ScopePart{access.EventsRead: {part(shop)}}},
		"scopes add up, by permission": {[]string{"orders", "shop"}, []string{"orders", "shop"}, map[access.Permission][]store.ScopePart{access.EventsRead: {part(orders), part(shop)}, access.Export: {part(orders)}}},
		"unscoped wins": {[]string{"orders", "root", "analyst"}, []string{"orders", "analyst"}, map[access.Permission][]store.ScopePart{
			access.EventsRead: nil, access.Export: nil, access.AnalyticsRead: nil, access.AnalyticsWrite: nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			orders := [][]string{c.roles, slices.Clone(c.roles)}
			slices.Reverse(orders[1])
			for _, roles := range orders {
				grant := policy.Grant(roles)
				require.ElementsMatch(t, c.known, grant.Roles())
				for _, p := range access.Permissions() {
					parts, has := c.grants[p]
					require.Equal(t, has, grant.Has(p), p)
					require.Equal(t, has, slices.Contains(grant.Permissions(), p), p)
					require.Equal(t, has && parts == nil, grant.Scope(p).IsEverything(), p)
					require.ElementsMatch(t, parts, grant.Scope(p).Parts(), p)
				}
			}
		})
	}
}

// A caller of whom nobody said anything may do nothing, and who lacks a permission is told which.
func TestRequire(t *testing.T) {
	t.Parallel()
	refused := func(ctx context.Context) {
		t.Helper()
		_, err := access.Require(ctx, access.ProofsRead)
		require.Equal(t, errs.Forbidden, errs.Of(err).Kind)
		require.Equal(t, "forbidden", errs.Of(err).Code)
		require.Contains(t, errs.Of(err).Detail, "proofs:read")
	}
	refused(t.Context())
	refused(access.WithGrant(t.Context(), access.Grant{}))
	policy := access.NewPolicy(access.Options{Roles: []access.RoleOptions{
		{Name: "orders", Permissions: []string{"events:read"}, Scope: access.ScopeOptions{EventTypes: []string{"Order*"}}},
	}})
	refused(access.WithGrant(t.Context(), policy.Grant([]string{"orders", "operator"})))

	ctx, err := access.Require(access.WithGrant(t.Context(), policy.Grant([]string{"viewer"})), access.ProofsRead)
	require.NoError(t, err)
	require.True(t, store.Unscoped(ctx))
	ctx, err = access.Require(access.WithGrant(ctx, policy.Grant([]string{"orders"})), access.EventsRead)
	require.NoError(t, err)
	require.False(t, store.Unscoped(ctx), "a second permission narrows what the first one shows")
	ctx, err = access.Require(access.WithGrant(ctx, policy.Grant([]string{"viewer"})), access.EventsRead)
	require.NoError(t, err)
	require.False(t, store.Unscoped(ctx), "and no further one widens it")
}

func TestOptionsThatCanNotWork(t *testing.T) {
	t.Parallel()
	role := func(r access.RoleOptions) access.Options {
		return access.Options{Mode: "strict", Roles: []access.RoleOptions{{Name: "first", Permissions: []string{"access:read"}}, r}}
	}
	orders := access.ScopeOptions{EventTypes: []string{"Order*"}}
	for name, c := range map[string]struct {
		options access.Options
		message string // "" where there is no fault
	}{
		"no mode":                     {access.Options{}, "mode must be"},
		"an unknown mode":             {access.Options{Mode: "lax"}, "mode must be strict or best_effort"},
		"nothing else":                {access.Options{Mode: "best_effort"}, ""},
		"no name":                     {role(access.RoleOptions{}), "roles[1].name must not be empty"},
		"a name twice":                {role(access.RoleOptions{Name: "first"}), "roles[1].name is that of an earlier role"},
		"a built-in role's name":      {role(access.RoleOptions{Name: "admin"}), ""},
		"an unknown permission":       {role(access.RoleOptions{Name: "r", Permissions: []string{"events:read", "events:*"}}), "roles[1].permissions[1] is no permission; there are: [events:read proofs:read"},
		"none is no permission":       {role(access.RoleOptions{Name: "r", Permissions: []string{"none"}}), "roles[1].permissions[0] is no permission"},
		"a scope":                     {role(access.RoleOptions{Name: "r", Permissions: []string{"events:read", "deadletters:read", "pii:read"}, Scope: orders}), ""},
		"a scope over the access log": {role(access.RoleOptions{Name: "r", Permissions: []string{"export", "access:read"}, Scope: orders}), "roles[1].permissions[1] can't be scoped"},
		"a scope over the accounting": {role(access.RoleOptions{Name: "r", Permissions: []string{"ingest:read"}, Scope: orders}), "roles[1].permissions[0] can't be scoped"},
		"a scope over erasure":        {role(access.RoleOptions{Name: "r", Permissions: []string{"subjects:shred"}, Scope: orders}), "roles[1].permissions[0] can't be scoped"},
		"a scope over holds":          {role(access.RoleOptions{Name: "r", Permissions: []string{"holds:write"}, Scope: orders}), "roles[1].permissions[0] can't be scoped"},
		"an empty event type":         {role(access.RoleOptions{Name: "r", Scope: access.ScopeOptions{EventTypes: []string{"A", ""}}}), "roles[1].scope.eventTypes must not hold an empty name"},
		"an empty aggregate type":     {role(access.RoleOptions{Name: "r", Scope: access.ScopeOptions{AggregateTypes: []string{""}}}), "roles[1].scope.aggregateTypes must not hold an empty name"},
		"an empty source":             {role(access.RoleOptions{Name: "r", Scope: access.ScopeOptions{Sources: []string{""}}}), "roles[1].scope.sources must not hold an empty name"},
		"a list without a name":       {role(access.RoleOptions{Name: "r", Scope: access.ScopeOptions{Sources: []string{}}}), "roles[1].scope.sources must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.options.Validate()
			if c.message == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.message)
		})
	}
}
