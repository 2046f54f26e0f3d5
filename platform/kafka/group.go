package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Member is a member of a consumer group.
type Member struct {
	ClientID string
	Host     string
	Metadata []byte // what it joined with: kmsg.ConsumerMemberMetadata, of consumers
}

// Members asks for the members of a consumer group. ok is false while the group is between two assignments: the
// coordinator does not tell the members' metadata then.
func Members(ctx context.Context, client *kgo.Client, group string) (members []Member, ok bool, err error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, false, fmt.Errorf("describe group %s: %w", group, err)
	}
	for _, g := range resp.Groups {
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
			return nil, false, fmt.Errorf("describe group %s: %w", group, err)
		}
		if g.State != "Stable" && g.State != "Empty" {
			return nil, false, nil
		}
		for _, m := range g.Members {
			members = append(members, Member{ClientID: m.ClientID, Host: m.ClientHost, Metadata: m.ProtocolMetadata})
		}
	}
	return members, true, nil
}
