package config

import "fmt"

// Kind is the kind of place that a value came from.
type Kind int

// The kinds, from the weakest to the strongest.
const (
	Default Kind = iota + 1
	File
	Env
	Flag
)

// Origin is where the value of a key came from.
type Origin struct {
	Kind Kind
	Name string // the file's path, the variable's name or the flag's; "" for a default
	Line int    // in the file, from 1; 0 elsewhere
	Path string // the file that a variable with _FILE names; "" elsewhere
}

// String is the short form that `config print` shows: "flag", "env NAME", "file:PATH", "default".
func (o Origin) String() string {
	switch o.Kind {
	case Flag:
		return "flag"
	case Env:
		return "env " + o.Name
	case File:
		return "file:" + o.Name
	case Default:
		return "default"
	}
	return "unknown"
}

// describe is the form for error messages, which also tells the line or the flag's name.
func (o Origin) describe() string {
	switch o.Kind {
	case Flag:
		return "from flag --" + o.Name
	case Env:
		return "from environment variable " + o.Name
	case File:
		return fmt.Sprintf("from file %s, line %d", o.Name, o.Line)
	}
	return "the default"
}

// Reread returns what the file holds now that gave the key its value, for secrets that rotate. ok is false
// where the value came from elsewhere, or the file can't be read.
func (l *Loaded) Reread(key string) (text string, ok bool) {
	i, known := l.schema.byName[key]
	if !known || l.origins[i].Path == "" {
		return "", false
	}
	text, err := readSecret(l.origins[i].Path)
	return text, err == nil
}
