package config

import (
	"errors"
	"fmt"
)

// InvalidError says that the value of a key breaks a rule. Key is relative to the options struct that
// reports it; [Loaded.Check] puts the section in front and says where the value came from.
type InvalidError struct {
	Key    string // dotted, e.g. "max_depth"; "access.roles[2].name" inside a list
	Detail string // what the value must be; never quotes a secret
	Origin Origin // the zero Origin until Load or Check has found it
}

func (e *InvalidError) Error() string {
	if e.Origin.Kind <= Default {
		return e.Key + " " + e.Detail
	}
	return e.Key + " " + e.Detail + " (" + e.Origin.describe() + ")"
}

// Invalid is how the Validate method of an options struct reports one bad value. The key is the one
// of the `key` tag, without the section's prefix; the text goes on after the key's name and MUST NOT
// quote a secret: Invalid("max_depth", "must be from %d to %d", 1, 1000). Several are put together
// with errors.Join.
func Invalid(key, format string, args ...any) error {
	return &InvalidError{Key: key, Detail: fmt.Sprintf(format, args...)}
}

// flatten takes apart what errors.Join put together.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

// inSection puts a section's prefix in front of the keys that err names.
func inSection(prefix string, err error) []error {
	var out []error
	for _, e := range flatten(err) {
		var invalid *InvalidError
		if errors.As(e, &invalid) {
			c := *invalid
			c.Key = join(prefix, c.Key)
			out = append(out, &c)
			continue
		}
		out = append(out, fmt.Errorf("%s: %w", prefix, e))
	}
	return out
}

// join puts a dotted key together; either part may be empty.
func join(prefix, name string) string {
	switch {
	case prefix == "":
		return name
	case name == "":
		return prefix
	}
	return prefix + "." + name
}
