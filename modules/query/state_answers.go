package query

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/httpapi"
	"audittrail/modules/query/fold"
)

func jsonAnswer(answer any) (httpapi.JSONAnswer, error) {
	body, err := json.Marshal(answer, jsontext.AllowDuplicateNames(true))
	return httpapi.JSONAnswer(body), err
}

// The answers in the order in which people read them.
type stateAnswer struct {
	AggregateType string         `json:"aggregateType"`
	AggregateID   string         `json:"aggregateId"`
	Version       int32          `json:"version"`
	Position      int64          `json:"position"`
	AsOf          string         `json:"asOf"`
	State         jsontext.Value `json:"state"`
	Events        int            `json:"events"`
	Versions      versionsAnswer `json:"versions"`
}

type diffAnswer struct {
	From     jsontext.Value `json:"from"`
	To       jsontext.Value `json:"to"`
	Changes  []changeAnswer `json:"changes"`
	Versions versionsAnswer `json:"versions"`
}

type changeAnswer struct {
	Op      string         `json:"op"`
	Path    string         `json:"path"`
	Value   jsontext.Value `json:"value,omitzero"`
	EventID string         `json:"eventId"`
}

type versionsAnswer struct {
	Gaps     []gapAnswer    `json:"gaps"`
	Repeats  []repeatAnswer `json:"repeats"`
	Disorder []lateAnswer   `json:"disorder"`
	Counts   countsAnswer   `json:"counts"`
}

type gapAnswer struct {
	From int32 `json:"from"`
	To   int32 `json:"to"`
}

type repeatAnswer struct {
	Version int32 `json:"version"`
	Events  int   `json:"events"`
}

type lateAnswer struct {
	EventID string `json:"eventId"`
	Version int32  `json:"version"`
	After   int32  `json:"after"`
}

type countsAnswer struct {
	Gaps     int `json:"gaps"`
	Repeats  int `json:"repeats"`
	Disorder int `json:"disorder"`
}

func versionsOf(r fold.Report) versionsAnswer {
	v := versionsAnswer{[]gapAnswer{}, []repeatAnswer{}, []lateAnswer{}, countsAnswer{r.AllGaps, r.AllRepeats, r.AllDisorder}}
	for _, g := range r.Gaps {
		v.Gaps = append(v.Gaps, gapAnswer(g))
	}
	for _, p := range r.Repeats {
		v.Repeats = append(v.Repeats, repeatAnswer(p))
	}
	for _, l := range r.Disorder {
		v.Disorder = append(v.Disorder, lateAnswer{l.Event.String(), l.Version, l.Behind})
	}
	return v
}
