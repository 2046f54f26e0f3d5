package ingest

import (
	"bytes"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// badge is the id of the installation that this process ingests into. Members of the consumer group show it to each
// other in what they join with.
type badge struct{ id atomic.Pointer[[16]byte] }

// badgeMark stands before the id at the end of a member's user data. What the balancer itself has put there comes
// first, and balancers read no further: processes of versions without badges understand it, too.
const badgeMark = "audittrail installation "

// balancer is a kgo.GroupBalancer whose members show a badge.
type balancer struct {
	kgo.GroupBalancer
	badge *badge
}

func (b balancer) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	plain := b.GroupBalancer.JoinGroupMetadata(topics, current, generation)
	id := b.badge.id.Load()
	if id == nil {
		return plain
	}
	meta := kmsg.NewConsumerMemberMetadata()
	if meta.ReadFrom(plain) != nil {
		return plain
	}
	meta.UserData = append(append(meta.UserData[:len(meta.UserData):len(meta.UserData)], badgeMark...), id[:]...)
	return meta.AppendTo(nil)
}

// readBadge returns the badge that a member joined with; ok is false where it showed none.
func readBadge(metadata []byte) (id [16]byte, ok bool) {
	meta := kmsg.NewConsumerMemberMetadata()
	if meta.ReadFrom(metadata) != nil {
		return id, false
	}
	mark := len(meta.UserData) - len(id)
	if mark < 0 || !bytes.HasSuffix(meta.UserData[:mark], []byte(badgeMark)) {
		return id, false
	}
	return [16]byte(meta.UserData[mark:]), true
}
