package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"audittrail/modules/event"
	"audittrail/platform/errs"
)

// bodyRule checks a canonical JSON value by its schema. path names the value, for people.
type bodyRule func(path string, value []byte) error

// requestBody is what an operation takes as its request's body. It is the zero value where it takes none.
type requestBody struct {
	rule     bodyRule
	required bool
}

// bodyOf reads the schema of an operation's body. It fails on what it could not check at run time.
func bodyOf(op *openapi3.Operation) (requestBody, error) {
	if op.RequestBody == nil {
		return requestBody{}, nil
	}
	content := op.RequestBody.Value.Content[jsonType]
	if content == nil || len(op.RequestBody.Value.Content) != 1 {
		return requestBody{}, errors.New("a request's body must be application/json")
	}
	rule, err := newBodyRule(content.Schema.Value)
	return requestBody{rule, op.RequestBody.Value.Required}, err
}

// newBodyRule reads the kinds of schema that bodies have. A schema without a type takes any JSON value.
func newBodyRule(schema *openapi3.Schema) (bodyRule, error) {
	switch {
	case schema.Type == nil:
		return func(string, []byte) error { return nil }, nil
	case schema.Type.Is(openapi3.TypeObject):
		return objectRule(schema)
	case schema.Type.Is(openapi3.TypeArray):
		return arrayRule(schema)
	case schema.Type.Is(openapi3.TypeBoolean):
		return func(path string, value []byte) error {
			if value[0] != 't' && value[0] != 'f' {
				return invalid(path, "must be true or false")
			}
			return nil
		}, nil
	case schema.Type.Is(openapi3.TypeNumber):
		return numberRule(schema), nil
	}
	scalar, err := newRule(schema)
	isText := schema.Type.Is(openapi3.TypeString)
	return func(path string, value []byte) error {
		switch {
		case isText && value[0] != '"':
			return invalid(path, "must be a string")
		case isText:
			return scalar.check(path, []string{unquoted(value)})
		case value[0] == '"':
			return invalid(path, "%s", scalar.wording)
		}
		return scalar.check(path, []string{string(value)})
	}, err
}

func objectRule(schema *openapi3.Schema) (bodyRule, error) {
	rules := map[string]bodyRule{}
	names := make([]string, 0, len(schema.Properties))
	for name, property := range schema.Properties {
		rule, err := newBodyRule(property.Value)
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", name, err)
		}
		rules[name] = rule
		names = append(names, name)
	}
	slices.Sort(names)
	return func(path string, value []byte) error {
		if value[0] != '{' {
			return invalid(orBody(path), "must be an object")
		}
		within := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
		given := map[string]bool{}
		for name, member := range event.Members(value) {
			rule, known := rules[string(name)]
			if !known {
				return invalid(within(printable(string(name))), "is not a member of this request; there are: %s", strings.Join(names, ", "))
			}
			if err := rule(within(string(name)), member); err != nil {
				return err
			}
			given[string(name)] = true
		}
		for _, name := range schema.Required {
			if !given[name] {
				return invalid(within(name), "must be given")
			}
		}
		return nil
	}, nil
}

func arrayRule(schema *openapi3.Schema) (bodyRule, error) {
	item, err := newBodyRule(schema.Items.Value)
	if err != nil || schema.MaxItems == nil {
		return nil, errors.Join(errors.New("an array wants items and maxItems"), err)
	}
	least, most := int(schema.MinItems), int(*schema.MaxItems)
	return func(path string, value []byte) error {
		if value[0] != '[' {
			return invalid(orBody(path), "must be an array")
		}
		n, elements := 0, jsontext.NewDecoder(bytes.NewReader(value))
		if _, err := elements.ReadToken(); err != nil {
			return invalid(path, "must be an array").Because(err)
		}
		for ; elements.PeekKind() != ']' && n <= most; n++ {
			element, err := elements.ReadValue()
			if err != nil {
				return invalid(path, "must be an array").Because(err)
			}
			if err := item(path, element); err != nil {
				return err
			}
		}
		if n < least || n > most {
			return invalid(path, "must have %d to %d elements", least, most)
		}
		return nil
	}, nil
}

func numberRule(schema *openapi3.Schema) bodyRule {
	return func(path string, value []byte) error {
		n, err := strconv.ParseFloat(string(value), 64)
		switch {
		case err != nil:
			return invalid(path, "must be a number")
		case schema.Min != nil && (n < *schema.Min || schema.ExclusiveMin.IsTrue() && n == *schema.Min):
			return invalid(path, "must be more than %v", *schema.Min)
		case schema.Max != nil && n > *schema.Max:
			return invalid(path, "must be %v at most", *schema.Max)
		}
		return nil
	}
}

// unquoted is a canonical string's text.
func unquoted(value []byte) string {
	text, _ := jsontext.AppendUnquote(nil, value) // which is valid: it is canonical
	return string(text)
}

func orBody(path string) string {
	if path == "" {
		return "body"
	}
	return path
}

// wantBody lets a request pass whose body is what the operation takes, as application/json. The handler gets it in
// canonical form.
func wantBody(body requestBody) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if r.Method == http.MethodGet {
				return next(c) // whose body is refused before
			}
			sent, err := io.ReadAll(r.Body)
			var long *http.MaxBytesError
			switch {
			case errors.As(err, &long) || err == nil && len(sent) > 0 && body.rule == nil:
				return echo.NewHTTPError(http.StatusRequestEntityTooLarge)
			case err != nil:
				return echo.NewHTTPError(http.StatusBadRequest)
			case len(sent) == 0 && !body.required:
				r.Body, r.ContentLength = http.NoBody, 0
				return next(c)
			}
			canonical, err := checkedBody(r, sent, body.rule)
			if err != nil {
				return err
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(canonical)), int64(len(canonical))
			return next(c)
		}
	}
}

func checkedBody(r *http.Request, sent []byte, rule bodyRule) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get(contentType)); err != nil || kind != jsonType {
		return nil, errs.New(errs.Invalid, "invalid_request", "the body must be JSON: send Content-Type: application/json")
	}
	canonical, err := event.Canonicalize(nil, sent)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid_request", "the body is not JSON, or names a member of an object twice").Because(err)
	}
	return canonical, rule("", canonical)
}
