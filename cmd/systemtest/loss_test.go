package systemtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"audittrail/modules/migrate/migratetest"
)

// reasons waits until a process is not ready, for a reason that has all the parts.
func (p *program) reasons(within time.Duration, parts ...string) {
	p.t.Helper()
	eventually(p.t, within, p.name+" is not ready", func(ctx context.Context) error {
		p.alive()
		err := p.ready(ctx)
		if err == nil {
			return errors.New("it is ready")
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				return fmt.Errorf("no %q in: %w", part, err)
			}
		}
		return nil
	})
}

// TestTwoInstallationsInOneGroup proves that two databases with the default group store nothing beside each other,
// instead of a half each, and that the first goes on by itself once the second has left.
func TestTwoInstallationsInOneGroup(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	f := newFeed(s)
	f.send(t.Context(), 600)
	ours := s.ingest("ours")
	s.caughtUp(time.Minute, ours)

	other := stackOn(t, migratetest.Database(t))
	other.brokers, other.topic, other.group = s.brokers, s.topic, s.group
	theirs := other.ingest("theirs")
	ours.reasons(30*time.Second, "member of another installation", "kafka.group")
	theirs.reasons(30*time.Second, "member of another installation", "kafka.group")
	before := one[int64](s, `SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest_offsets`)
	f.send(t.Context(), 600)
	hold(t, 3*time.Second) // nothing may happen within it
	if now := one[int64](s, `SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest_offsets`); now != before {
		t.Errorf("%d records were stored beside a stranger", now-before)
	}
	if n := one[int64](other, `SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest_offsets`); n != 0 {
		t.Errorf("the stranger stored %d records", n)
	}
	theirs.stop()
	s.caughtUp(time.Minute, ours)
	eventually(t, 30*time.Second, "it is ready again", ours.ready)
	ours.stop()
	s.balanced()
	f.holdsAll()
}

// TestLostOffsetsStopOnePartition proves that offsets that Kafka deleted unread stop their partition and nothing
// else, and that the command that /readyz names has it go on without a restart.
func TestLostOffsetsStopOnePartition(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	f := newFeed(s)
	f.send(t.Context(), 600)
	first := s.ingest("first")
	s.caughtUp(time.Minute, first)
	first.stop()
	stood, err := s.perPartition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.send(t.Context(), 600)
	next := stood[0]
	var lost kadm.Offsets
	lost.AddOffset(s.topic, 0, next+5, -1)
	answer, err := kadm.NewClient(s.client).DeleteRecords(t.Context(), lost)
	if err = errors.Join(err, answer.Error()); err != nil {
		t.Fatal(err)
	}

	p := s.ingest("goes-on")
	p.reasons(30*time.Second, fmt.Sprintf("topics admit %s --partition 0 --from %d", s.topic, next+5), "5 offsets were deleted")
	eventually(t, 30*time.Second, "the others go on", func(ctx context.Context) error {
		end, err := s.end(ctx)
		if err != nil {
			return err
		}
		stands, err := s.next(ctx)
		now, err2 := s.perPartition(ctx)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		if now[0] != next {
			t.Fatalf("partition 0 moved from %d to %d", next, now[0])
		}
		if left := end - stands; left > 130 || left < 5 {
			return fmt.Errorf("%d records are left", left)
		}
		return nil
	})
	do(t, "topics", "admit", s.topic, "--partition", "0", "--from", fmt.Sprint(next+5), "--reason", "retention was too short",
		"--postgres.url", s.url, "--kafka.brokers", strings.Join(s.brokers, ","))
	s.caughtUp(30*time.Second, p)
	eventually(t, 30*time.Second, "it is ready again", p.ready)
	p.stop()
	s.balanced()
	if n := one[int64](s, `SELECT sum(absent)::bigint FROM ingest_ranges`); n != 5 {
		t.Errorf("%d offsets are absent, want 5", n)
	}
}
