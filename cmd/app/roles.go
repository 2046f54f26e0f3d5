package app

import (
	"context"
	"errors"
	"slices"

	"audittrail/platform/config"
	"audittrail/platform/lifecycle"
)

// table is what runs where, with which rights: one line a role, in the order in which they start. They
// stop in its reverse. Only what a chosen role needs is opened.
func table() []role {
	return []role{
		{"ingest", needs{kafka: true, postgres: "audittrail_ingest"}, ingestRole},
		{"api", needs{tokens: true, listens: true, postgres: "audittrail_api"}, apiRole},
		{"maintain", needs{postgres: "audittrail_maintain"}, maintainRole},
		{"notary", needs{signer: true, postgres: "audittrail_notary"}, notaryRole},
	}
}

// role is a line of the table.
type role struct {
	name  string
	needs needs
	build func(context.Context, *parts) (lifecycle.Role, error)
}

// needs are the parts that a role can't work without.
type needs struct {
	kafka    bool   // brokers and topics
	tokens   bool   // somebody who issues tokens
	signer   bool   // keys to sign with
	listens  bool   // has a listener of its own, which /startupz waits for
	postgres string // the database role that its pool takes
}

// keys are the configuration keys that must have a value.
func (n needs) keys() []string {
	var keys []string
	if n.postgres != "" {
		keys = append(keys, "postgres.url")
	}
	if n.kafka {
		keys = append(keys, "kafka.brokers", "kafka.topics")
	}
	if n.tokens {
		keys = append(keys, "auth.issuer", "auth.audience", "auth.jwks_url|auth.jwks_file")
	}
	if n.signer {
		keys = append(keys, "ledger.origin", "ledger.signing_key")
	}
	return keys
}

func find(name string) (role, bool) {
	all := table()
	i := slices.IndexFunc(all, func(r role) bool { return r.name == name })
	if i < 0 {
		return role{}, false
	}
	return all[i], true
}

// chosen are the roles that are named, in the table's order.
func chosen(named []string) []role {
	return slices.DeleteFunc(table(), func(r role) bool { return !slices.Contains(named, r.name) })
}

func roleNames() []string {
	var out []string
	for _, r := range table() {
		out = append(out, r.name)
	}
	return out
}

func suggestRole(name string) string {
	if best := config.Nearest(name, roleNames()); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// merge makes one list of problems out of several.
func merge(all ...error) error {
	var problems []error
	for _, err := range all {
		var one *config.Error
		switch {
		case errors.As(err, &one):
			problems = append(problems, one.Problems...)
		case err != nil:
			return err
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &config.Error{Problems: problems}
}
