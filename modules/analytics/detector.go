package analytics

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"audittrail/modules/store"
	"audittrail/platform/config"
)

// Options are the keys below `analytics`.
type Options struct {
	Sensitivity string `key:"sensitivity" default:"medium" help:"how far from the usual something must be to be an anomaly: off, low (10 robust standard deviations), medium (6) or high (4)"`
	WebhookURL  string `key:"webhook_url" secret:"url" help:"where each new anomaly is posted as JSON, https (http on loopback only); none: nowhere"`
}

// Validate reports every key that can't work.
func (o Options) Validate() error {
	var errs []error
	if _, known := thresholds()[o.Sensitivity]; !known {
		errs = append(errs, config.Invalid("sensitivity", "must be off, low, medium or high"))
	}
	if o.WebhookURL != "" && !isAllowedURL(o.WebhookURL) {
		errs = append(errs, config.Invalid("webhook_url", "must be an https URL; http on loopback only"))
	}
	return errors.Join(errs...)
}

// thresholds are the deviations from which on something is unusual; 0: nothing is looked for.
func thresholds() map[string]float64 {
	return map[string]float64{"off": 0, "low": 10, "medium": 6, "high": 4}
}

const (
	// detectEvery is how often anomalies are looked for.
	detectEvery = time.Minute

	// grace is how long after its end an hour is looked at: late events shall be in it.
	grace = 5 * time.Minute

	// maxHours is how many hours of the past are looked at where nobody has looked for long.
	maxHours = 48

	// flowsSpan is how far back workflows are read at most, and flowsEvents, how many events of them: where there are more,
	// the latest hours are read.
	flowsSpan   = 30 * 24 * time.Hour
	flowsEvents = 200_000

	// versionsBatch is about how many events' aggregates are looked at in one go.
	versionsBatch = 5000

	// versionsEvents is how many events of these aggregates are read at once.
	versionsEvents = 200_000
)

// The cursors of the detectors: hours since 1970, and positions.
const (
	cursorHours    = "anomalies"
	cursorVersions = "versions"
)

// detect looks for anomalies: at each hour that is over and was not looked at yet, at workflows once an hour, and at the
// versions of what came in. now is the time.
func (t *term) detect(ctx context.Context, now time.Time, threshold float64) error {
	next, err := t.session.Cursor(ctx, cursorHours, form)
	if err != nil {
		return err
	}
	end := now.Add(-grace).Unix() / 3600 // the hour that is not over
	begin := max(next, end-maxHours)
	for h := begin; h < end && ctx.Err() == nil; h++ {
		found, err := t.hour(ctx, time.Unix(h*3600, 0).UTC(), threshold, h == end-1)
		if err == nil {
			err = t.report(ctx, found)
		}
		if err == nil {
			err = t.session.MoveCursor(ctx, cursorHours, next, h+1)
		}
		if err != nil {
			return err
		}
		next = h + 1
	}
	if err := t.versions(ctx); err != nil {
		return err
	}
	open, err := t.session.OpenAnomalies(ctx)
	if err == nil {
		t.role.metrics.tellOpen(open)
	}
	return err
}

