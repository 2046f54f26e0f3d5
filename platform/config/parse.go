package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// parse turns the spelling of a flag, a variable or a scalar of the file into the key's Go value. Its
// errors say what was expected, and quote the text only where the key is no secret.
func (k *Key) parse(text string) (reflect.Value, error) {
	v := reflect.New(k.typ).Elem()
	if text == "" {
		return v, nil
	}
	switch typeName(k.typ) {
	case "strings":
		return v, k.setStrings(v, text)
	case "list":
		return v, k.setList(v, text)
	}
	return v, k.setScalar(v, text)
}

func (k *Key) setScalar(v reflect.Value, text string) error {
	switch typeName(k.typ) {
	case "string":
		v.SetString(text)
	case "duration":
		d, err := time.ParseDuration(text)
		if err != nil {
			return k.expected("a duration such as 250ms, 10s or 24h", text)
		}
		v.SetInt(int64(d))
	case "bool":
		b, err := strconv.ParseBool(text)
		if err != nil {
			return k.expected("true or false", text)
		}
		v.SetBool(b)
	case "int":
		n, err := strconv.ParseInt(text, 10, k.typ.Bits())
		if err != nil {
			return k.expected("a whole number", text)
		}
		v.SetInt(n)
	case "float":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) { // NaN would pass every comparison of a Validate
			return k.expected("a number", text)
		}
		v.SetFloat(f)
	}
	return nil
}

func (k *Key) expected(what, got string) error {
	if k.Secret != Open {
		return fmt.Errorf("must be %s", what)
	}
	return fmt.Errorf("must be %s, not %q", what, got)
}

// setStrings takes a,b,c or a JSON array, which is the way to give an entry that holds a comma.
func (k *Key) setStrings(v reflect.Value, text string) error {
	var items []string
	if isJSONArray(text) {
		if err := json.Unmarshal([]byte(text), &items); err != nil {
			return errors.New(`must be a list: a,b,c or ["a","b","c"]`)
		}
	} else {
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	out := reflect.MakeSlice(k.typ, len(items), len(items))
	for i, item := range items {
		out.Index(i).SetString(item)
	}
	v.Set(out)
	return nil
}

// isJSONArray tells ["a","b"] from the regular expression [a-z].
func isJSONArray(text string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "[")
	rest = strings.TrimSpace(rest)
	return ok && (strings.HasPrefix(rest, `"`) || rest == "]")
}

// setList takes a JSON array of objects; the file's YAML has become one before.
func (k *Key) setList(v reflect.Value, text string) error {
	var items any
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		at := int64(-1)
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			at = syntax.ByteOffset
		}
		return fmt.Errorf("must be a JSON list of objects without repeated members (see byte %d)", at)
	}
	return assign(v, items, "")
}

// assign fills v from decoded JSON by the `key` tags. Its errors carry the path inside the list.
func assign(v reflect.Value, from any, path string) error {
	wrong := func(want string) error { return errAt(path, "must be "+want) }
	switch typeName(v.Type()) {
	case "strings", "list":
		items, ok := from.([]any)
		if !ok {
			return wrong("a list")
		}
		out := reflect.MakeSlice(v.Type(), len(items), len(items))
		for i, item := range items {
			if err := assign(out.Index(i), item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
		v.Set(out)
		return nil
	case "":
		return assignStruct(v, from, path)
	}
	switch from.(type) {
	case string, bool, float64:
	default:
		return wrong("a " + typeName(v.Type()))
	}
	text := fmt.Sprint(from)
	if f, ok := from.(float64); ok {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	// The value isn't quoted: whether a member of a list is secret is its own tag's matter.
	if err := (&Key{typ: v.Type(), Secret: Secret}).setScalar(v, text); err != nil {
		return errAt(path, err.Error())
	}
	return nil
}

func assignStruct(v reflect.Value, from any, path string) error {
	members, ok := from.(map[string]any)
	if !ok {
		return errAt(path, "must be an object")
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("key"); name != "" {
			fields[name] = i
			names = append(names, name)
		}
	}
	for name, value := range members {
		i, ok := fields[name]
		if !ok {
			return errAt(join(path, name), "is not known"+didYouMean(name, names))
		}
		if value == nil {
			continue
		}
		if err := assign(v.Field(i), value, join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// pathError is an error inside a list; Load puts the list's key in front of its path.
type pathError struct{ path, detail string }

func (e *pathError) Error() string { return e.path + " " + e.detail }

func errAt(path, detail string) error { return &pathError{path, detail} }
