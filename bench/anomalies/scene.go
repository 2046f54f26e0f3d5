package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"audittrail/bench/internal/benchdb"
	"audittrail/modules/event"
	"audittrail/modules/sample"
)

// record is what one Kafka record holds, as far as the scene changes it.
type record struct {
	ID            string         `json:"eventId"`
	Type          string         `json:"eventType"`
	AggregateID   string         `json:"aggregateId"`
	AggregateType string         `json:"aggregateType"`
	Timestamp     string         `json:"timestamp"`
	Version       int            `json:"version"`
	Payload       any            `json:"payload"`
	Metadata      map[string]any `json:"metadata"`

	at time.Time
}

func (r *record) text(name string) string {
	s, _ := r.Metadata[name].(string)
	return s
}

func (r *record) move(at time.Time) {
	r.at, r.Timestamp = at, at.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// reading is an entry of the access log.
type reading struct {
	at        time.Time
	principal string
	route     string
	events    int
}

// nonsense is a record that becomes a dead letter. conflictOf is the id of the event whose id it has, "" for none.
type nonsense struct {
	at         time.Time
	conflictOf string
}

// scene is traffic of nine weeks of history, and of the days that are looked at.
type scene struct {
	name     string
	events   []*record // in no order
	readings []reading
	letters  []nonsense
	from, to time.Time // what is looked at
	injected int
	people   bool // events have users, and clerks have hours
	sensors  bool // there are sources that are never silent
	made     int

	isSeasonal bool // an hour has about as much as the same hour of other weeks
}

// history is how long before the days that are looked at the traffic begins: more than eight weeks, with which an hour
// is compared.
const history = 9 * 7 * 24 * time.Hour

func newScene(o options) (*scene, error) {
	s := &scene{name: "sample traffic", people: true, sensors: true, isSeasonal: true}
	rng := rand.New(rand.NewPCG(o.seed, 1))
	var err error
	if o.file != "" {
		s.name, s.people, s.sensors, s.isSeasonal = "events of "+o.file[strings.LastIndexByte(o.file, '/')+1:], false, false, false
		err = s.readFile(o)
	} else {
		s.from = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC).Add(history)
		s.to = s.from.AddDate(0, 0, o.days)
		err = s.trade(o, rng)
		s.clerks(rng)
		s.measure(rng)
	}
	if err != nil {
		return nil, err
	}
	s.read(rng)
	s.spoil(rng)
	return s, nil
}

// readFile takes a file's events, and looks at the busiest time of it that has a history.
func (s *scene) readFile(o options) error {
	records, err := benchdb.File(o.file)
	if err != nil {
		return err
	}
	days := map[time.Time]int{}
	for _, r := range records {
		one, err := parseRecord(r.Value)
		if err != nil {
			return err
		}
		s.events = append(s.events, one)
		days[one.at.Truncate(24*time.Hour)]++
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(days)), time.Time.Compare)
	most := -1
	for day := range days {
		n, before := 0, 0
		for i := range o.days {
			n += days[day.AddDate(0, 0, i)]
		}
		for i := 1; i <= int(history.Hours()/24); i++ {
			if days[day.AddDate(0, 0, -i)] > 0 {
				before++
			}
		}
		if before >= 40 && day.After(first) && (n > most || n == most && day.Before(s.from)) {
			most, s.from = n, day
		}
	}
	s.to = s.from.AddDate(0, 0, o.days)
	s.events = slices.DeleteFunc(s.events, func(r *record) bool { return !r.at.Before(s.to) })
	return nil
}

