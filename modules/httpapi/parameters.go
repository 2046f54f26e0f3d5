package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

// rules is what the specification says of one operation's parameters.
type rules struct {
	path, query map[string]rule
	required    []string // query parameters that can't be left out
	known       string   // the query parameters, for people
}

// parameterRules reads an operation. It fails on what it could not check at run time.
func parameterRules(op *openapi3.Operation) (*rules, error) {
	r := &rules{path: map[string]rule{}, query: map[string]rule{}}
	for _, ref := range op.Parameters {
		p := ref.Value
		rule, err := newRule(p.Schema.Value)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		switch p.In {
		case openapi3.ParameterInPath:
			r.path[p.Name] = rule
		case openapi3.ParameterInQuery:
			r.query[p.Name] = rule
			if p.Required {
				r.required = append(r.required, p.Name)
			}
		}
	}
	names := make([]string, 0, len(r.query))
	for name := range r.query {
		names = append(names, name)
	}
	slices.Sort(names)
	r.known = strings.Join(names, ", ")
	return r, nil
}

// wantParameters lets a request pass whose parameters are those of the specification, each given as
// often as it may be, and each by its rule. What is refused names the parameter and never quotes a value.
func wantParameters(r *rules) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			for i, name := range c.ParamNames() {
				if err := r.checkPath(name, c.ParamValues()[i]); err != nil {
					return err
				}
			}
			if err := r.checkQuery(c.Request().URL.RawQuery); err != nil {
				return err
			}
			return next(c)
		}
	}
}

func (r *rules) checkPath(name, escaped string) error {
	rule, known := r.path[name]
	if !known {
		return fmt.Errorf("the route's parameter %s is not in the specification", name)
	}
	value, err := url.PathUnescape(escaped)
	if err != nil {
		return invalid(name, "has a %% that is not followed by two hexadecimal digits")
	}
	return rule.check(name, []string{value})
}

// checkQuery parses the query itself: url.Values drops what it can't read, and a filter that is dropped
// is a search that is wider than it was meant.
func (r *rules) checkQuery(raw string) error {
	given, order := map[string][]string{}, []string{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, err := splitPair(pair)
		if err != nil {
			return err
		}
		if _, known := r.query[name]; !known {
			return r.unknown(name)
		}
		if given[name] == nil {
			order = append(order, name)
		}
		given[name] = append(given[name], value)
	}
	for _, name := range order {
		if err := r.query[name].check(name, given[name]); err != nil {
			return err
		}
	}
	for _, name := range r.required {
		if given[name] == nil {
			return invalid(name, "must be given")
		}
	}
	return nil
}

// knownOf are the parameters of a query that the operation has, as far as they can be read: what else there is may be
// anything. A payload that is no JSON is left out, and another one is in canonical form.
func (r *rules) knownOf(raw string) map[string][]string {
	known := map[string][]string{}
	for pair := range strings.SplitSeq(raw, "&") {
		name, value, err := splitPair(pair)
		if _, ok := r.query[name]; err != nil || !ok {
			continue
		}
		if name == "payload" {
			canonical, err := event.Canonicalize(nil, []byte(value))
			if err != nil {
				continue
			}
			value = string(canonical)
		}
		known[name] = append(known[name], value)
	}
	return known
}

func splitPair(pair string) (name, value string, err error) {
	rawName, rawValue, _ := strings.Cut(pair, "=")
	name, err = url.QueryUnescape(rawName)
	if err != nil || strings.Contains(rawName, ";") {
		return "", "", invalid("query", "holds a name that can't be read")
	}
	if strings.Contains(rawValue, ";") {
		return "", "", invalid(printable(name), "holds a ; that is not written as %%3B")
	}
	value, err = url.QueryUnescape(rawValue)
	if err != nil {
		return "", "", invalid(printable(name), "has a %% that is not followed by two hexadecimal digits")
	}
	return name, value, nil
}

func (r *rules) unknown(name string) error {
	if r.known == "" {
		return invalid(printable(name), "is not a parameter of this path, which has none")
	}
	return invalid(printable(name), "is not a parameter of this path; there are: %s", r.known)
}

// printable is a name that the caller made up, as far as it can be shown.
func printable(name string) string {
	name = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) && c != utf8.RuneError {
			return c
		}
		return -1
	}, name)
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64])
	}
	if name == "" {
		return "query"
	}
	return name
}

func invalid(field, format string, args ...any) *errs.Error {
	return errs.New(errs.Invalid, "invalid_parameter", format, args...).InField(field)
}
