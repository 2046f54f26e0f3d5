package store

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// What a search passes by is found by the filter and the scopes together. What can't be known passes nothing by.
func TestWantedValues(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), migratetest.Database(t))
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), `
		INSERT INTO event_values SELECT 'eventType', v, m FROM unnest('{OrderPaid,Order_1,Invoice}'::text[]) v, unnest('{2026-01-01,2026-02-01}'::date[]) m;
		INSERT INTO event_values SELECT 'source', 's' || n, '2026-01-01' FROM generate_series(1, 301) n;
		INSERT INTO event_values VALUES ('aggregateType', 'Order', '2026-01-01');
		INSERT INTO event_values_open VALUES ('aggregateType')`)
	require.NoError(t, err)
	orders := ScopePart{EventTypes: []string{"Order*"}}
	for name, c := range map[string]struct {
		filter Filter
		scopes []Scope
		want   map[string][]string
	}{
		"no scope":             {Filter{Source: "s1"}, nil, map[string][]string{"source": {"s1"}}},
		"everything":           {Filter{}, []Scope{Everything()}, map[string][]string{}},
		"nothing":              {Filter{}, []Scope{Only()}, map[string][]string{}}, // the statement's condition is false
		"a glob":               {Filter{}, []Scope{Only(orders)}, map[string][]string{"eventType": {"OrderPaid", "Order_1"}}},
		"two parts":            {Filter{}, []Scope{Only(orders, ScopePart{EventTypes: []string{"*e"}})}, map[string][]string{"eventType": {"Invoice", "OrderPaid", "Order_1"}}},
		"a part of all types":  {Filter{}, []Scope{Only(orders, ScopePart{Sources: []string{"*"}})}, map[string][]string{}},
		"two scopes":           {Filter{}, []Scope{Only(orders), Only(ScopePart{EventTypes: []string{"*_?"}})}, map[string][]string{"eventType": {"Order_1"}}},
		"a filter in scope":    {Filter{EventTypes: []string{"OrderNone", "Invoice"}}, []Scope{Only(orders)}, map[string][]string{"eventType": {"OrderNone"}}},
		"too many values":      {Filter{}, []Scope{Only(ScopePart{Sources: []string{"s1"}})}, map[string][]string{}},
		"a field that is open": {Filter{}, []Scope{Only(ScopePart{AggregateTypes: []string{"Order"}})}, map[string][]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			for _, s := range c.scopes {
				ctx = WithScope(ctx, s) //nolint:fatcontext // two at most
			}
			got, err := wanted(ctx, conn, c.filter)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
