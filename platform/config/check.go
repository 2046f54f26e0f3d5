package config

import (
	"errors"
	"reflect"
	"strings"
)

// validator is what an options struct may implement, on its value or its pointer.
type validator interface{ Validate() error }

// Check runs the Validate method of every options struct, nested ones first, and reports in an *Error
// what they find, each with the origin of the offending value.
//
// A command needs only some sections ("kafka", "http.tls"). What a Validate reports counts where the
// key belongs to one of them, or was set by somebody: a wrong value that was given is always an
// error, a missing one only where it is needed. A Validate must not call those of its members.
func (l *Loaded) Check(sections ...string) error {
	var problems []error
	for _, err := range l.validate(l.root, "") {
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			problems = append(problems, err)
			continue
		}
		invalid.Origin = l.Origin(invalid.Key)
		if invalid.Origin.Kind > Default || in(sections, invalid.Key) {
			problems = append(problems, invalid)
		}
	}
	if len(problems) > 0 {
		return &Error{problems}
	}
	return nil
}

func in(sections []string, key string) bool {
	for _, s := range sections {
		if key == s || strings.HasPrefix(key, s+".") || strings.HasPrefix(key, s+"[") {
			return true
		}
	}
	return false
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