// hour looks at one hour. Workflows are looked at with the last of several hours alone: their history has them all.
func (t *term) hour(ctx context.Context, hour time.Time, threshold float64, isLast bool) (found []store.Anomaly, err error) {
	end := hour.Add(time.Hour)
	s := t.session
	for _, series := range []series{{"type", store.OfType, s.TypePoints, s.TypeHours, s.FirstTypes, s.TypeKinds}, {"source", store.OfSource, s.SourcePoints, s.SourceHours, s.FirstSources, s.SourceKinds}} {
		odd, passed, err := series.rates(ctx, hour, threshold)
		if err != nil {
			return nil, err
		}
		t.skip(ctx, skippedSeries, passed)
		for _, a := range odd {
			from := hour
			if a.Observed == 0 { // what is not there can't be shown: the last time that it was
				from = hour.AddDate(0, 0, -7)
			}
			name := series.name(a)
			a.Evidence.Events, err = s.EvidenceOf(ctx, series.which, name, from, end)
			if err != nil {
				return nil, err
			}
			if a.Evidence.Kinds, err = series.kinds(ctx, rateDays(hour), name); err != nil {
				return nil, err
			}
			found = append(found, a)
		}
	}
	points, isWhole, err := s.UserPoints(ctx, hour.Add(-actorHistory), hour, actorEvents, actorDays)
	if err != nil {
		return nil, err
	}
	if !isWhole {
		t.skip(ctx, skippedActors, 1)
	}
	for _, a := range farthest(actors(hour, points, threshold), maxFindings) {
		user, kind, _ := strings.Cut(strings.TrimPrefix(a.Subject, "user "), ", type ")
		if a.Kind != kindActorType {
			user = strings.TrimPrefix(a.Subject, "user ")
		}
		events, err := s.EvidenceOf(ctx, store.OfUser, user, hour, end)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if a.Kind != kindActorType || e.EventType == kind {
				a.Evidence.Events = append(a.Evidence.Events, e)
			}
		}
		found = append(found, a)
	}
	if points, err = s.DeadPoints(ctx, hour.AddDate(0, 0, -7), end); err != nil {
		return nil, err
	}
	for _, a := range bursts(hour, points, threshold) {
		a.Evidence.DeadLetters, err = s.DeadLettersOf(ctx, strings.TrimPrefix(a.Subject, "topic "), a.Kind == kindConflict, hour, end)
		if err != nil {
			return nil, err
		}
		found = append(found, a)
	}
	if points, err = s.AccessPoints(ctx, hour.Add(-actorHistory), end); err != nil {
		return nil, err
	}
	for _, a := range readers(hour, points, threshold) {
		if a.Evidence.Access, err = s.AccessOf(ctx, strings.TrimPrefix(a.Subject, "principal "), hour, end); err != nil {
			return nil, err
		}
		found = append(found, a)
	}
	if !isLast {
		return found, nil
	}
	broken, err := t.workflows(ctx, end)
	return append(found, broken...), err
}

// series is how the rates of types, or of sources, are read.
type series struct {
	what, which string
	points      func(context.Context, []time.Time) ([]store.Point, error)
	hours       func(context.Context, []time.Time, []string) ([]store.Point, error)
	first       func(context.Context, time.Time, []string) ([]store.Point, error)
	kinds       func(context.Context, []time.Time, string) ([]store.EventKind, error)
}

func (s series) name(a store.Anomaly) string { return strings.TrimPrefix(a.Subject, s.what+" ") }

// rates returns the unusual rates of an hour, the farthest off at most, and how many series were not looked at: there were
// too many that may come in batches.
func (s series) rates(ctx context.Context, hour time.Time, threshold float64) (odd []store.Anomaly, passed int, err error) {
	points, err := s.points(ctx, firstHours(hour))
	if err != nil {
		return nil, 0, err
	}
	first, err := s.first(ctx, hour.Add(-rateSpan), seriesOf(points))
	if err != nil {
		return nil, 0, err
	}
	all := rates(s.what, hour, points, first, threshold)
	suspects := farthest(all, maxSuspects)
	for part := range slices.Chunk(suspects, maxFindings) {
		part, err := s.withoutBatches(ctx, part, hour, first, threshold)
		if err != nil {
			return nil, 0, err
		}
		if odd = append(odd, part...); len(odd) >= maxFindings {
			return odd[:maxFindings], 0, nil
		}
	}
	return odd, len(all) - len(suspects), nil
}

