package event_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
	"audittrail/modules/migrate/migratetest"
)

// connect opens a connection to a real PostgreSQL.
func connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), migratetest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// readBack is s as it comes back from columns of the event store's types.
func readBack(ctx context.Context, t fataler, conn *pgx.Conn, s event.Stored) event.Stored {
	t.Helper()
	err := conn.QueryRow(ctx, `SELECT $1::text::jsonb::text, $2::text::jsonb::text, $3::timestamptz, $4::text, $5::text, $6::text`,
		string(s.Payload), string(s.Metadata), s.Timestamp, s.Type, s.AggregateID, s.AggregateType).
		Scan(&s.Payload, &s.Metadata, &s.Timestamp, &s.Type, &s.AggregateID, &s.AggregateType)
	if err != nil {
		t.Fatalf("PostgreSQL: %v", err)
	}
	for _, json := range []*[]byte{&s.Payload, &s.Metadata} {
		if *json, err = event.Canonicalize(nil, *json); err != nil {
			t.Fatalf("what PostgreSQL answers: %v", err)
		}
	}
	return s
}

func TestCanonicalFormSurvivesPostgreSQL(t *testing.T) {
	conn := connect(t)
	for _, c := range eventtest.Good() {
		s := storedOf(t, c.Value)
		back := readBack(t.Context(), t, conn, s)
		if !bytes.Equal(back.Canonical(), s.Canonical()) {
			t.Errorf("%s:\n%.2000s came back as\n%.2000s", c.Name, s.Canonical(), back.Canonical())
		}
		if back.Digest() != s.Digest() {
			t.Errorf("%s: another digest when read back", c.Name)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		value := anyEvent().Draw(r, "event")
		s := storedOf(t, []byte(value))
		back := readBack(t.Context(), r, conn, s)
		if !bytes.Equal(back.Canonical(), s.Canonical()) {
			r.Fatalf("%s\ncame back as\n%s", s.Canonical(), back.Canonical())
		}
	})
}

// anyEvent draws the values of records that are events.
func anyEvent() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		name := rapid.StringOfN(rapid.SampledFrom([]rune(`aZ0 ./-_"\éß注文😀`)), 1, 255, -1)
		micros := rapid.StringMatching(`19[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z`)
		members := []string{
			`"eventId":"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e"`,
			`"eventType":` + spell(t, name.Draw(t, "type")),
			`"aggregateId":` + spell(t, name.Draw(t, "id")),
			`"aggregateType":` + spell(t, name.Draw(t, "aggregate")),
			`"timestamp":"` + micros.Draw(t, "time") + `"`,
			`"version":` + rapid.StringMatching(`[1-9][0-9]{0,8}(\.0{1,3})?`).Draw(t, "version"),
			`"payload":` + texts(4).Filter(func(s string) bool { return s != "null" }).Draw(t, "payload"),
			`"metadata":{"userId":` + quoted().Draw(t, "user") + `,"more":` + texts(2).Draw(t, "metadata") + `}`,
		}
		if rapid.Bool().Draw(t, "more") {
			members = append(members, `"more":`+texts(2).Draw(t, "other"), spell(t, "x"+words().Draw(t, "name"))+`:[]`)
		}
		return "{" + strings.Join(rapid.Permutation(members).Draw(t, "members"), ",") + "}"
	})
}
