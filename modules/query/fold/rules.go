package fold

import (
	"context"
	"errors"
	"fmt"

	"github.com/itchyny/gojq"

	"audittrail/modules/event"
	"audittrail/platform/config"
)

// Kind says what an event's payload does to the state.
type Kind string

// The kinds of rules.
const (
	Merge   Kind = "merge"   // the payload is a JSON Merge Patch (RFC 7396); the kind of events without a rule
	Replace Kind = "replace" // the payload is the new state
	Ignore  Kind = "ignore"  // the state stays
	Patch   Kind = "patch"   // the payload is a JSON Patch (RFC 6902)
	JQ      Kind = "jq"      // a jq program makes the new state of {state, event}
)

// Options are the keys below `state`.
type Options struct {
	Rules []RuleOptions `key:"rules" help:"how an aggregate's state is folded of its events; the first rule that fits an event counts: a list of {aggregateType, eventType, rule, jq}, names with * and ?, rule is merge, replace, ignore, patch or jq"`
}

// RuleOptions are one rule. An empty name fits every event.
type RuleOptions struct {
	AggregateType string `key:"aggregateType"`
	EventType     string `key:"eventType"`
	Rule          string `key:"rule"`
	JQ            string `key:"jq"`
}

// Validate reports every key that can't work.
func (o Options) Validate() error {
	_, err := NewRules(o)
	return err
}

// Rules are compiled rules. They are safe for concurrent use.
type Rules struct {
	options Options
	rules   []rule
}

type rule struct {
	aggregateType, eventType string
	kind                     Kind
	program                  *gojq.Code
}

// NewRules compiles rules. Its errors name the keys below `state`.
func NewRules(o Options) (*Rules, error) {
	r := &Rules{options: o}
	var errs []error
	for i, given := range o.Rules {
		compiled, key, detail := newRule(given)
		if detail != "" {
			errs = append(errs, config.Invalid(fmt.Sprintf("rules[%d].%s", i, key), "%s", detail))
		}
		r.rules = append(r.rules, compiled)
	}
	return r, errors.Join(errs...)
}

// newRule compiles a rule. Where it can't work, key and detail say why.
func newRule(o RuleOptions) (r rule, key, detail string) {
	r = rule{aggregateType: o.AggregateType, eventType: o.EventType, kind: Kind(o.Rule)}
	switch r.kind {
	case Merge, Replace, Ignore, Patch:
		if o.JQ != "" {
			return r, "jq", "is for rule: jq alone"
		}
	case JQ:
		program, err := compileJQ(o.JQ)
		if err != nil {
			return r, "jq", "must be a jq program that makes the new state of {state, event}; this one can't be compiled"
		}
		r.program = program
	default:
		return r, "rule", "must be one of merge, replace, ignore, patch, jq"
	}
	return r, "", ""
}

// of returns the first rule that fits an event.
func (r *Rules) of(e *event.Stored) *rule {
	if r != nil {
		for i := range r.rules {
			if one := &r.rules[i]; fits(one.aggregateType, e.AggregateType) && fits(one.eventType, e.Type) {
				return one
			}
		}
	}
	return &rule{kind: Merge}
}

// fits reports whether a name is what a glob says. An empty glob fits every name.
func fits(glob, name string) bool { return glob == "" || event.MatchGlob(glob, name) }

// apply changes the state as the rule has it.
func (r *rule) apply(ctx context.Context, t *tree, e *event.Stored) error {
	if r.kind == Ignore {
		return nil
	}
	payload, err := parse(e.Payload)
	if err != nil {
		return err
	}
	switch r.kind {
	case Replace:
		t.assign(t.root, payload)
	case Patch:
		return t.patch(ctx, e.Payload)
	case JQ:
		return t.compute(ctx, r.program, e)
	default:
		t.merge(t.root, payload)
	}
	return nil
}