// withoutBatches drops the findings of series that come in batches. It reads more of the series, to tell.
func (s series) withoutBatches(ctx context.Context, found []store.Anomaly, hour time.Time, first []store.Point, threshold float64) ([]store.Anomaly, error) {
	var more []string
	for _, a := range found {
		if a.Observed > a.Expected {
			more = append(more, s.name(a))
		}
	}
	if len(more) == 0 {
		return found, nil
	}
	points, err := s.hours(ctx, rateHours(hour), more)
	if err != nil {
		return nil, err
	}
	c := hourlyOf(points, first)
	return slices.DeleteFunc(found, func(a store.Anomaly) bool {
		return a.Observed > a.Expected && c.batched(s.name(a), hour, threshold)
	}), nil
}

// workflows looks at the workflows that began in the second half of the time that is read: the first half tells which of
// them began before.
func (t *term) workflows(ctx context.Context, end time.Time) ([]store.Anomaly, error) {
	begin, err := t.session.FlowsBegin(ctx, end.Add(-flowsSpan), end, flowsEvents)
	if err != nil {
		return nil, err
	}
	flows, isWhole, err := t.session.Flows(ctx, begin, end, flowsEvents)
	if err != nil {
		return nil, err
	}
	if !isWhole || !begin.Before(end) { // a part of them would look broken
		t.skip(ctx, skippedWorkflows, 1)
		return nil, nil
	}
	return workflows(flows, begin.Add(end.Sub(begin)/2), end), nil
}

const (
	// maxFindings is how many findings of one kind of question an hour has at most: for each, evidence is looked for.
	maxFindings = 100

	// maxSuspects is how many series with an unusual rate are looked at for batches, maxFindings at once: their counts of
	// twelve weeks are read.
	maxSuspects = 10 * maxFindings
)

// farthest are the n findings that are farthest off, the farthest first.
func farthest(found []store.Anomaly, n int) []store.Anomaly {
	slices.SortFunc(found, func(a, b store.Anomaly) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Distance), math.Abs(a.Distance)), cmp.Compare(a.ID, b.ID))
	})
	return found[:min(len(found), n)]
}

// seriesOf are the names of the series, each once.
func seriesOf(points []store.Point) []string {
	names := map[string]bool{}
	for _, p := range points {
		names[p.Series] = true
	}
	return slices.Collect(maps.Keys(names))
}

// versions looks at the aggregates of what came in since it last looked.
func (t *term) versions(ctx context.Context) error {
	for ctx.Err() == nil {
		from, err := t.session.Cursor(ctx, cursorVersions, form)
		if err != nil {
			return err
		}
		facts, to, err := t.session.Facts(ctx, from, versionsBatch)
		if err != nil || to == from {
			return err
		}
		looked, seen := map[string]int{}, map[[2]string]bool{}
		var types, ids []string
		for _, f := range facts {
			if key := [2]string{f.AggregateType, f.AggregateID}; !seen[key] {
				seen[key] = true
				looked[f.AggregateType]++
				types, ids = append(types, f.AggregateType), append(ids, f.AggregateID)
			}
		}
		odd, passed, err := t.session.OddVersions(ctx, types, ids, versionsEvents)
		t.skip(ctx, skippedVersions, passed)
		if err == nil {
			err = t.report(ctx, versions(odd, looked))
		}
		if err == nil {
			err = t.session.MoveCursor(ctx, cursorVersions, from, to)
		}
		if err != nil || to-from < versionsBatch {
			return err
		}
	}
	return nil
}

// skip makes visible what was not looked at.
func (t *term) skip(ctx context.Context, what string, n int) {
	if n > 0 {
		t.role.metrics.skipped.WithLabelValues(what).Add(float64(n))
		t.role.deps.Log.WarnContext(ctx, "not looked at for anomalies: there is too much", "what", what, "count", n)
	}
}

// report stores findings, and tells of those that are new.
func (t *term) report(ctx context.Context, found []store.Anomaly) error {
	added, err := t.session.AddAnomalies(ctx, found)
	for _, a := range added {
		t.role.metrics.anomalies.WithLabelValues(a.Kind).Inc()
		t.role.hook.tell(a)
	}
	return err
}
