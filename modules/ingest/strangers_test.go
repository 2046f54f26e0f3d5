package ingest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Two databases, one Kafka, one group: each would store a half, and believe that it has all.
func TestTwoInstallationsDoNotShareAGroup(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	ours, theirs := newFakeStore(t), newFakeStore(t)
	ours.installation, theirs.installation = [16]byte{1}, [16]byte{2}
	topic, group := b.topic(unique("orders"), 4), unique("group")
	for partition := range int32(4) {
		b.produce(topic, partition, events(int(partition)*10, int(partition)*10+10)...)
	}
	first, second := start(t, b, ours, []string{topic}, inGroup(group)), start(t, b, ours, []string{topic}, inGroup(group))
	eventually(t, "40 events", func() bool { n, _ := ours.count(); return n == 40 })
	eventually(t, "two members", func() bool { return b.members(group) == 2 })

	stranger := start(t, b, theirs, []string{topic}, inGroup(group))
	all := []*process{first, second, stranger}
	for _, p := range all {
		eventually(t, "each to see the other", func() bool {
			return seesStranger(p) && value(t, p.reg, "audittrail_ingest_group_strangers") == 1
		})
	}
	for partition := range int32(4) {
		b.produce(topic, partition, events(100+int(partition)*10, 100+int(partition)*10+10)...)
	}
	for _, p := range all {
		eventually(t, "the lag of all partitions", func() bool { return p.lag(topic) >= 40 })
	}
	pass(time.Second)
	if n, _ := ours.count(); n != 40 {
		t.Errorf("%d events while a stranger is there, want the 40 of before", n)
	}
	if n, _ := theirs.count(); n != 0 {
		t.Errorf("the stranger stored %d events", n)
	}

	stranger.stop()
	eventually(t, "all events", func() bool { n, _ := ours.count(); return n == 80 })
	for _, p := range all[:2] {
		eventually(t, "health to recover", func() bool {
			return p.role.Health(context.Background()) == nil && value(t, p.reg, "audittrail_ingest_group_strangers") == 0
		})
	}
	if ours.duplicate != 0 {
		t.Errorf("%d records were appended twice", ours.duplicate)
	}
}

func seesStranger(p *process) bool {
	err := p.role.Health(context.Background())
	return err != nil && strings.Contains(err.Error(), "member of another installation")
}

// A member of a version that shows no badge counts as ours, and both understand each other's metadata.
func TestAMemberWithoutABadgeIsOurs(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 2), unique("group")
	old := start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) {
		d.Kafka.Group = group
		d.clientOptions = []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}
	}})
	b.produce(topic, 0, events(0, 10)...)
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	p := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "two members", func() bool { return b.members(group) == 2 })
	b.produce(topic, 0, events(10, 20)...)
	b.produce(topic, 1, events(20, 30)...)
	eventually(t, "30 events", func() bool { n, _ := st.count(); return n == 30 })
	for _, one := range []*process{p, old} {
		if err := one.role.Health(context.Background()); err != nil {
			t.Errorf("health: %v", err)
		}
	}
}

// The database was replaced by another one under a running process, e.g. by a restore: the group learns of it.
func TestAProcessWhoseDatabaseBecomesAnotherIsSeen(t *testing.T) {
	t.Parallel()
	b, st, moved := newBroker(t), newFakeStore(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 2), unique("group")
	p, q := start(t, b, st, []string{topic}, inGroup(group)), start(t, b, moved, []string{topic}, inGroup(group))
	eventually(t, "two members", func() bool { return b.members(group) == 2 })
	moved.set(func() { moved.installation = [16]byte{7} })
	eventually(t, "both to see it", func() bool { return seesStranger(p) && seesStranger(q) })
	st.set(func() { st.installation = [16]byte{7} })
	eventually(t, "both to go on", func() bool {
		return p.role.Health(context.Background()) == nil && q.role.Health(context.Background()) == nil
	})
}

func TestABadgeLeavesTheBalancersDataAsTheyAre(t *testing.T) {
	t.Parallel()
	plain := kgo.CooperativeStickyBalancer()
	b := balancer{plain, &badge{}}
	owned := map[string][]int32{"orders": {0, 3}}
	if got := b.JoinGroupMetadata([]string{"orders"}, owned, 5); string(got) != string(plain.JoinGroupMetadata([]string{"orders"}, owned, 5)) {
		t.Error("without an id the metadata are others")
	}
	b.badge.id.Store(&[16]byte{9, 8})
	got := b.JoinGroupMetadata([]string{"orders"}, owned, 5)
	if id, ok := readBadge(got); !ok || id != ([16]byte{9, 8}) {
		t.Errorf("the badge reads %v, %v", id, ok)
	}
	before, after := kmsg.NewConsumerMemberMetadata(), kmsg.NewConsumerMemberMetadata()
	if err := before.ReadFrom(plain.JoinGroupMetadata([]string{"orders"}, owned, 5)); err != nil {
		t.Fatal(err)
	}
	if err := after.ReadFrom(got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(after.UserData), string(before.UserData)) {
		t.Error("the balancer's own user data are gone")
	}
	for _, bad := range [][]byte{nil, {1}, before.AppendTo(nil)} {
		if _, ok := readBadge(bad); ok {
			t.Errorf("a badge in %x", bad)
		}
	}
}
