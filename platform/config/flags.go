package config

import (
	"github.com/go-json-experiment/json"
	"github.com/spf13/pflag"
)

// AddFlags defines a flag for every key, and --config. They are hidden from the help of the commands:
// eighty flags under each would bury its own; `config --help` lists them.
func (s *Schema) AddFlags(fs *pflag.FlagSet) {
	fs.String(ConfigKey, "", "YAML file with configuration keys (also "+s.prefix+"CONFIG)")
	for i := range s.keys {
		k := &s.keys[i]
		f := fs.VarPF(&flagValue{key: k}, k.Name, "", k.Help)
		f.Hidden = true
		if typeName(k.typ) == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// flagValue keeps what was given; Load parses it, so that an error is the same wherever a value is from.
type flagValue struct {
	key   *Key
	texts []string
}

// Set is called once for each time that the flag is given: lists of strings gather, others override.
func (f *flagValue) Set(text string) error {
	if typeName(f.key.typ) == "strings" {
		f.texts = append(f.texts, text)
	} else {
		f.texts = []string{text}
	}
	return nil
}

func (f *flagValue) Type() string { return typeName(f.key.typ) }

func (f *flagValue) String() string {
	if f.key == nil { // pflag calls this on a zero value
		return ""
	}
	switch len(f.texts) {
	case 0:
		return f.key.Default
	case 1:
		return f.texts[0]
	}
	var all []string
	for _, text := range f.texts {
		v, err := f.key.parse(text)
		if err != nil {
			return text // whatever is wrong with it is said when it is parsed again
		}
		all = append(all, v.Interface().([]string)...)
	}
	b, _ := json.Marshal(all) // a []string always has a JSON form
	return string(b)
}

// boundFlag shows a flag to viper as a plain string, so that viper casts nothing by itself: its casts
// turn what they can't read into zero.
type boundFlag struct{ flag *pflag.Flag }

func (b boundFlag) HasChanged() bool    { return b.flag.Changed }
func (b boundFlag) Name() string        { return b.flag.Name }
func (b boundFlag) ValueString() string { return b.flag.Value.String() }
func (b boundFlag) ValueType() string   { return "string" }
