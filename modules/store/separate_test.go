package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

// ownIndex is a unique index of an operator's own: of two events of one total it takes the first.
const ownIndex = `CREATE UNIQUE INDEX one_total ON events ((payload ->> 'total'), timestamp)`

func (s testStore) alter(t *testing.T, sql string) {
	t.Helper()
	_, err := s.owner.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// refusedOffsets are the offsets of dead letters that PostgreSQL refused, in order.
func (s testStore) refusedOffsets(t *testing.T) []int64 {
	t.Helper()
	var offsets []int64
	require.NoError(t, s.owner.QueryRow(t.Context(), `SELECT coalesce(array_agg("offset" ORDER BY "offset"), '{}')
		FROM dead_letters WHERE reason = 'store_rejected'`).Scan(&offsets))
	return offsets
}

func TestAppendStoresTheFirstOfTwoThatAreRefusedTogether(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		constraint string
		before     []event.Raw // appended before, from offset 0
		records    []event.Raw
		refused    []int64
	}{
		"neighbours":     {ownIndex, nil, []event.Raw{record(0, 0, id(1), 5), record(0, 1, id(2), 5)}, []int64{1}},
		"first and last": {ownIndex, nil, []event.Raw{record(0, 0, id(1), 5), record(0, 1, id(2), 6), record(0, 2, id(3), 7), record(0, 3, id(4), 5)}, []int64{3}},
		"many of one":    {ownIndex, nil, []event.Raw{record(0, 0, id(1), 5), record(0, 1, id(2), 5), record(0, 2, id(3), 5), record(0, 3, id(4), 6)}, []int64{1, 2}},
		"one that is stored, twice": {
			ownIndex, []event.Raw{record(0, 0, id(1), 5)},
			[]event.Raw{record(0, 1, id(2), 5), record(0, 2, id(2), 5), record(0, 3, id(3), 6)}, []int64{1, 2},
		},
		"a duplicate is none": {
			ownIndex, []event.Raw{record(0, 0, id(1), 5)},
			[]event.Raw{record(0, 1, id(1), 5), record(0, 2, id(2), 6), record(0, 3, id(3), 6)}, []int64{3},
		},
		"deferred": {
			`CREATE FUNCTION one_total() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF (SELECT count(*) FROM public.events WHERE payload ->> 'total' = NEW.payload ->> 'total') > 1 THEN
					RAISE unique_violation;
				END IF;
				RETURN NULL;
			END $$;
			CREATE CONSTRAINT TRIGGER one_total AFTER INSERT ON events_202601 DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW EXECUTE FUNCTION one_total()`,
			nil, []event.Raw{record(0, 0, id(1), 6), record(0, 1, id(2), 6)}, []int64{1},
		},
		"a reference to their keys": {
			`ALTER TABLE events ADD FOREIGN KEY (event_id) REFERENCES event_keys;
			ALTER TABLE events ADD CHECK (payload <> '{"total": 13}') NOT VALID`,
			nil, []event.Raw{record(0, 0, id(1), 12), record(0, 1, id(2), 13)}, []int64{1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.begin(t, 1)
			if len(test.before) > 0 {
				_, err := s.Append(t.Context(), one(t, 0, test.before...))
				require.NoError(t, err)
			}
			s.alter(t, test.constraint)
			got, err := s.Append(t.Context(), one(t, int64(len(test.before)), test.records...))
			require.NoError(t, err)
			require.Equal(t, test.refused, s.refusedOffsets(t))
			require.Equal(t, len(test.refused), got.DeadLettered)
			require.Equal(t, len(test.records), got.Stored+got.Duplicates+got.DeadLettered)
			s.balance(t)
		})
	}
}

// A refusal that no event alone causes is a failed append, which its caller counts and tries again.
func TestAppendFailsWhereNoEventIsRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	// No rollback takes a sequence back: this trigger refuses the first COPY, and none of the trials.
	s.alter(t, `CREATE SEQUENCE calls; GRANT USAGE ON SEQUENCE calls TO PUBLIC;
		CREATE FUNCTION sometimes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('public.calls') = 1 THEN
				RAISE unique_violation;
			END IF;
			RETURN NULL;
		END $$;
		CREATE TRIGGER sometimes AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION sometimes()`)
	b := one(t, 0, record(0, 0, id(1), 1))
	_, err := s.Append(t.Context(), b)
	require.ErrorContains(t, err, "23505")
	require.Zero(t, s.count(t, `SELECT count(*) FROM ingest_ranges`))
	got, err := s.Append(t.Context(), b)
	require.NoError(t, err, "the same batch, tried again")
	require.Equal(t, 1, got.Stored)
	s.balance(t)
}
