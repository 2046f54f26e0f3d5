package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Error is a configuration that can't be used. Its text has one line for each problem.
type Error struct{ Problems []error }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Error()
	}
	return "configuration: " + strings.Join(lines, "\nconfiguration: ")
}

func (e *Error) Unwrap() []error { return e.Problems }

// Sources are the places that values come from, beside the defaults.
type Sources struct {
	Flags   *pflag.FlagSet // that AddFlags has filled; nil for none
	Environ []string       // "NAME=value", as os.Environ gives them
}

// Loaded is a configuration with the origin of each value.
type Loaded struct {
	schema  *Schema
	root    reflect.Value
	origins []Origin // by the index of the schema's keys
}

// Load fills dst, a pointer to the schema's struct, and reports everything that is wrong at once in
// an *Error: unknown keys and variables, and values of the wrong type. Whether values make sense
// together is Check's matter.
func (s *Schema) Load(dst any, src Sources) (*Loaded, error) {
	root := reflect.ValueOf(dst).Elem()
	if root.Type() != s.root {
		return nil, fmt.Errorf("config: Load into %s, the schema is of %s", root.Type(), s.root)
	}
	env, problems := s.readEnv(src.Environ)
	file := map[string]setting{}
	if path := s.filePath(src); path != "" {
		var errs []error
		file, errs = s.readFile(path)
		problems = append(problems, errs...)
	}
	layers, err := s.layers(src.Flags, env, file)
	if err != nil {
		return nil, err
	}
	l := &Loaded{schema: s, root: root, origins: make([]Origin, len(s.keys))}
	for i := range s.keys {
		k := &s.keys[i]
		from := pick(layers, k)
		l.origins[i] = from.origin
		v, err := k.parse(from.text)
		if err != nil {
			problems = append(problems, badValue(k, from.origin, err))
			continue
		}
		root.FieldByIndex(k.index).Set(v)
	}
	if len(problems) > 0 {
		return nil, &Error{problems}
	}
	return l, nil
}

func badValue(k *Key, origin Origin, err error) error {
	invalid := &InvalidError{Key: k.Name, Detail: err.Error(), Origin: origin}
	var inside *pathError
	if errors.As(err, &inside) {
		invalid.Key, invalid.Detail = listPath(k.Name, inside.path), inside.detail
	}
	return invalid
}

// listPath puts a path that begins with an index right behind the list's key.
func listPath(key, path string) string {
	if strings.HasPrefix(path, "[") {
		return key + path
	}
	return join(key, path)
}

func (s *Schema) filePath(src Sources) string {
	if src.Flags != nil {
		if f := src.Flags.Lookup(ConfigKey); f != nil && f.Changed {
			return f.Value.String()
		}
	}
	for _, entry := range src.Environ {
		if path, ok := strings.CutPrefix(entry, s.Env(ConfigKey)+"="); ok {
			return path
		}
	}
	return ""
}

// layers puts defaults, file, environment and flags upon each other. Values are settings, so that
// the one that wins brings its origin along. No key is split: the delimiter occurs in none.
func (s *Schema) layers(flags *pflag.FlagSet, env, file map[string]setting) (*viper.Viper, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	for i := range s.keys {
		k := &s.keys[i]
		v.SetDefault(k.Name, setting{k.Default, Origin{Kind: Default}})
		if flags == nil || flags.Lookup(k.Name) == nil {
			continue
		}
		if err := v.BindFlagValue(k.Name, boundFlag{flags.Lookup(k.Name)}); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	for _, layer := range []map[string]setting{file, env} {
		flat := make(map[string]any, len(layer))
		for name, from := range layer {
			flat[name] = from
		}
		if err := v.MergeConfigMap(flat); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	return v, nil
}

func pick(v *viper.Viper, k *Key) setting {
	switch won := v.Get(k.Name).(type) {
	case setting:
		return won
	case string: // a flag; viper knows those only as text
		return setting{won, Origin{Kind: Flag, Name: k.Name}}
	}
	return setting{k.Default, Origin{Kind: Default}}
}

// isSection tells whether keys begin with name and a dot.
func (s *Schema) isSection(name string) bool {
	for i := range s.keys {
		if strings.HasPrefix(s.keys[i].Name, name+".") {
			return true
		}
	}
	return false
}
