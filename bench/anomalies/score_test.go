package main

import (
	"strings"
	"testing"
	"time"
)

func TestScore(t *testing.T) {
	hour := time.Date(2026, 3, 9, 10, 0, 0, 0, time.UTC)
	labels := []label{
		{kind: "rate", subject: "type A", from: hour, to: hour.Add(time.Hour)},
		{kind: "rate", subject: "type B", from: hour, to: hour.Add(time.Hour)},
		{kind: "rate", subject: "source S", consequence: true},
	}
	found := []finding{
		{kind: "rate", subject: "type A", at: hour}, {kind: "rate", subject: "source S", at: hour},
		{kind: "rate", subject: "type B", at: hour.Add(time.Hour)}, // another hour
		{kind: "silent_source", subject: "source S", at: hour},
	}
	s := score(found[3:], found, labels, 2)
	k := s.kinds["rate"]
	if k.recall() != 0.5 || k.injected != 2 || k.reported != 3 || k.right != 2 || len(k.wrong) != 1 || k.missed[0].subject != "type B" {
		t.Errorf("%+v", k)
	}
	if quiet := s.kinds["silent_source"]; quiet.falseAlarms != 1 || quiet.recall() != 1 || quiet.precision() != 0 {
		t.Errorf("%+v", quiet)
	}
	var out strings.Builder
	s.print(&out, true)
	if text := out.String(); !strings.Contains(text, "missed  2026-03-09 10:00  rate  type B") || !strings.Contains(text, "misses the goal") {
		t.Error(text)
	}
}

// The same seed makes the same scene and the same anomalies; each kind has some, and each event is valid.
func TestScene(t *testing.T) {
	o := options{days: 14, orders: 60, seed: 1}
	build := func() (*scene, []label) {
		s, err := newScene(o)
		if err != nil {
			t.Fatal(err)
		}
		return s, inject(s, o.seed)
	}
	s, labels := build()
	again, same := build()
	if len(s.events) != len(again.events) || len(labels) != len(same) || s.injected != again.injected {
		t.Errorf("%d and %d events, %d and %d labels", len(s.events), len(again.events), len(labels), len(same))
	}
	injected := map[string]int{}
	for i, l := range labels {
		if l != same[i] {
			t.Fatalf("%v and %v", l, same[i])
		}
		if !l.consequence {
			injected[l.kind]++
		}
	}
	for _, kind := range []string{"rate", "silent_source", "actor_volume", "actor_type", "actor_hours", "step_skipped", "step_reversed", "followup_missing",
		"version_gap", "version_repeat", "event_id_conflict", "dead_letter_burst", "mass_export", "mass_reading"} {
		if injected[kind] < 10 {
			t.Errorf("%d of %s", injected[kind], kind)
		}
	}
	for _, r := range s.events {
		if r.at.Before(s.from.Add(-history)) || !r.at.Before(s.to) || r.AggregateID == "" || r.Version < 0 {
			t.Fatalf("%+v", r)
		}
	}
}
