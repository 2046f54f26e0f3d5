package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"audittrail/modules/event"
)

// Scope says which events a reader may see. What it hides does not exist for that reader. The zero value shows
// nothing.
type Scope struct {
	everything bool
	parts      []ScopePart
}

// ScopePart shows the events that fit all of its lists, each of which lets those pass that one of its globs fits.
// An empty list lets all pass. An event without a source fits no list of sources.
type ScopePart struct {
	EventTypes, AggregateTypes, Sources []string
}

// Everything is the scope of readers that may see all events.
func Everything() Scope { return Scope{everything: true} }

// Only is a scope that shows what one of the parts shows.
func Only(parts ...ScopePart) Scope { return Scope{parts: parts} }

// Or is a scope that shows what either shows.
func (s Scope) Or(other Scope) Scope {
	if s.everything || other.everything {
		return Everything()
	}
	return Only(append(slices.Clone(s.parts), other.parts...)...)
}

// IsEverything reports whether nothing is hidden.
func (s Scope) IsEverything() bool { return s.everything }

// Parts are what the scope shows; nil where it is everything.
func (s Scope) Parts() []ScopePart { return slices.Clone(s.parts) }

// Shows reports whether an event is visible.
func (s Scope) Shows(eventType, aggregateType, source string, hasSource bool) bool {
	fits := func(globs []string, name string) bool { return len(globs) == 0 || fitsOne(globs, name) }
	return s.everything || slices.ContainsFunc(s.parts, func(p ScopePart) bool {
		return fits(p.EventTypes, eventType) && fits(p.AggregateTypes, aggregateType) &&
			(len(p.Sources) == 0 || hasSource && fits(p.Sources, source))
	})
}

// globs are those of which each visible event fits one, by field; a field is not there where one part lets all of its
// values pass.
func (s Scope) globs() map[string][]string {
	all := map[string][]string{}
	if s.everything {
		return all
	}
	for field, of := range map[string]func(ScopePart) []string{
		fieldEventType:     func(p ScopePart) []string { return p.EventTypes },
		fieldAggregateType: func(p ScopePart) []string { return p.AggregateTypes },
		fieldSource:        func(p ScopePart) []string { return p.Sources },
	} {
		if !slices.ContainsFunc(s.parts, func(p ScopePart) bool { return len(of(p)) == 0 }) {
			for _, p := range s.parts {
				all[field] = append(all[field], of(p)...)
			}
		}
	}
	return all
}

func fitsOne(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return event.MatchGlob(g, name) })
}

// scopes are all scopes that a read must keep to.
type scopes []Scope

type scopesKey struct{}

// WithScope narrows what reads by this context see: to the scope, within those that it carries already.
func WithScope(ctx context.Context, s Scope) context.Context {
	return context.WithValue(ctx, scopesKey{}, append(slices.Clip(scopesOf(ctx)), s))
}

func scopesOf(ctx context.Context) scopes {
	all, _ := ctx.Value(scopesKey{}).(scopes)
	return all
}

// Unscoped reports whether reads by this context see everything.
func Unscoped(ctx context.Context) bool {
	return !slices.ContainsFunc(scopesOf(ctx), func(s Scope) bool { return !s.everything })
}

// errNoScope is a mistake of the program: a read for a caller of whom nobody said what may be seen.
var errNoScope = errors.New("the read says no scope")

// sourceOf is an event's source in a row of events.
const sourceOf = `(metadata ->> 'source') COLLATE "C"`

// limit adds the scopes to a statement's conditions.
func (all scopes) limit(c *conditions) { all.limitBy(c, sourceOf) }

// limitBy is limit for a table that has an event's source elsewhere than events.
func (all scopes) limitBy(c *conditions, source string) {
	for _, s := range all {
		if s.everything {
			continue
		}
		parts := make([]string, len(s.parts))
		for i, p := range s.parts {
			part := &conditions{args: c.args}
			part.addGlobs("event_type", p.EventTypes)
			part.addGlobs("aggregate_type", p.AggregateTypes)
			part.addGlobs(source, p.Sources)
			parts[i], c.args = part.sql(), part.args
		}
		if len(parts) == 0 {
			parts = []string{"false"}
		}
		c.terms = append(c.terms, "("+strings.Join(parts, " OR ")+")")
	}
}

// addGlobs wants a text to fit one of the globs; none lets all pass.
func (c *conditions) addGlobs(text string, globs []string) {
	if len(globs) == 0 {
		return
	}
	var names, terms []string
	for _, glob := range globs {
		if !strings.ContainsAny(glob, "*?") {
			names = append(names, glob)
			continue
		}
		terms = append(terms, text+" LIKE "+c.bind(likePattern.Replace(glob)))
	}
	if len(names) > 0 {
		terms = append(terms, text+" = ANY ("+c.bind(names)+"::text[])")
	}
	c.terms = append(c.terms, "("+strings.Join(terms, " OR ")+")")
}

// likePattern makes of a glob a pattern of LIKE, whose escape is the backslash.
var likePattern = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`, "*", "%", "?", "_")

// fingerprint is the scopes as bytes, for cursors. It is the same in whatever order a token names its roles.
func (all scopes) fingerprint() []byte {
	var b []byte
	for _, s := range all {
		if s.everything {
			continue
		}
		var parts []string
		for _, p := range s.parts {
			var part []byte
			for _, list := range [][]string{p.EventTypes, p.AggregateTypes, p.Sources} {
				part = appendField(part, strconv.Itoa(len(list)))
				for _, glob := range list {
					part = appendField(part, glob)
				}
			}
			parts = append(parts, string(part))
		}
		slices.Sort(parts)
		b = appendField(b, "scope")
		for _, part := range slices.Compact(parts) {
			b = appendField(b, part)
		}
	}
	return b
}
