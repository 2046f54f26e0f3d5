package client

import (
	"context"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// State answers an aggregate's state. query may hold at, version or position.
func (c *Client) State(ctx context.Context, aggregateType, id string, query url.Values) (jsontext.Value, error) {
	return c.Get(ctx, aggregatePath(aggregateType, id)+"/state", query)
}

// Diff answers what changed of an aggregate between two times, or two versions.
func (c *Client) Diff(ctx context.Context, aggregateType, id, from, to string) (jsontext.Value, error) {
	return c.Get(ctx, aggregatePath(aggregateType, id)+"/diff", url.Values{"from": {from}, "to": {to}})
}

// Trace answers a workflow as a tree of causes and effects.
func (c *Client) Trace(ctx context.Context, correlationID string) (jsontext.Value, error) {
	return c.Get(ctx, "/v1/traces/"+url.PathEscape(correlationID), nil)
}

func aggregatePath(aggregateType, id string) string {
	return "/v1/aggregates/" + url.PathEscape(aggregateType) + "/" + url.PathEscape(id)
}
