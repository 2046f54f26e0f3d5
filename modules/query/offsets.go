package query

import (
	"context"

	"audittrail/modules/httpapi"
)

// ListIngestOffsets answers the accounting of every partition.
func (h *Handlers) ListIngestOffsets(ctx context.Context, _ httpapi.ListIngestOffsetsRequestObject) (httpapi.ListIngestOffsetsResponseObject, error) {
	found, err := h.reader.Offsets(ctx)
	if err != nil {
		return nil, err
	}
	list := httpapi.IngestOffsetList{Items: make([]httpapi.IngestOffset, len(found))}
	for i, a := range found {
		list.Items[i] = httpapi.IngestOffset{
			Topic: a.Topic, Partition: a.Number, NextOffset: a.NextOffset,
			Stored: a.Stored, Duplicates: a.Duplicates, DeadLettered: a.DeadLettered, Absent: a.Absent,
		}
	}
	return httpapi.ListIngestOffsets200JSONResponse{Body: list}, nil
}
