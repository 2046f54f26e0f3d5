package query

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/query/fold"
	"audittrail/modules/store"
)

const (
	// snapshotEvery is after how many events of an aggregate its state is kept.
	snapshotEvery = 1000

	// maxSnapshot is how many bytes a state that is kept may have: a larger one costs about as much to read as
	// to fold.
	maxSnapshot = 1 << 20
)

// snapshotBody is what a snapshot of a state holds.
type snapshotBody struct {
	Position int64          `json:"position"`
	Fold     jsontext.Value `json:"fold"`
}

// resume goes on from the latest snapshot up to a moment, where there is one. A state that is asked for by version
// or position has none: its events are not the first ones of the fold. It MUST come before the first read of the
// log's end, so that what it holds is not beyond that.
func (f *folding) resume(ctx context.Context, upTo moment) error {
	if f.every == 0 || upTo.isPartial() {
		return nil
	}
	s, ok, err := f.reader.Snapshot(ctx, f.snapshotOf(), upTo.at)
	if err != nil || !ok {
		return err
	}
	return f.resumeFrom(s)
}

func (f *folding) resumeFrom(s store.Snapshot) error {
	var body snapshotBody
	if err := json.Unmarshal(s.Body, &body, jsontext.AllowDuplicateNames(true)); err != nil {
		return err
	}
	resumed, versions, err := fold.Resume(f.rules, f.changes, body.Fold)
	if err != nil {
		return err
	}
	f.fold, f.versions = resumed, *versions
	f.asOf, f.position, f.kept = s.AsOf, body.Position, versions.Events()
	f.filter.From = s.AsOf.Add(time.Microsecond)
	return nil
}

// keep makes a snapshot where enough events were folded since the last one. All events of the moment were. A
// snapshot that can't be kept costs time, and no answer.
func (f *folding) keep(ctx context.Context) {
	if f.every == 0 || f.changes || f.when.isPartial() || f.versions.Events()-f.kept < f.every {
		return
	}
	f.kept = f.versions.Events()
	saved, err := fold.Save(f.fold, &f.versions)
	if err != nil || len(saved) > maxSnapshot {
		return
	}
	body, err := json.Marshal(snapshotBody{f.position, saved}, jsontext.AllowDuplicateNames(true))
	if err != nil {
		return
	}
	_ = f.reader.SaveSnapshot(ctx, f.snapshotOf(), store.Snapshot{AsOf: f.asOf, Events: int64(f.kept), Body: body})
}

func (f *folding) snapshotOf() store.SnapshotOf {
	return store.SnapshotOf{AggregateType: f.filter.AggregateType, AggregateID: f.filter.AggregateID, Rules: f.rules.Hash()}
}
