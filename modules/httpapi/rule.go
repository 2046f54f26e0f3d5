package httpapi

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"audittrail/modules/event"
)

// rule checks a parameter's values by its schema.
type rule struct {
	many     bool // the parameter may be repeated
	min, max int  // how often, where it may
	one      func(value string) bool
	wording  string // what a value must be, for people
}

// newRule reads the kinds of schema that parameters have: text, whole numbers, and arrays of them.
func newRule(schema *openapi3.Schema) (rule, error) {
	if schema.Type.Is(openapi3.TypeArray) {
		item, err := newRule(schema.Items.Value)
		if err != nil || item.many || schema.MaxItems == nil {
			return rule{}, errors.Join(errors.New("an array wants items of a plain type, and maxItems"), err)
		}
		item.many, item.min, item.max = true, int(schema.MinItems), int(*schema.MaxItems)
		return item, nil
	}
	switch {
	case schema.Type.Is(openapi3.TypeInteger):
		return integerRule(schema), nil
	case !schema.Type.Is(openapi3.TypeString):
		return rule{}, errors.New("only strings and integers can be parameters")
	case len(schema.Enum) > 0:
		return enumRule(schema)
	}
	switch schema.Format {
	case "":
		return textRule(schema), nil
	case "line":
		text := textRule(schema)
		return rule{one: func(value string) bool { return text.one(value) && IsLine(value) }, wording: text.wording + ", and " + lineWording}, nil
	case "date-time":
		return rule{one: isTime, wording: "must be an RFC 3339 time, as 2026-03-01T09:30:00Z; in a query, the + of its offset is %2B"}, nil
	case "uuid":
		return rule{one: isUUID, wording: "must be a UUID in its 36-character form, and not nil"}, nil
	default:
		return rule{}, fmt.Errorf("the format %q can't be checked", schema.Format)
	}
}

// check answers the first thing that is wrong with the values of one parameter.
func (r rule) check(name string, values []string) error {
	if !r.many && len(values) > 1 {
		return invalid(name, "must be given once")
	}
	if r.many && (len(values) < r.min || len(values) > r.max) {
		return invalid(name, "must be given %d to %d times", r.min, r.max)
	}
	for _, value := range values {
		switch {
		case value == "":
			return invalid(name, "must not be empty")
		case !isText(value):
			return invalid(name, "must be valid UTF-8 without control characters")
		case !r.one(value):
			return invalid(name, "%s", r.wording)
		}
	}
	return nil
}

func integerRule(schema *openapi3.Schema) rule {
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	wording := "must be a whole number"
	if schema.Min != nil {
		least = int64(*schema.Min)
		wording += fmt.Sprintf(" of at least %d and below 2^63", least)
	}
	if schema.Max != nil {
		most = int64(*schema.Max)
		wording = fmt.Sprintf("must be a whole number from %d to %d", least, most)
	}
	return rule{wording: wording + ", without leading zeros", one: func(value string) bool {
		n, err := strconv.ParseInt(value, 10, 64)
		// One spelling alone: caches know what never changes by its URL.
		return err == nil && strconv.FormatInt(n, 10) == value && n >= least && n <= most
	}}
}

func enumRule(schema *openapi3.Schema) (rule, error) {
	words := make([]string, 0, len(schema.Enum))
	for _, v := range schema.Enum {
		word, ok := v.(string)
		if !ok {
			return rule{}, errors.New("an enum of strings holds something else")
		}
		words = append(words, word)
	}
	return rule{
		wording: "must be one of: " + strings.Join(words, ", "),
		one:     func(value string) bool { return slices.Contains(words, value) },
	}, nil
}

func textRule(schema *openapi3.Schema) rule {
	least, most := int(schema.MinLength), math.MaxInt
	wording := fmt.Sprintf("must have at least %d characters", least)
	if schema.MaxLength != nil {
		most = int(*schema.MaxLength)
		wording = fmt.Sprintf("must have %d to %d characters", least, most)
	}
	return rule{wording: wording, one: func(value string) bool {
		n := utf8.RuneCountInString(value)
		return n >= least && n <= most
	}}
}

// isText refuses what no stored text contains: it could match nothing, and PostgreSQL takes no NUL.
func isText(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
}

// lineWording says what IsLine refuses in a text that isText takes.
const lineWording = "none that changes the direction of text or ends a line, such as U+202E and U+2028"

// IsLine reports whether a text that somebody gives, and that others are shown, can only be shown as what it is: it is
// one line of UTF-8 without control characters, line and paragraph separators, and those that change the direction of text.
func IsLine(value string) bool {
	return isText(value) && !strings.ContainsFunc(value, func(r rune) bool { return unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) })
}

func isTime(value string) bool { _, err := event.ParseTime(value); return err == nil }
func isUUID(value string) bool { _, err := event.ParseID(value); return err == nil }
