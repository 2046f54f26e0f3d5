package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// validator is what an options struct may implement, on its value or its pointer.
type validator interface{ Validate() error }

// Check runs the Validate method of every options struct, nested ones first, and reports in an *Error
// what they find, each with the origin of the offending value.
//
// A Validate reports values that break a rule, and MUST accept the defaults: what is missing is an
// error only where it is needed, which is Require's matter. It MUST NOT call those of its members.
func (l *Loaded) Check() error {
	problems := l.validate(l.root, "")
	for _, err := range problems {
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			invalid.Origin = l.Origin(invalid.Key)
		}
	}
	if len(problems) > 0 {
		return &Error{problems}
	}
	return nil
}

func (l *Loaded) validate(v reflect.Value, prefix string) []error {
	var found []error
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, tagged := f.Tag.Lookup("key")
		if f.Type.Kind() == reflect.Struct && tagged && f.IsExported() {
			found = append(found, l.validate(v.Field(i), join(prefix, name))...)
		}
	}
	if val, ok := v.Addr().Interface().(validator); ok {
		found = append(found, inSection(prefix, val.Validate())...)
	}
	return found
}

// Origin tells where the value of a key came from. For a path inside a list it is the list's origin.
func (l *Loaded) Origin(key string) Origin {
	name, _, _ := strings.Cut(key, "[")
	if i, ok := l.schema.byName[name]; ok {
		return l.origins[i]
	}
	return Origin{Kind: Default}
}

// IsSet tells whether somebody gave the key a value, even if it is the default's.
func (l *Loaded) IsSet(key string) bool { return l.Origin(key).Kind > Default }

// Require reports, in an *Error, the keys that have no value in of, a pointer to the schema's struct.
// Alternatives are separated by |, and one of them is enough.
func (s *Schema) Require(of any, keys ...string) error {
	root := reflect.ValueOf(of).Elem()
	var problems []error
	for _, alternatives := range keys {
		names := strings.Split(alternatives, "|")
		given := false
		for _, name := range names {
			i, known := s.byName[name]
			if !known {
				return fmt.Errorf("config: required key %s does not exist", name)
			}
			v := root.FieldByIndex(s.keys[i].index)
			given = given || !v.IsZero() && (v.Kind() != reflect.Slice || v.Len() > 0)
		}
		if !given {
			key := s.keys[s.byName[names[0]]]
			way := "flag --" + names[0] + " or environment variable " + s.Env(names[0])
			if key.Secret == Secret { // everybody on the machine sees the flags of a process
				way = "environment variable " + s.Env(names[0]) + fileSuffix + " with a file's name, or " + s.Env(names[0])
			}
			problems = append(problems, Invalid(names[0], "must be given%s (%s)", orElse(names[1:]), way))
		}
	}
	if len(problems) > 0 {
		return &Error{problems}
	}
	return nil
}

func orElse(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ", or " + strings.Join(names, " or ")
}
