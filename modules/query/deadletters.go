package query

import (
	"context"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
)

// ListDeadLetters answers the records that could not become events.
func (h *Handlers) ListDeadLetters(ctx context.Context, r httpapi.ListDeadLettersRequestObject) (httpapi.ListDeadLettersResponseObject, error) {
	list := httpapi.DeadLetterList{Items: []httpapi.DeadLetter{}}
	p := r.Params
	filter := store.DeadLetterFilter{Topic: textOf(p.Topic), Reason: textOf(p.Reason), Field: textOf(p.Field), Key: textOf(p.Key), Status: textOf(p.Status)}
	var err error
	if filter.From, filter.To, err = httpapi.Between(p.From, p.To); err != nil {
		return nil, err
	}
	found, err := h.reader.DeadLetters(ctx, filter, page(store.Descending, r.Params.Limit, r.Params.Cursor))
	if err != nil {
		return nil, err
	}
	for i := range found.Items {
		hideValue(ctx, &found.Items[i])
		list.Items = append(list.Items, deadLetter(&found.Items[i]))
	}
	if found.Next != "" {
		list.NextCursor = &found.Next
	}
	return httpapi.ListDeadLetters200JSONResponse{Body: list}, nil
}

// GetDeadLetter answers one of them. A long one is streamed.
func (h *Handlers) GetDeadLetter(ctx context.Context, r httpapi.GetDeadLetterRequestObject) (httpapi.GetDeadLetterResponseObject, error) {
	found, err := h.reader.DeadLetter(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	hideValue(ctx, &found)
	if found.Omitted.Any() {
		return h.longDeadLetter(ctx, &found), nil
	}
	body := deadLetter(&found)
	body.Decoded = decoded(&found)
	return httpapi.GetDeadLetter200JSONResponse{Body: body}, nil
}

// hideValue takes the record's value away where the caller may not see what is sensitive in it: nobody knows what is
// in a record that is no event.
func hideValue(ctx context.Context, d *store.DeadLetter) {
	if !d.ShownBy(access.GrantOf(ctx).Scope(access.PIIRead)) {
		d.Raw.Value, d.Omitted.Value = nil, false
	}
}

func deadLetter(d *store.DeadLetter) httpapi.DeadLetter {
	out := httpapi.DeadLetter{
		Id: d.ID, Topic: d.Raw.Topic, Partition: d.Raw.Partition, Offset: d.Raw.Offset,
		Reason: httpapi.Reason(d.Reason), Field: d.Field, Detail: d.Detail,
		Key: bytesOrNull(d.Raw.Key), Value: bytesOrNull(d.Raw.Value),
		Headers:    make([]httpapi.DeadLetterHeader, len(d.Raw.Headers)),
		ReceivedAt: event.FormatTime(d.ReceivedAt), Status: httpapi.Pending, Omitted: omitted(d.Omitted),
		Fate: fate(d.Fate), Retry: retry(d.Retry),
	}
	if d.Fate != nil {
		out.Status = httpapi.DeadLetterStatus(d.Fate.What)
	}
	if d.ValueLength >= 0 {
		out.ValueLength = &d.ValueLength
	}
	if d.ValueSHA256 != nil {
		sum := hex.EncodeToString(d.ValueSHA256)
		out.ValueSha256 = &sum
	}
	for i, header := range d.Raw.Headers {
		out.Headers[i] = deadLetterHeader(header)
	}
	return out
}

// omitted names what is not shown; nil where all is.
func omitted(o store.Omitted) *[]httpapi.DeadLetterOmitted {
	if !o.Any() {
		return nil
	}
	var names []httpapi.DeadLetterOmitted
	if o.Key {
		names = append(names, httpapi.OmittedKey)
	}
	if o.Value {
		names = append(names, httpapi.OmittedValue)
	}
	if o.Headers {
		names = append(names, httpapi.OmittedHeaders)
	}
	return &names
}

// deadLetterHeader keeps a name that JSON can't carry, which Kafka allows, as bytes beside it.
func deadLetterHeader(h event.Header) httpapi.DeadLetterHeader {
	out := httpapi.DeadLetterHeader{Key: h.Key, Value: bytesOrNull(h.Value)}
	if !utf8.ValidString(h.Key) {
		name := []byte(h.Key)
		out.Key, out.KeyBase64 = strings.ToValidUTF8(h.Key, "\uFFFD"), &name
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
