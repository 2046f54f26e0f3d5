package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/modules/store/audit"
)

func (s testStore) admit(t *testing.T, to int64) (store.Admitted, error) {
	t.Helper()
	return s.Admit(t.Context(), store.Admission{Partition: partition(0), To: to, Reason: "retention was too short", By: "ana"})
}

// ensured is where partition 0 goes on.
func (s testStore) ensured(t *testing.T) store.Offset {
	t.Helper()
	offsets, err := s.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: partition(0)}})
	require.NoError(t, err)
	return offsets[partition(0)]
}

func (s testStore) balanced(t *testing.T) {
	t.Helper()
	r, err := audit.Reconcile(context.Background(), s.owner, nil)
	require.NoError(t, err)
	require.Empty(t, r.Discrepancies)
}

// position is what Positions says of partition 0; it must agree with EnsureOffsets.
func (s testStore) position(t *testing.T) store.Position {
	t.Helper()
	positions, err := s.Positions(t.Context())
	require.NoError(t, err)
	require.Equal(t, topicID, positions.Admitted[topic])
	p, ok := positions.Of(partition(0))
	require.True(t, ok)
	require.Equal(t, p, s.ensured(t).Position)
	return p
}

func TestAnAdmittedGapIsAbsentAndNamesWhoAndWhy(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	done, err := s.admit(t, 60)
	require.NoError(t, err)
	require.Equal(t, store.Admitted{From: 0, Log: topicID}, done)
	p := s.position(t)
	require.EqualValues(t, 60, p.NextOffset)
	require.EqualValues(t, 1, p.Admission)
	s.balanced(t)
	var absent int64
	require.NoError(t, s.owner.QueryRow(t.Context(), `SELECT sum(absent) FROM ingest_ranges WHERE from_offset = 0 AND to_offset = 60`).Scan(&absent))
	require.EqualValues(t, 60, absent)
	var by, reason string
	require.NoError(t, s.owner.QueryRow(t.Context(), `SELECT admitted_by, reason FROM ingest_admissions WHERE from_offset = 0 AND to_offset = 60`).Scan(&by, &reason))
	require.Equal(t, []string{"ana", "retention was too short"}, []string{by, reason})
}

func TestACutIsRememberedUntilItIsAdmitted(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]int64{"where it stood": 60, "further on": 70, "back": 10} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.begin(t, 1)
			_, err := s.admit(t, 60)
			require.NoError(t, err)
			require.NoError(t, s.RememberCut(t.Context(), partition(0), 10))
			require.NoError(t, s.RememberCut(t.Context(), partition(0), 30), "it has grown again")
			require.EqualValues(t, 10, s.position(t).CutEnd)
			done, err := s.admit(t, to)
			require.NoError(t, err)
			p := s.position(t)
			require.EqualValues(t, -1, p.CutEnd)
			require.Equal(t, to, p.NextOffset)
			require.Equal(t, done.Log, p.Log)
			require.Equal(t, to < 60, p.Log != topicID)
			s.balanced(t)
			_, err = s.admit(t, to)
			require.ErrorContains(t, err, "the next one already")
		})
	}
}

// An admission that was changed does not fit the accounting any more.
func TestAChangedAdmissionIsNoticed(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]int64{"forward": 70, "back": 10} {
		for _, change := range []string{"to_offset = to_offset + 1", "from_offset = from_offset - 1", "partition = 7", "topic = 'payments'",
			"topic_id = gen_random_uuid()", "from_log = gen_random_uuid()", "to_log = gen_random_uuid()"} {
			t.Run(name+" "+change, func(t *testing.T) {
				t.Parallel()
				s := newStore(t)
				s.begin(t, 1)
				for _, offset := range []int64{60, to} {
					_, err := s.admit(t, offset)
					require.NoError(t, err)
				}
				s.balanced(t)
				for _, sql := range []string{`ALTER TABLE ingest_admissions DISABLE TRIGGER ALL, DROP CONSTRAINT ingest_admissions_check`, `UPDATE ingest_admissions SET ` + change + ` WHERE number = 2`} {
					_, err := s.owner.Exec(t.Context(), sql)
					require.NoError(t, err)
				}
				r, err := audit.Reconcile(t.Context(), s.owner, nil)
				require.NoError(t, err)
				require.Len(t, r.Discrepancies, 1)
				require.Equal(t, "admission", r.Discrepancies[0].Check)
			})
		}
	}
}

// Records of the old log and of the new one have the same offsets, and both are accounted for.
func TestALogThatWasCutIsAccountedForAnew(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.Append(t.Context(), one(t, 0, record(0, 0, id(1), 1), raw(0, 1, "{bad"), record(0, 2, id(2), 1)))
	require.NoError(t, err)
	done, err := s.admit(t, 1)
	require.NoError(t, err)
	b := one(t, 1, raw(0, 1, "{worse"), record(0, 2, id(3), 1), record(0, 3, id(2), 1))
	for i := range b.Rejected {
		b.Rejected[i].Raw.TopicID = done.Log
	}
	for i := range b.Events {
		b.Events[i].Raw().TopicID = done.Log
	}
	b.Ranges[0].TopicID = done.Log
	r, err := s.Append(t.Context(), b)
	require.NoError(t, err)
	require.Empty(t, r.Lost)
	require.Equal(t, []int{1, 1, 1}, []int{r.Stored, r.Duplicates, r.DeadLettered})
	require.EqualValues(t, 4, s.position(t).NextOffset)
	s.balanced(t)
	s.balance(t)
}

func TestWhatCanNotBeAdmitted(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	_, err := s.admit(t, 5)
	require.ErrorContains(t, err, "does not know the topic")
	s.begin(t, 1)
	_, err = s.admit(t, 0)
	require.ErrorContains(t, err, "the next one already")
	_, err = s.Admit(t.Context(), store.Admission{Partition: partition(7), To: 5, Reason: "r", By: "b"})
	require.ErrorContains(t, err, "does not know the partition")
	require.NoError(t, s.AdmitTopic(t.Context(), topic, event.TopicID{9}, "ana"))
	_, err = s.admit(t, 5)
	require.ErrorContains(t, err, "made again")
}

func TestTwoDatabasesAreTwoInstallations(t *testing.T) {
	t.Parallel()
	one, other := newStore(t), newStore(t) // both made of one template
	a, err := one.Installation(t.Context())
	require.NoError(t, err)
	b, err := other.Installation(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, a, b)
	c, err := store.NewAppender(store.AppenderOptions{Pool: openPool(t, one.url, "audittrail_ingest")}).Installation(t.Context())
	require.NoError(t, err)
	require.Equal(t, a, c)
}

func TestAnInstallationIsKnownWhereTheServerMayNotBeAsked(t *testing.T) {
	t.Parallel()
	one, other := newStore(t), newStore(t)
	ids := map[[16]byte]bool{}
	for _, s := range []testStore{one, other} {
		_, err := s.owner.Exec(t.Context(), `REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC`)
		require.NoError(t, err)
		id, err := s.Installation(t.Context())
		require.NoError(t, err)
		ids[id] = true
	}
	require.Len(t, ids, 2)
}
