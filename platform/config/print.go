package config

import (
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Masked stands for a secret that is set.
const Masked = "********"

// Value is a key as `config print` shows it.
type Value struct {
	Key    string `json:"key"`
	Value  any    `json:"value"` // string, bool, number, []string or []any; secrets are masked
	Origin string `json:"origin"`
}

// Text is the value on one line: lists of strings with commas, lists of objects as JSON.
func (v Value) Text() string {
	switch x := v.Value.(type) {
	case string:
		return x
	case []string:
		return strings.Join(x, ",")
	}
	b, err := json.Marshal(v.Value, json.Deterministic(true))
	if err != nil {
		return Masked
	}
	return string(b)
}

// Values lists every key with its value and where it came from, secrets masked.
func (l *Loaded) Values() []Value {
	out := make([]Value, len(l.schema.keys))
	for i := range l.schema.keys {
		k := &l.schema.keys[i]
		out[i] = Value{k.Name, show(l.root.FieldByIndex(k.index), k.Secret), l.origins[i].String()}
	}
	return out
}

// show is a value in a form that may be seen.
func show(v reflect.Value, secret Secrecy) any {
	if v.Type() == durationType {
		return durationText(time.Duration(v.Int()))
	}
	switch typeName(v.Type()) {
	case "string":
		return showString(v.String(), secret)
	case "strings":
		out := make([]string, v.Len())
		for i := range out {
			out[i] = showString(v.Index(i).String(), secret)
		}
		return out
	case "list":
		out := make([]any, v.Len())
		for i := range out {
			out[i] = show(v.Index(i), secret)
		}
		return out
	case "":
		return showStruct(v, secret)
	}
	if secret != Open {
		return Masked
	}
	return v.Interface()
}

func showStruct(v reflect.Value, secret Secrecy) any {
	out := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("key")
		if name == "" {
			continue
		}
		inner := secret
		switch f.Tag.Get("secret") {
		case "true":
			inner = Secret
		case "url":
			inner = SecretURL
		}
		out[name] = show(v.Field(i), inner)
	}
	return out
}

func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func showString(s string, secret Secrecy) string {
	switch {
	case s == "":
		return ""
	case secret == Secret:
		return Masked
	case secret == SecretURL:
		return maskURL(s)
	}
	return MaskPasswords(s)
}

// userinfo is what stands between :// and the last @: a password that was not percent-encoded may
// hold an @, a slash or a colon.
var userinfo = regexp.MustCompile(`://([^\s@:/]*):[^\s]*@`)

// keyword is a password in a connection string of keywords and values.
var keyword = regexp.MustCompile(`(?i)\b((?:ssl)?password\s*=\s*)('[^']*'|[^\s&]+)`)

// parameter is a secret in the query of a URL: a token, a key, the signature of a URL that is one.
var parameter = regexp.MustCompile(`(?i)([?&][^\s=&#?]*(?:token|key|secret|passw|credential|sig)[^\s=&#?]*=)[^\s&#"]+`)

// noteKey is a signing key of golang.org/x/mod/sumdb/note, PRIVATE+KEY+<name>+<id>+<base64>, or what is left of
// one: up to the next white space, since a name may hold anything else, but for what a sentence puts behind it.
var noteKey = regexp.MustCompile(`(PRIVATE\+KEY\+)\S*[^\s"'` + "`" + `:,;.)}\]]`)

// MaskPasswords hides the passwords and the secret parameters of all URLs, the passwords of all
// connection strings, and signing keys of notes, in a text.
func MaskPasswords(s string) string {
	s = noteKey.ReplaceAllString(s, "${1}"+Masked)
	s = userinfo.ReplaceAllString(s, "://${1}:"+Masked+"@")
	if !strings.Contains(s, "=") { // the others have one, and take long to find that there is none
		return s
	}
	s = keyword.ReplaceAllString(s, "${1}"+Masked)
	return parameter.ReplaceAllString(s, "${1}"+Masked)
}

// maskURL shows where a URL leads and as whom. What can't be parsed is hidden whole.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" && u.Path == "" || u.Scheme == "" || u.Opaque != "" {
		return Masked
	}
	query := u.RawQuery
	u.RawQuery = ""
	out := MaskPasswords(u.String())
	if query != "" {
		out += "?" + maskQuery(query)
	}
	return out
}

var secretParameter = regexp.MustCompile(`(?i)pass|secret|token|key|credential|auth|sig`)

func maskQuery(query string) string {
	parts := strings.Split(query, "&")
	for i, part := range parts {
		if name, _, ok := strings.Cut(part, "="); ok && secretParameter.MatchString(name) {
			parts[i] = name + "=" + Masked
		}
	}
	return strings.Join(parts, "&")
}
