package query

import (
	"context"
	"strings"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
)

// pending is what every dead letter is: the store keeps no other fate yet.
const pending = httpapi.Pending

// ListDeadLetters answers the records that could not become events.
func (h *Handlers) ListDeadLetters(ctx context.Context, r httpapi.ListDeadLettersRequestObject) (httpapi.ListDeadLettersResponseObject, error) {
	list := httpapi.DeadLetterList{Items: []httpapi.DeadLetter{}}
	if r.Params.Status != nil && *r.Params.Status != pending {
		return httpapi.ListDeadLetters200JSONResponse{Body: list}, nil
	}
	filter := store.DeadLetterFilter{Topic: textOf(r.Params.Topic), Reason: textOf(r.Params.Reason)}
	found, err := h.reader.DeadLetters(ctx, filter, page(store.Descending, r.Params.Limit, r.Params.Cursor))
	if err != nil {
		return nil, err
	}
	for i := range found.Items {
		list.Items = append(list.Items, deadLetter(&found.Items[i]))
	}
	if found.Next != "" {
		list.NextCursor = &found.Next
	}
	return httpapi.ListDeadLetters200JSONResponse{Body: list}, nil
}

// GetDeadLetter answers one of them.
func (h *Handlers) GetDeadLetter(ctx context.Context, r httpapi.GetDeadLetterRequestObject) (httpapi.GetDeadLetterResponseObject, error) {
	found, err := h.reader.DeadLetter(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return httpapi.GetDeadLetter200JSONResponse{Body: deadLetter(&found)}, nil
}

func deadLetter(d *store.DeadLetter) httpapi.DeadLetter {
	out := httpapi.DeadLetter{
		Id: d.ID, Topic: d.Raw.Topic, Partition: d.Raw.Partition, Offset: d.Raw.Offset,
		Reason: httpapi.Reason(d.Reason), Field: d.Field, Detail: d.Detail,
		Key: bytesOrNull(d.Raw.Key), Value: bytesOrNull(d.Raw.Value),
		Headers:    make([]httpapi.DeadLetterHeader, len(d.Raw.Headers)),
		ReceivedAt: event.FormatTime(d.ReceivedAt), Status: pending,
	}
	for i, header := range d.Raw.Headers {
		out.Headers[i] = httpapi.DeadLetterHeader{
			Key: strings.ToValidUTF8(header.Key, "\uFFFD"), Value: bytesOrNull(header.Value),
		}
	}
	return out
}

// bytesOrNull keeps apart what is empty and what is not there.
func bytesOrNull(b []byte) *[]byte {
	if b == nil {
		return nil
	}
	return &b
}
