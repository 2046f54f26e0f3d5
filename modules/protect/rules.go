package protect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"audittrail/modules/event"
	"audittrail/platform/config"
)

// Options are the keys below `encryption`.
type Options struct {
	Rules      []RuleOptions `key:"rules" help:"fields whose values are sealed: a list of {eventType, path, subject, search}; eventType may hold * and ?, path is such as $.payload.customer.email or $.payload.lines[*].sku, subject is the path of the id of the person whose value it is (default: the event's aggregate), search: true lets readers with pii:read find the value"`
	KEKURL     string        `key:"kek_url" secret:"true" help:"key-encryption key, a URL of gocloud.dev/secrets: awskms://, hashivault://, or base64key:// for local work. Needed with encryption.rules, and to read what was sealed"`
	LetterDays int           `key:"dead_letter_days" default:"90" help:"days after which the values of dead letters can't be read any more: where rules are given they are sealed under a key of the month, which the role maintain destroys so long after the month's end"`
	KeysURL    string        `key:"keys_url" secret:"url" help:"database of the subjects' keys; default: postgres.url. A backup of the events then opens nothing"`
	Journal    string        `key:"journal" help:"file, outside the databases, in which a process with the role maintain notes each erased subject (a hash, and key ids) before it destroys the key. When it starts it erases again what a restored database lacks. Keep it on a disk that no backup of the database replaces. Needed with encryption.rules where the role maintain runs"`
}

// RuleOptions are one rule.
type RuleOptions struct {
	EventType string `key:"eventType"`
	Path      string `key:"path"`
	Subject   string `key:"subject"`
	Search    bool   `key:"search"`
}

// Enabled reports whether anything may be sealed or opened.
func (o Options) Enabled() bool { return o.KEKURL != "" }

// Validate reports every key that can't work.
func (o Options) Validate() error {
	_, err := NewRules(o.Rules)
	if o.LetterDays < 1 {
		err = errors.Join(err, config.Invalid("dead_letter_days", "must be 1 at least"))
	}
	if len(o.Rules) > 0 && o.KEKURL == "" {
		err = errors.Join(err, config.Invalid("kek_url", "must be given with encryption.rules, such as base64key://… for local work"))
	}
	return err
}

// staysOpen reports whether the program itself has to read a member of metadata.
func staysOpen(member string) bool {
	switch member {
	case "correlationId", "causationId", "source", "traceId", "audittrail", each:
		return true
	}
	return false
}

// rule is a rule that was checked.
type rule struct {
	glob    string
	path    path
	subject path // without a root: the aggregate
	search  bool
	name    string // tells it from other rules; its tokens' key is made with it
	whose   int    // the index of the first rule with the same subject; eachItsOwn where the subject's path leads through arrays
}

// eachItsOwn says that an event's values may have different subjects.
const eachItsOwn = -1

// Rules says which values are sensitive. It never changes.
type Rules struct{ list []rule }

// NewRules checks rules. Its error names each that can't work.
func NewRules(options []RuleOptions) (*Rules, error) {
	var (
		r   Rules
		bad []error
	)
	for i, o := range options {
		invalid := func(key, text string, args ...any) {
			bad = append(bad, config.Invalid(fmt.Sprintf("rules[%d].%s", i, key), text, args...))
		}
		if o.EventType == "" {
			invalid("eventType", "must not be empty; * is every type")
		}
		checked := rule{glob: o.EventType, search: o.Search, name: o.EventType + "\x00" + o.Path}
		var err error
		if checked.path, err = parsePath(o.Path); err != nil {
			invalid("path", "%v", err)
			continue
		}
		if len(checked.path.steps) == 0 || checked.path.root == "aggregateId" {
			invalid("path", "must lead into payload or metadata: identifiers and whole documents can't be sealed")
			continue
		}
		if checked.path.root == "metadata" && staysOpen(checked.path.steps[0]) {
			invalid("path", "must not be metadata's correlationId, causationId, source or traceId: the program itself reads them")
		}
		if o.Subject != "" {
			if checked.subject, err = parsePath(o.Subject); err != nil {
				invalid("subject", "%v", err)
			} else if !checked.subject.shared(checked.path) {
				invalid("subject", "must lead through no other arrays than path does: else it is not known whose value is whose")
			}
		}
		r.list = append(r.list, checked)
		last := &r.list[len(r.list)-1]
		last.whose = eachItsOwn
		if !slices.Contains(last.subject.steps, each) {
			last.whose = slices.IndexFunc(r.list, func(first rule) bool { return samePath(first.subject, last.subject) })
		}
	}
	if len(bad) == 0 {
		bad = r.sealedSubjects()
	}
	return &r, errors.Join(bad...)
}

// sealedSubjects reports rules whose subject is itself sealed for somebody else: once that other subject is erased,
// nobody can tell any more whose the values are.
func (r *Rules) sealedSubjects() (bad []error) {
	for i, of := range r.list {
		for j, by := range r.list {
			if of.subject.root == "" || !by.path.covers(of.subject) || !mayMeet(of.glob, by.glob) || samePath(of.subject, by.subject) {
				continue
			}
			bad = append(bad, config.Invalid(fmt.Sprintf("rules[%d].subject", i), "is itself sealed, by rule %d for another subject: give both the same subject", j))
		}
	}
	return bad
}

func samePath(a, b path) bool { return a.covers(b) && b.covers(a) }

// mayMeet reports whether an event's type may fit both globs. It may be wrong when it says yes.
func mayMeet(a, b string) bool {
	switch {
	case !strings.ContainsAny(a, "*?"):
		return event.MatchGlob(b, a)
	case !strings.ContainsAny(b, "*?"):
		return event.MatchGlob(a, b)
	}
	return true
}

// Identifiers reports rules whose subject is the aggregate: nothing erases an aggregateId, so it must say nothing about
// the person.
func (r *Rules) Identifiers() (names []string) {
	for _, one := range r.list {
		if one.subject.root != "metadata" && one.subject.root != "payload" {
			names = append(names, one.glob)
		}
	}
	return names
}

// Empty reports whether nothing is sensitive.
func (r *Rules) Empty() bool { return len(r.list) == 0 }

// Seals reports whether a rule seals a member of metadata, whatever the event's type.
func (r *Rules) Seals(member string) bool {
	for i := range r.list {
		if p := r.list[i].path; p.root == "metadata" && len(p.steps) == 1 && p.steps[0] == member {
			return true
		}
	}
	return false
}

// node is a place in a document from which sensitive values are reached.
type node struct {
	rules   []*rule // the value here is sensitive as a whole; of several rules the first one counts
	members map[string]*node
	items   *node
}

// typeRules are the rules for one type of event.
type typeRules struct{ payload, metadata *node }

// of returns the rules for a type of event, or nil if there are none.
func (r *Rules) of(eventType string) *typeRules {
	var t *typeRules
	for i := range r.list {
		one := &r.list[i]
		if !event.MatchGlob(one.glob, eventType) {
			continue
		}
		if t == nil {
			t = &typeRules{&node{}, &node{}}
		}
		t.add(one)
	}
	return t
}

func (t *typeRules) add(one *rule) {
	at := t.payload
	if one.path.root == "metadata" {
		at = t.metadata
	}
	for _, step := range one.path.steps {
		at = at.child(step)
	}
	at.rules = append(at.rules, one)
}

func (n *node) child(step string) *node {
	if step == each {
		if n.items == nil {
			n.items = &node{}
		}
		return n.items
	}
	if n.members == nil {
		n.members = map[string]*node{}
	}
	if n.members[step] == nil {
		n.members[step] = &node{}
	}
	return n.members[step]
}