func parseRecord(value []byte) (*record, error) {
	r := &record{}
	if err := json.Unmarshal(value, r); err != nil {
		return nil, fmt.Errorf("an event: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, r.Timestamp)
	if err != nil {
		return nil, fmt.Errorf("an event's timestamp: %w", err)
	}
	r.move(at)
	return r, nil
}

// season is how busy a moment is, 1 on average: quiet nights, and weekends at half.
func season(at time.Time) float64 {
	h := float64(at.Hour()) + float64(at.Minute())/60
	day := 1 + 0.8*math.Sin((h-8)/24*2*math.Pi)
	if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
		return day * 0.5
	}
	return day * 1.2
}

// moments draws moments at a rate a day, by season.
func (s *scene) moments(rng *rand.Rand, perDay float64, each func(at time.Time)) {
	const most = 1.8 * 1.2
	for at := s.from.Add(-history); ; {
		at = at.Add(time.Duration(rng.ExpFloat64() * float64(24*time.Hour) / (perDay * most))).Truncate(time.Microsecond)
		if !at.Before(s.to) {
			return
		}
		if rng.Float64() < season(at)/most {
			each(at)
		}
	}
}

// trade has the sample's orders.
func (s *scene) trade(o options, rng *rand.Rand) (err error) {
	number := uint64(0)
	s.moments(rng, float64(o.orders), func(at time.Time) {
		number++
		for _, r := range sample.Story(o.seed, number, at, false) {
			one, failed := parseRecord(r.Value)
			if failed != nil {
				err = failed
				return
			}
			if one.at.Before(s.to) {
				s.events = append(s.events, one)
			}
		}
	})
	return err
}

// add makes an event of an aggregate of its own.
func (s *scene) add(kind, source, user string, at time.Time) {
	s.made++
	var id event.ID
	rng := rand.New(rand.NewPCG(uint64(s.made), 2))
	for i := range id {
		id[i] = byte(rng.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	r := &record{ID: id.String(), Type: kind, AggregateType: "Made", AggregateID: fmt.Sprint("made-", s.made), Version: 1,
		Payload: map[string]any{"n": s.made}, Metadata: map[string]any{"source": source}}
	if user != "" {
		r.Metadata["userId"] = user
	}
	r.move(at)
	s.events = append(s.events, r)
}

func clerk(i int) string { return fmt.Sprintf("clerk-%02d", i) }

const clerks = 20

// clerks approve invoices in the hours of their office; each has a pace of their own.
func (s *scene) clerks(rng *rand.Rand) {
	for i := range clerks {
		pace := 1.5 + 3*rng.Float64()
		for hour := s.from.Add(-history); hour.Before(s.to); hour = hour.Add(time.Hour) {
			if hour.Weekday() == time.Saturday || hour.Weekday() == time.Sunday || hour.Hour() < 8 || hour.Hour() >= 17 {
				continue
			}
			for range poisson(rng, pace) {
				kind := "InvoiceApproved"
				if rng.IntN(10) == 0 {
					kind = "InvoiceRejected"
				}
				s.add(kind, "billing-service", clerk(i), hour.Add(time.Duration(rng.Int64N(int64(time.Hour)))))
			}
		}
	}
}

func sensor(i int) string { return fmt.Sprintf("sensor-%d", i) }

const sensors = 4

// measure has sources that report all day.
func (s *scene) measure(rng *rand.Rand) {
	for i := range sensors {
		s.moments(rng, 400, func(at time.Time) { s.add("Measured", sensor(i), "", at) })
	}
}

func principal(i int) string { return fmt.Sprintf("reader-%02d", i) }

const principals = 15

// read has people who page through events, and services that export some.
func (s *scene) read(rng *rand.Rand) {
	for hour := s.from.Add(-history); hour.Before(s.to); hour = hour.Add(time.Hour) {
		if hour.Hour() < 7 || hour.Hour() >= 19 {
			continue
		}
		for i := range principals {
			for range poisson(rng, 0.8) {
				s.readings = append(s.readings, reading{hour.Add(time.Duration(rng.Int64N(int64(time.Hour)))), principal(i), "/v1/events", 1 + int(math.Exp(2+1.5*rng.NormFloat64()))})
			}
			if rng.IntN(80) == 0 {
				s.readings = append(s.readings, reading{hour.Add(time.Duration(rng.Int64N(int64(time.Hour)))), principal(i), "/v1/events/export", 1 + int(math.Exp(7+rng.NormFloat64()))})
			}
		}
	}
}

// spoil has some dead letters an hour, as careless producers make them.
func (s *scene) spoil(rng *rand.Rand) {
	s.moments(rng, 30, func(at time.Time) { s.letters = append(s.letters, nonsense{at: at}) })
}

// poisson draws a count (Knuth; means are small).
func poisson(rng *rand.Rand, mean float64) int {
	limit, n := math.Exp(-mean), 0
	for p := rng.Float64(); p > limit; p *= rng.Float64() {
		n++
	}
	return n
}
