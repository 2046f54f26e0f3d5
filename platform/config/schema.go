// Package config turns tagged option structs into the program's configuration: every leaf field is a
// key that can be given as a flag (--http.addr), an environment variable (AUDITTRAIL_HTTP_ADDR), in a
// YAML file, or by its default, in this order of precedence. What a key is called, what it defaults
// to and what it means stands in one place, the struct's tags; flags, variables, reference table and
// `config print` are derived from them, so that they can't drift apart.
//
//	type Options struct {
//		Addr     string        `key:"addr" default:":8080" help:"address to listen on"`
//		Password string        `key:"password" secret:"true" help:"…"`
//		Linger   time.Duration `key:"linger" default:"250ms" help:"…"`
//		TLS      struct{ … }   `key:"tls"`
//		Roles    []Role        `key:"roles" help:"…"` // a list of structs that are tagged with key
//	}
//
// Leaves are string, bool, int, int64, float64, time.Duration, []string and lists of structs. The tag
// secret:"true" hides the value wherever it is shown, and lets it come from a file that the variable
// with _FILE appended names; secret:"url" does the same for a URL of which only the password is
// secret. Named things are lists and never maps, since viper lower-cases map keys and splits them.
//
// This package knows nothing of what the keys mean, prints no secret, and never ends the process.
package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Key is one configuration key.
type Key struct {
	Name    string // dotted, e.g. "http.tls.cert"
	Default string // in the spelling of a flag; "" for the type's zero value
	Help    string
	Secret  Secrecy

	typ   reflect.Type
	index []int // of the field, from the root struct, for reflect.Value.FieldByIndex
}

// Secrecy says how much of a value may be shown.
type Secrecy int

// The kinds of secrecy.
const (
	Open      Secrecy = iota // shown; a password in a URL is masked all the same
	Secret                   // never shown
	SecretURL                // a URL: shown without its password and without secret parameters
)

// Schema is all keys of a configuration struct.
type Schema struct {
	prefix string // of environment variables, with the underscore
	root   reflect.Type
	keys   []Key
	byName map[string]int
	byEnv  map[string]int // the plain variables
	byFile map[string]int // the variables with _FILE
}

const fileSuffix = "_FILE"

// ConfigKey is the name of the flag that names the file; its variable is PREFIX_CONFIG. It is no key
// of the file itself.
const ConfigKey = "config"

// NewSchema reads the tags of a struct. The error is a mistake in the program, never in its use: an
// unsupported type, a default that does not parse, two keys of one name or one variable.
func NewSchema(prefix string, of any) (*Schema, error) {
	t := reflect.TypeOf(of)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	s := &Schema{
		prefix: strings.ToUpper(prefix) + "_", root: t,
		byName: map[string]int{}, byEnv: map[string]int{}, byFile: map[string]int{},
	}
	if err := s.walk(t, "", nil); err != nil {
		return nil, err
	}
	return s, s.index()
}

// Keys lists all keys in the order of the struct.
func (s *Schema) Keys() []Key { return append([]Key(nil), s.keys...) }

// Env is the environment variable of a key.
func (s *Schema) Env(key string) string {
	return s.prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func (s *Schema) walk(t reflect.Type, prefix string, index []int) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, tagged := f.Tag.Lookup("key")
		if !tagged {
			continue // the module's own business, such as a hook for tests
		}
		if !f.IsExported() {
			return fmt.Errorf("config: field %s of %s has a key and is not exported", f.Name, t)
		}
		at := append(append([]int(nil), index...), i)
		full := join(prefix, name)
		if f.Type.Kind() == reflect.Struct {
			if err := s.walk(f.Type, full, at); err != nil {
				return err
			}
			continue
		}
		k := Key{Name: full, Default: f.Tag.Get("default"), Help: f.Tag.Get("help"), typ: f.Type, index: at}
		switch f.Tag.Get("secret") {
		case "true":
			k.Secret = Secret
		case "url":
			k.Secret = SecretURL
		}
		if typeName(k.typ) == "" {
			return fmt.Errorf("config: key %s has the unsupported type %s", full, f.Type)
		}
		s.keys = append(s.keys, k)
	}
	return nil
}

func (s *Schema) index() error {
	for i, k := range s.keys {
		if _, dup := s.byName[k.Name]; dup || k.Name == ConfigKey {
			return fmt.Errorf("config: two keys are named %s", k.Name)
		}
		s.byName[k.Name] = i
		names := map[string]map[string]int{s.Env(k.Name): s.byEnv}
		if k.Secret != Open {
			names[s.Env(k.Name)+fileSuffix] = s.byFile
		}
		for env, into := range names {
			_, plain := s.byEnv[env]
			_, file := s.byFile[env]
			if plain || file {
				return fmt.Errorf("config: two keys share the variable %s, one is %s", env, k.Name)
			}
			into[env] = i
		}
		if s.isSection(k.Name) || k.Name != strings.ToLower(k.Name) {
			return fmt.Errorf("config: key %s is also a section, or not in lower case", k.Name)
		}
		if _, err := k.parse(k.Default); err != nil {
			return fmt.Errorf("config: default of %s: %w", k.Name, err)
		}
	}
	return nil
}

var durationType = reflect.TypeFor[time.Duration]()

// typeName is how help texts call a type; "" for one that can't be a key.
func typeName(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "strings"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "list"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "int"
	case reflect.Float64:
		return "float"
	}
	return ""
}
