package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// strangers keeps two installations from sharing one consumer group: each would store a part of the records, and
// believe that it has all. While another one's process is a member, nothing is ingested.
type strangers struct {
	group   string
	badge   *badge
	control *kgo.Client
	store   Store
	leases  *leases
	inbox   *inbox
	status  *status
	log     *slog.Logger
	metrics *metrics

	soon chan struct{} // holds a value while a look is wanted
	gone chan struct{} // holds a value once the last stranger has left
}

// lookSoon asks whoever watches to look.
func (s *strangers) lookSoon() {
	select {
	case s.soon <- struct{}{}:
	default:
	}
}

// left holds a value once the last stranger has left.
func (s *strangers) left() <-chan struct{} { return s.gone }

// look asks who is in the group, and halts ingest or lets it go on. It returns false where the group could not say.
func (s *strangers) look(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	members, ok, err := kafka.Members(ctx, s.control, s.group)
	if err != nil || !ok {
		if err != nil && ctx.Err() == nil {
			s.log.Debug("could not ask who is in the consumer group", "error", err)
		}
		return false
	}
	ours := s.badge.id.Load()
	for _, m := range members {
		if id, ok := readBadge(m.Metadata); ok && ours != nil && id != *ours {
			s.halt(m)
			return true
		}
	}
	s.goOn()
	return true
}

// lookFirst looks before partitions are read. A group that can't say who is in it is about to change, and then ctx
// ends; one that does not say at all, e.g. since it is not allowed to, must not keep ingest from working.
func (s *strangers) lookFirst(ctx context.Context) {
	const tries, pause = 20, 100 * time.Millisecond
	for range tries {
		if s.look(ctx) || !sleep(ctx, pause) {
			return
		}
	}
}

func (s *strangers) halt(m kafka.Member) {
	why := fmt.Errorf("consumer group %q has a member of another installation (client %s at %s), and each of the two would store a part of the records: nothing is ingested until it has left; give one of them a kafka.group of its own",
		s.group, m.ClientID, m.Host)
	s.status.has(troubleStranger, why)
	s.metrics.strangers.Set(1)
	if s.leases.halt() {
		s.log.Error("ingest halts", "reason", why)
	}
}

func (s *strangers) goOn() {
	lasted := s.status.has(troubleStranger, nil) // an earlier session may have halted
	s.metrics.strangers.Set(0)
	held, halted := s.leases.goOn()
	if !halted {
		return
	}
	s.log.Info("the consumer group is ours alone again; ingest goes on", "haltedFor", lasted.Round(time.Millisecond))
	for _, l := range held {
		s.inbox.put(reposition{lease: l})
	}
	select {
	case s.gone <- struct{}{}:
	default:
	}
}

// renew finds out whether the database is still the same installation, and joins the group anew where it is not.
func (s *strangers) renew(ctx context.Context, consumer *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	id, err := s.store.Installation(ctx)
	if err != nil || id == *s.badge.id.Load() {
		return
	}
	s.badge.id.Store(&id)
	s.log.Warn("the database is another one than it was; joining the consumer group anew")
	consumer.ForceRebalance()
}
