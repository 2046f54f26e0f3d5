package replay

import (
	"cmp"
	"encoding/json"
	"time"

	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

// filterOf reads a job's filter. now is when the job was made, where a search without an end ends.
func filterOf(f *httpapi.ReplayFilter, now time.Time) (store.Filter, error) {
	if f == nil {
		return store.Filter{}, nil
	}
	var payload *httpapi.Payload
	if f.Payload != nil {
		text := string(*f.Payload)
		payload = &text
	}
	filter, err := httpapi.Search{
		EventTypes: f.EventType, AggregateType: f.AggregateType, AggregateID: f.AggregateId, From: f.From, To: f.To,
		CorrelationID: f.CorrelationId, CausationID: f.CausationId, UserID: f.UserId, Source: f.Source, Payload: payload,
	}.Filter(now)
	return filter, inFilter(err)
}

// inFilter names a part of the filter as the body has it.
func inFilter(err error) error {
	if err == nil {
		return nil
	}
	e := errs.Of(err)
	return e.InField("filter." + e.Field)
}

// speedOf checks a job's speed.
func speedOf(s *httpapi.ReplaySpeed) (httpapi.ReplaySpeed, error) {
	if s == nil {
		return httpapi.ReplaySpeed{}, nil
	}
	if s.MaxPerSecond != nil && s.TimeScale != nil {
		return *s, invalid("speed", "is either maxPerSecond or timeScale")
	}
	return *s, nil
}

// paceOf is the pacer of a speed and a target.
func paceOf(s httpapi.ReplaySpeed, to destination) pacer {
	p := pacer{perSecond: to.maxPerSecond}
	if s.MaxPerSecond != nil && (p.perSecond == 0 || *s.MaxPerSecond < p.perSecond) {
		p.perSecond = *s.MaxPerSecond
	}
	if s.TimeScale != nil {
		p.scale = *s.TimeScale
	}
	return p
}

// usualRate is how many events a second targets of a type take where nothing bounds them, roughly.
func usualRate(kind string) float64 {
	return map[string]float64{typeKafka: 20_000, typeWebhook: 200, typeFile: 20_000}[kind]
}

// estimate is how many seconds a replay takes, roughly.
func (p pacer) estimate(kind string, all store.Summary) float64 {
	seconds := float64(all.Total) / cmp.Or(p.perSecond, usualRate(kind))
	if p.scale > 0 {
		seconds = max(seconds, all.To.Sub(all.From).Seconds()/p.scale)
	}
	return seconds
}

// document writes a part of a request down; where it was not given it is an empty object.
func document[T any](part *T) ([]byte, error) {
	if part == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(part)
}
