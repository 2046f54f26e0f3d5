package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"audittrail/modules/protect"
	"audittrail/modules/sample"
)

// fields are the members of a person that rules may seal. The person's id stays open.
func fields() []string {
	return []string{"name", "email", "phone", "street", "city", "postcode", "birthday", "taxNumber"}
}

// person is a member of a payload: an id, and 8 texts of 5 to 30 bytes, about 250 bytes in all.
func person(n int) string {
	return fmt.Sprintf(`"person":{"id":"P-%d","name":"Ada Lovelace %d","email":"ada.lovelace.%d@example.com","phone":"+44 20 7946 %06d",`+
		`"street":"%d Long Acre","city":"London","postcode":"W1A %d","birthday":"18%02d-12-10","taxNumber":"UTR %010d"}`,
		n, n, n, n, n%500, n%1000, n%100, n)
}

// addPersons puts a person into each payload. The events of a workflow have one, and each workflow another, until there
// are as many as there may be.
func addPersons(records []sample.Record, subjects int) error {
	known := map[string]int{} // by correlation id
	for i := range records {
		var e struct {
			Metadata struct{ CorrelationID string }
		}
		if err := json.Unmarshal(records[i].Value, &e); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		n, ok := known[e.Metadata.CorrelationID]
		if !ok {
			n = len(known) % subjects
			known[e.Metadata.CorrelationID] = n
		}
		if err := addPerson(&records[i], n); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	return nil
}

// addPerson puts a person into a payload, or another into the place of the one that is there.
func addPerson(r *sample.Record, n int) error {
	begin, rest, found := bytes.Cut(r.Value, []byte(`"payload":{`))
	if !found {
		return fmt.Errorf("has no payload that is an object")
	}
	if bytes.HasPrefix(rest, []byte(`"person":{`)) {
		_, rest, _ = bytes.Cut(rest, []byte(`"}`))
		rest = bytes.TrimPrefix(rest, []byte(","))
	}
	text := string(begin) + `"payload":{` + person(n)
	if rest[0] != '}' {
		text += ","
	}
	r.Value = append([]byte(text), rest...)
	return nil
}

// rules seal so many fields of the person.
func rules(sealed int) (all []protect.RuleOptions) {
	for _, field := range fields()[:sealed] {
		all = append(all, protect.RuleOptions{EventType: "*", Path: "$.payload.person." + field, Subject: "$.payload.person.id"})
	}
	return all
}

// configure writes a configuration that seals so many fields, and returns its path.
func (b *bench) configure(sealed int) (path string, err error) {
	var text strings.Builder
	text.WriteString("encryption:\n  kek_url: " + kekURL('a') + "\n  rules:\n")
	for _, rule := range rules(sealed) {
		fmt.Fprintf(&text, "    - {eventType: %q, path: %q, subject: %q}\n", rule.EventType, rule.Path, rule.Subject)
	}
	path = filepath.Join(b.Dir, fmt.Sprintf("sealed-%d.yaml", sealed))
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// kekURL is a key-encryption key that is in the URL itself. It protects nothing but the benchmark's made-up persons.
func kekURL(fill byte) string {
	return "base64key://" + base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{fill}, protect.KeySize))
}
